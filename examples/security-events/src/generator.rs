//! Makes events: a flow, what is measured of it, where it goes, and what captured it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::event::distributed_node::{NodeRole, NodeStatus};
use crate::event::geo_location_info::ThreatLevel;
use crate::event::human_in_the_loop_review::ReviewPriority;
use crate::event::model_prediction::ModelType;
use crate::event::time_window::WindowType;
use crate::event::{
    DistributedNode, HumanInTheLoopReview, ModelPrediction, NetworkFeatures, NetworkSecurityEvent,
    PipelineTracking, SCHEMA_VERSION, TimeWindow, TricapaMlAnalysis, duration, timestamp,
};
use crate::features::{Ends, measure};
use crate::flow::{Flow, Kind};
use crate::geography::{SAN_FRANCISCO, SEVILLA, enrich};

/// How long a window of flows is.
const WINDOW: Duration = Duration::from_secs(10);

/// Makes events for one capturing node.
pub(crate) struct Generator {
    node_id: String,
    hostname: String,
    chance: StdRng,
    began: Instant,
    made: u64,
}

impl Generator {
    /// With a `seed` it makes the same flows again.
    pub(crate) fn new(node_id: &str, seed: Option<u64>) -> Self {
        let hostname = std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| "localhost".into());
        Self {
            node_id: node_id.to_owned(),
            hostname: hostname.trim().to_owned(),
            chance: StdRng::seed_from_u64(seed.unwrap_or_else(|| rand::rng().random())),
            began: Instant::now(),
            made: 0,
        }
    }

    /// The next event, as of now.
    pub(crate) fn next(&mut self) -> NetworkSecurityEvent {
        let now_ms = now_ms();
        self.made += 1;
        let kind = Kind::draw(&mut self.chance);
        let flow = Flow::draw(kind, &mut self.chance);
        let private_ip = format!("10.{}.{}.{}", self.byte(), self.byte(), self.byte());
        let public_ip = format!("80.58.{}.{}", self.byte(), self.byte());
        let ends = Ends {
            source_ip: public_ip.clone(),
            destination_ip: format!("104.16.{}.{}", self.byte(), self.byte()),
            source_port: self.chance.random_range(1024..=65535),
            destination_port: if self.chance.random_bool(0.8) { 443 } else { 8443 },
        };
        let start_ms = now_ms.saturating_sub(flow.duration_us() / 1000);
        let features = measure(&flow, &ends, start_ms);
        let score = threat_score(&features);
        let threat = threat_level(score);
        let lookup_ms = self.chance.random_range(0.05..0.8);
        let event_id = uuid::Uuid::now_v7().to_string();
        let is_attack = score >= 0.5;
        NetworkSecurityEvent {
            event_timestamp: Some(timestamp(now_ms)),
            originating_node_id: self.node_id.clone(),
            geo_enrichment: Some(enrich(
                &SEVILLA,
                &SAN_FRANCISCO,
                &private_ip,
                &public_ip,
                threat,
                now_ms,
                lookup_ms,
            )),
            time_window: Some(self.window(now_ms)),
            ml_analysis: Some(analysis(score, now_ms)),
            additional_model_predictions: Vec::new(),
            capturing_node: Some(self.capturing_node(now_ms)),
            pipeline_tracking: Some(tracking(&event_id, start_ms, now_ms)),
            rag_analysis: None,
            human_review: Some(HumanInTheLoopReview {
                requires_human_analysis: threat == ThreatLevel::Critical,
                review_priority: if is_attack { ReviewPriority::High } else { ReviewPriority::Low }.into(),
                ..HumanInTheLoopReview::default()
            }),
            overall_threat_score: score,
            final_classification: classification(score).into(),
            threat_category: if is_attack { "ddos" } else { "none" }.into(),
            correlation_id: format!("{}-{}", self.node_id, self.made),
            related_event_ids: Vec::new(),
            event_chain_id: format!("{}-{}", self.node_id, now_ms / 60_000),
            schema_version: SCHEMA_VERSION,
            custom_metadata: [("flow_kind".to_owned(), format!("{kind:?}").to_lowercase())].into(),
            event_tags: vec!["synthetic".into()],
            protobuf_version: "3".into(),
            network_features: Some(features),
            event_id,
        }
    }

    fn byte(&mut self) -> u8 {
        self.chance.random_range(1..=254)
    }

    fn window(&self, now_ms: u64) -> TimeWindow {
        let length_ms = WINDOW.as_millis() as u64;
        let sequence_number = now_ms / length_ms;
        TimeWindow {
            window_start: Some(timestamp(sequence_number * length_ms)),
            window_end: Some(timestamp((sequence_number + 1) * length_ms)),
            window_duration: Some(duration(length_ms * 1000)),
            sequence_number,
            window_type: WindowType::Tumbling.into(),
        }
    }

    fn capturing_node(&mut self, now_ms: u64) -> DistributedNode {
        DistributedNode {
            node_id: self.node_id.clone(),
            node_hostname: self.hostname.clone(),
            node_ip_address: "127.0.0.1".into(),
            physical_location: format!("{}, {}", SEVILLA.city, SEVILLA.country),
            node_role: NodeRole::PacketSniffer.into(),
            node_status: NodeStatus::Active.into(),
            last_heartbeat: Some(timestamp(now_ms)),
            operating_system: std::env::consts::OS.into(),
            os_version: std::env::consts::ARCH.into(),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            process_id: i32::try_from(std::process::id()).unwrap_or_default(),
            container_id: String::new(),
            cluster_name: "security-events".into(),
            cpu_usage_percent: self.chance.random_range(5.0..60.0),
            memory_usage_mb: self.chance.random_range(20.0..200.0),
            active_connections: self.chance.random_range(1..50),
            queue_depth: self.chance.random_range(0..20),
            uptime: Some(duration(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))),
            node_capabilities: [("features".to_owned(), "83".to_owned())].into(),
            supported_protocols: vec!["TCP".into()],
            configuration_version: "1".into(),
        }
    }
}

/// How much a flow looks like a flood: many connections asked for, few made. 0 to 1.
fn threat_score(of: &NetworkFeatures) -> f64 {
    let packets = (of.total_forward_packets + of.total_backward_packets).max(1) as f64;
    let asked = f64::from(of.syn_flag_count) / packets;
    let made = f64::from(of.ack_flag_count) / packets;
    (asked * (1.0 - made)).clamp(0.0, 1.0)
}

fn threat_level(score: f64) -> ThreatLevel {
    match score {
        score if score >= 0.9 => ThreatLevel::Critical,
        score if score >= 0.5 => ThreatLevel::High,
        score if score >= 0.2 => ThreatLevel::Medium,
        _ => ThreatLevel::Low,
    }
}

fn classification(score: f64) -> &'static str {
    if score >= 0.5 { "ATTACK" } else { "BENIGN" }
}

fn analysis(score: f64, now_ms: u64) -> TricapaMlAnalysis {
    let is_attack = score >= 0.5;
    let confidence = score.max(1.0 - score);
    let prediction = |name: &str, of: ModelType| ModelPrediction {
        model_name: name.into(),
        model_version: "1".into(),
        model_type: of.into(),
        prediction_class: classification(score).into(),
        confidence_score: confidence,
        class_probabilities: vec![1.0 - score, score],
        prediction_timestamp: Some(timestamp(now_ms)),
        processing_duration: Some(duration(150)),
    };
    TricapaMlAnalysis {
        level1_general_detection: Some(prediction("level1", ModelType::RandomForestGeneral)),
        attack_detected_level1: is_attack,
        level1_confidence: confidence,
        level2_context_classification: Some(prediction("level2", ModelType::InternalTrafficClassifier)),
        traffic_context: "external".into(),
        level3_specialized_predictions: vec![prediction("level3-ddos", ModelType::LightgbmDdos)],
        final_threat_classification: classification(score).into(),
        ensemble_confidence: confidence,
        total_analysis_duration: Some(duration(450)),
        models_activated: vec!["level1".into(), "level2".into(), "level3-ddos".into()],
        feature_importance_scores: [("syn_share".to_owned(), 0.7), ("ack_share".to_owned(), 0.3)].into(),
        requires_human_review: score >= 0.9,
    }
}

fn tracking(event_id: &str, captured_ms: u64, now_ms: u64) -> PipelineTracking {
    let process = i32::try_from(std::process::id()).unwrap_or_default();
    PipelineTracking {
        pipeline_id: event_id.into(),
        pipeline_start: Some(timestamp(captured_ms)),
        sniffer_process_id: process,
        processor_process_id: process,
        enricher_process_id: process,
        analyzer_process_id: process,
        packet_captured_at: Some(timestamp(captured_ms)),
        features_extracted_at: Some(timestamp(now_ms)),
        geoip_enriched_at: Some(timestamp(now_ms)),
        ml_analyzed_at: Some(timestamp(now_ms)),
        total_processing_latency: Some(duration((now_ms - captured_ms) * 1000)),
        pipeline_hops_count: 4,
        processing_path: "sniffer>features>geoip>ml".into(),
        processing_tags: vec!["synthetic".into()],
        ..PipelineTracking::default()
    }
}

/// The time, ms since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::event::ms_of;

    proptest! {
        #[test]
        fn an_event_is_coherent_and_reads_back(seed in any::<u64>()) {
            let mut generator = Generator::new("node-1", Some(seed));
            let event = generator.next();
            let read = NetworkSecurityEvent::decode(event.encode_to_vec().as_slice()).unwrap();
            prop_assert_eq!(&read, &event);
            let (features, geo) = (event.network_features.unwrap(), event.geo_enrichment.unwrap());
            let now = ms_of(&event.event_timestamp.unwrap()).unwrap();
            let start = ms_of(&features.flow_start_time.unwrap()).unwrap();
            prop_assert_eq!(start + features.flow_duration_microseconds / 1000, now);
            let window = event.time_window.unwrap();
            prop_assert!(ms_of(&window.window_start.unwrap()).unwrap() <= now);
            prop_assert!(ms_of(&window.window_end.unwrap()).unwrap() > now);
            prop_assert_eq!(&geo.discovered_public_ip, &features.source_ip);
            prop_assert_eq!(geo.sniffer_destination_distance_km, geo.source_destination_distance_km);
            prop_assert!(!geo.source_destination_same_country && geo.sniffer_source_same_country);
            prop_assert!((1024..=65535).contains(&features.source_port));
            let is_flood = event.custom_metadata.get("flow_kind").map(String::as_str) == Some("synflood");
            prop_assert_eq!(event.final_classification == "ATTACK", is_flood);
            prop_assert_eq!(event.overall_threat_score >= 0.5, is_flood);
            let probabilities: f64 =
                event.ml_analysis.unwrap().level1_general_detection.unwrap().class_probabilities.iter().sum();
            prop_assert!((probabilities - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_seed_makes_the_same_flows_with_other_ids() {
        let flows = |seed| {
            let mut generator = Generator::new("node-1", Some(seed));
            let features = |event: NetworkSecurityEvent| event.network_features.unwrap().ddos_features;
            (0..5).map(|_| features(generator.next())).collect::<Vec<_>>()
        };
        assert_eq!(flows(7), flows(7));
        assert_ne!(flows(7), flows(8));
        let mut generator = Generator::new("node-1", Some(7));
        assert_ne!(generator.next().event_id, generator.next().event_id);
    }
}
