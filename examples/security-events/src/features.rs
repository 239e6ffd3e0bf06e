//! What is measured of a flow: the numbers that models look at.

use crate::event::{NetworkFeatures, duration, timestamp};
use crate::flow::{BULK_PACKETS_MIN, BULK_PAUSE_US, Direction, Flags, Flow, Packet};

/// Numbers in `ddos_features`.
pub(crate) const DDOS_FEATURES: usize = 83;

/// Sum, extremes, mean and standard deviation of some numbers; zeros, if there are none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) mean: f64,
    /// Of the population, not of a sample.
    pub(crate) std: f64,
}

impl Summary {
    pub(crate) fn of(numbers: &[u64]) -> Self {
        let count = numbers.len() as u64;
        if count == 0 {
            return Self::default();
        }
        let sum: u64 = numbers.iter().sum();
        let mean = sum as f64 / count as f64;
        let variance =
            numbers.iter().map(|number| (*number as f64 - mean).powi(2)).sum::<f64>() / count as f64;
        Self {
            count,
            sum,
            min: numbers.iter().min().copied().unwrap_or_default(),
            max: numbers.iter().max().copied().unwrap_or_default(),
            mean,
            std: variance.sqrt(),
        }
    }
}

/// The packets that go one way, or all of them.
struct Side<'a> {
    packets: Vec<&'a Packet>,
    lengths: Summary,
    pauses: Summary,
    header_bytes: u64,
}

impl<'a> Side<'a> {
    fn of(flow: &'a Flow, direction: Option<Direction>) -> Self {
        let is_meant = |packet: &&Packet| direction.is_none_or(|one| packet.direction == one);
        let packets: Vec<&Packet> = flow.packets.iter().filter(is_meant).collect();
        let lengths: Vec<u64> = packets.iter().map(|packet| packet.bytes).collect();
        let pauses: Vec<u64> =
            packets.iter().zip(packets.iter().skip(1)).map(|(one, next)| next.at_us - one.at_us).collect();
        Self {
            header_bytes: packets.iter().map(|packet| packet.header_bytes).sum(),
            lengths: Summary::of(&lengths),
            pauses: Summary::of(&pauses),
            packets,
        }
    }

    fn count(&self, has: impl Fn(&Flags) -> bool) -> u32 {
        u32::try_from(self.packets.iter().filter(|packet| has(&packet.flags)).count()).unwrap_or(u32::MAX)
    }
}

/// What of a direction comes in bulks: bytes and packets of a bulk on average, and bytes a second within bulks.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bulks {
    bytes: f64,
    packets: f64,
    rate: f64,
}

impl Bulks {
    /// A bulk is a run of at least four packets with payload in one direction, without a long pause.
    fn of(flow: &Flow, direction: Direction) -> Self {
        let with_payload = |packet: &&Packet| packet.bytes > packet.header_bytes;
        let mut runs: Vec<Vec<&Packet>> = Vec::new();
        for packet in flow.packets.iter().filter(with_payload) {
            let goes_on = runs.last().and_then(|run| run.last()).is_some_and(|last| {
                last.direction == packet.direction && packet.at_us - last.at_us <= BULK_PAUSE_US
            });
            match runs.last_mut().filter(|_| goes_on) {
                Some(run) => run.push(packet),
                None => runs.push(vec![packet]),
            }
        }
        runs.retain(|run| {
            run.len() >= BULK_PACKETS_MIN && run.first().is_some_and(|packet| packet.direction == direction)
        });
        let count = runs.len() as f64;
        let bytes: u64 = runs.iter().flatten().map(|packet| packet.bytes).sum();
        let packets = runs.iter().flatten().count() as f64;
        let took_us: u64 = runs.iter().filter_map(|run| Some(run.last()?.at_us - run.first()?.at_us)).sum();
        Self {
            bytes: ratio(bytes as f64, count),
            packets: ratio(packets, count),
            rate: per_second(bytes, took_us),
        }
    }
}

/// `a / b`, and 0 where there is nothing to divide by.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn per_second(count: u64, us: u64) -> f64 {
    ratio(count as f64 * 1e6, us as f64)
}

/// Between which addresses a flow goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) source_ip: String,
    pub(crate) destination_ip: String,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

/// All that is measured of a flow that began at `start_ms`.
pub(crate) fn measure(flow: &Flow, ends: &Ends, start_ms: u64) -> NetworkFeatures {
    let (forward, backward) =
        (Side::of(flow, Some(Direction::Forward)), Side::of(flow, Some(Direction::Backward)));
    let both = Side::of(flow, None);
    let us = flow.duration_us();
    let (forward_bulks, backward_bulks) =
        (Bulks::of(flow, Direction::Forward), Bulks::of(flow, Direction::Backward));
    let mut features = NetworkFeatures {
        source_ip: ends.source_ip.clone(),
        destination_ip: ends.destination_ip.clone(),
        source_port: ends.source_port.into(),
        destination_port: ends.destination_port.into(),
        protocol_number: 6,
        protocol_name: "TCP".into(),
        flow_start_time: Some(timestamp(start_ms)),
        flow_duration: Some(duration(us)),
        flow_duration_microseconds: us,
        total_forward_packets: forward.lengths.count,
        total_backward_packets: backward.lengths.count,
        total_forward_bytes: forward.lengths.sum,
        total_backward_bytes: backward.lengths.sum,
        forward_packet_length_max: forward.lengths.max,
        forward_packet_length_min: forward.lengths.min,
        forward_packet_length_mean: forward.lengths.mean,
        forward_packet_length_std: forward.lengths.std,
        backward_packet_length_max: backward.lengths.max,
        backward_packet_length_min: backward.lengths.min,
        backward_packet_length_mean: backward.lengths.mean,
        backward_packet_length_std: backward.lengths.std,
        flow_bytes_per_second: per_second(both.lengths.sum, us),
        flow_packets_per_second: per_second(both.lengths.count, us),
        forward_packets_per_second: per_second(forward.lengths.count, us),
        backward_packets_per_second: per_second(backward.lengths.count, us),
        download_upload_ratio: ratio(backward.lengths.sum as f64, forward.lengths.sum as f64),
        average_packet_size: both.lengths.mean,
        average_forward_segment_size: payload_mean(&forward),
        average_backward_segment_size: payload_mean(&backward),
        flow_inter_arrival_time_mean: both.pauses.mean,
        flow_inter_arrival_time_std: both.pauses.std,
        flow_inter_arrival_time_max: both.pauses.max,
        flow_inter_arrival_time_min: both.pauses.min,
        forward_inter_arrival_time_total: forward.pauses.sum as f64,
        forward_inter_arrival_time_mean: forward.pauses.mean,
        forward_inter_arrival_time_std: forward.pauses.std,
        forward_inter_arrival_time_max: forward.pauses.max,
        forward_inter_arrival_time_min: forward.pauses.min,
        backward_inter_arrival_time_total: backward.pauses.sum as f64,
        backward_inter_arrival_time_mean: backward.pauses.mean,
        backward_inter_arrival_time_std: backward.pauses.std,
        backward_inter_arrival_time_max: backward.pauses.max,
        backward_inter_arrival_time_min: backward.pauses.min,
        fin_flag_count: both.count(|flags| flags.fin),
        syn_flag_count: both.count(|flags| flags.syn),
        rst_flag_count: both.count(|flags| flags.rst),
        psh_flag_count: both.count(|flags| flags.psh),
        ack_flag_count: both.count(|flags| flags.ack),
        urg_flag_count: both.count(|flags| flags.urg),
        cwe_flag_count: both.count(|flags| flags.cwr),
        ece_flag_count: both.count(|flags| flags.ece),
        forward_psh_flags: forward.count(|flags| flags.psh),
        backward_psh_flags: backward.count(|flags| flags.psh),
        forward_urg_flags: forward.count(|flags| flags.urg),
        backward_urg_flags: backward.count(|flags| flags.urg),
        forward_header_length: forward.header_bytes as f64,
        backward_header_length: backward.header_bytes as f64,
        forward_average_bytes_bulk: forward_bulks.bytes,
        forward_average_packets_bulk: forward_bulks.packets,
        forward_average_bulk_rate: forward_bulks.rate,
        backward_average_bytes_bulk: backward_bulks.bytes,
        backward_average_packets_bulk: backward_bulks.packets,
        backward_average_bulk_rate: backward_bulks.rate,
        minimum_packet_length: both.lengths.min,
        maximum_packet_length: both.lengths.max,
        packet_length_mean: both.lengths.mean,
        packet_length_std: both.lengths.std,
        packet_length_variance: both.lengths.std.powi(2),
        ..NetworkFeatures::default()
    };
    let measured = numbers(&features);
    features.ransomware_features = pick(&measured, &[0, 4, 7, 14, 21, 22, 27, 28, 29, 52]);
    features.general_attack_features = pick(&measured, &[3, 4, 5, 6, 7, 20, 21, 42, 43, 44]);
    features.internal_traffic_features = pick(&measured, &[3, 4, 5, 24, 25, 58]);
    features.ddos_features = [measured, derived(&features)].concat();
    features.custom_features =
        [("syn_share".into(), ratio(features.syn_flag_count.into(), both.lengths.count as f64))].into();
    features.feature_metadata = [
        ("extractor".into(), format!("security-events/{}", env!("CARGO_PKG_VERSION"))),
        ("ddos_features".into(), DDOS_FEATURES.to_string()),
    ]
    .into();
    features
}

fn payload_mean(side: &Side<'_>) -> f64 {
    ratio(side.lengths.sum.saturating_sub(side.header_bytes) as f64, side.lengths.count as f64)
}

fn pick(numbers: &[f64], places: &[usize]) -> Vec<f64> {
    places.iter().filter_map(|place| numbers.get(*place).copied()).collect()
}

/// The 63 numbers of the definition, in its order.
fn numbers(of: &NetworkFeatures) -> Vec<f64> {
    let whole = |number: u64| number as f64;
    vec![
        of.source_port.into(),
        of.destination_port.into(),
        of.protocol_number.into(),
        whole(of.flow_duration_microseconds),
        whole(of.total_forward_packets),
        whole(of.total_backward_packets),
        whole(of.total_forward_bytes),
        whole(of.total_backward_bytes),
        whole(of.forward_packet_length_max),
        whole(of.forward_packet_length_min),
        of.forward_packet_length_mean,
        of.forward_packet_length_std,
        whole(of.backward_packet_length_max),
        whole(of.backward_packet_length_min),
        of.backward_packet_length_mean,
        of.backward_packet_length_std,
        of.flow_bytes_per_second,
        of.flow_packets_per_second,
        of.forward_packets_per_second,
        of.backward_packets_per_second,
        of.download_upload_ratio,
        of.average_packet_size,
        of.average_forward_segment_size,
        of.average_backward_segment_size,
        of.flow_inter_arrival_time_mean,
        of.flow_inter_arrival_time_std,
        whole(of.flow_inter_arrival_time_max),
        whole(of.flow_inter_arrival_time_min),
        of.forward_inter_arrival_time_total,
        of.forward_inter_arrival_time_mean,
        of.forward_inter_arrival_time_std,
        whole(of.forward_inter_arrival_time_max),
        whole(of.forward_inter_arrival_time_min),
        of.backward_inter_arrival_time_total,
        of.backward_inter_arrival_time_mean,
        of.backward_inter_arrival_time_std,
        whole(of.backward_inter_arrival_time_max),
        whole(of.backward_inter_arrival_time_min),
        of.fin_flag_count.into(),
        of.syn_flag_count.into(),
        of.rst_flag_count.into(),
        of.psh_flag_count.into(),
        of.ack_flag_count.into(),
        of.urg_flag_count.into(),
        of.cwe_flag_count.into(),
        of.ece_flag_count.into(),
        of.forward_psh_flags.into(),
        of.backward_psh_flags.into(),
        of.forward_urg_flags.into(),
        of.backward_urg_flags.into(),
        of.forward_header_length,
        of.backward_header_length,
        of.forward_average_bytes_bulk,
        of.forward_average_packets_bulk,
        of.forward_average_bulk_rate,
        of.backward_average_bytes_bulk,
        of.backward_average_packets_bulk,
        of.backward_average_bulk_rate,
        whole(of.minimum_packet_length),
        whole(of.maximum_packet_length),
        of.packet_length_mean,
        of.packet_length_std,
        of.packet_length_variance,
    ]
}

/// Twenty more that follow from them: shares and ratios, which do not depend on how large a flow is.
fn derived(of: &NetworkFeatures) -> Vec<f64> {
    let packets = (of.total_forward_packets + of.total_backward_packets) as f64;
    let bytes = (of.total_forward_bytes + of.total_backward_bytes) as f64;
    let share = |count: u32| ratio(count.into(), packets);
    vec![
        packets,
        bytes,
        of.flow_duration_microseconds as f64 / 1e6,
        ratio(of.total_forward_packets as f64, packets),
        ratio(of.total_forward_bytes as f64, bytes),
        ratio(of.total_backward_packets as f64, of.total_forward_packets as f64),
        share(of.fin_flag_count),
        share(of.syn_flag_count),
        share(of.rst_flag_count),
        share(of.psh_flag_count),
        share(of.ack_flag_count),
        ratio(of.syn_flag_count.into(), of.ack_flag_count.into()),
        ratio(of.forward_header_length + of.backward_header_length, bytes),
        ratio(of.packet_length_std, of.packet_length_mean),
        ratio(of.forward_packet_length_std, of.forward_packet_length_mean),
        ratio(of.backward_packet_length_std, of.backward_packet_length_mean),
        ratio(of.flow_inter_arrival_time_std, of.flow_inter_arrival_time_mean),
        ratio(of.flow_inter_arrival_time_max as f64, of.flow_duration_microseconds as f64),
        (of.maximum_packet_length - of.minimum_packet_length) as f64,
        ratio(of.flow_bytes_per_second, of.flow_packets_per_second),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::flow::Kind;

    fn is_near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Web), Just(Kind::Upload), Just(Kind::SynFlood)]
    }

    proptest! {
        /// The relations between counts, sizes, rates and times that hold of every flow there can be.
        #[test]
        fn what_is_measured_does_not_contradict_itself(kind in kind(), seed in any::<u64>(), start_ms in 0..4e12 as u64) {
            let flow = Flow::draw(kind, &mut StdRng::seed_from_u64(seed));
            let ends = Ends {
                source_ip: "10.0.0.1".into(), destination_ip: "1.1.1.1".into(), source_port: 40_000, destination_port: 443,
            };
            let of = measure(&flow, &ends, start_ms);
            let packets = of.total_forward_packets + of.total_backward_packets;
            let bytes = of.total_forward_bytes + of.total_backward_bytes;
            let seconds = of.flow_duration_microseconds as f64 / 1e6;
            prop_assert_eq!(packets as usize, flow.packets.len());
            prop_assert!(packets >= 3 && seconds > 0.0);
            let duration = of.flow_duration.unwrap();
            prop_assert!(is_near(duration.seconds as f64 + f64::from(duration.nanos) / 1e9, seconds));

            for (mean, count, sum, min, max, std) in [
                (of.forward_packet_length_mean, of.total_forward_packets, of.total_forward_bytes,
                    of.forward_packet_length_min, of.forward_packet_length_max, of.forward_packet_length_std),
                (of.backward_packet_length_mean, of.total_backward_packets, of.total_backward_bytes,
                    of.backward_packet_length_min, of.backward_packet_length_max, of.backward_packet_length_std),
                (of.packet_length_mean, packets, bytes,
                    of.minimum_packet_length, of.maximum_packet_length, of.packet_length_std),
            ] {
                prop_assert!(is_near(mean * count as f64, sum as f64));
                prop_assert!(min as f64 <= mean && mean <= max as f64);
                // No spread is wider than half of the range.
                prop_assert!(std <= (max - min) as f64 / 2.0 + 1e-9);
            }
            prop_assert_eq!(of.minimum_packet_length, of.forward_packet_length_min.min(of.backward_packet_length_min));
            prop_assert_eq!(of.maximum_packet_length, of.forward_packet_length_max.max(of.backward_packet_length_max));
            prop_assert!(is_near(of.packet_length_variance, of.packet_length_std * of.packet_length_std));
            prop_assert!(is_near(of.average_packet_size, of.packet_length_mean));

            prop_assert!(is_near(of.flow_bytes_per_second * seconds, bytes as f64));
            prop_assert!(is_near(of.flow_packets_per_second * seconds, packets as f64));
            prop_assert!(is_near(of.forward_packets_per_second + of.backward_packets_per_second, of.flow_packets_per_second));
            prop_assert!(is_near(of.download_upload_ratio * of.total_forward_bytes as f64, of.total_backward_bytes as f64));

            // The pauses between all packets add up to the flow; those of one direction to no more.
            prop_assert!(is_near(of.flow_inter_arrival_time_mean * (packets - 1) as f64, of.flow_duration_microseconds as f64));
            prop_assert!(of.forward_inter_arrival_time_total <= of.flow_duration_microseconds as f64);
            prop_assert!(of.backward_inter_arrival_time_total <= of.flow_duration_microseconds as f64);
            prop_assert!(of.flow_inter_arrival_time_max <= of.flow_duration_microseconds);
            prop_assert!(of.flow_inter_arrival_time_min as f64 <= of.flow_inter_arrival_time_mean);

            prop_assert_eq!(of.forward_psh_flags + of.backward_psh_flags, of.psh_flag_count);
            prop_assert_eq!(of.forward_urg_flags + of.backward_urg_flags, of.urg_flag_count);
            for count in [of.fin_flag_count, of.syn_flag_count, of.rst_flag_count, of.ack_flag_count, of.psh_flag_count] {
                prop_assert!(u64::from(count) <= packets);
            }
            prop_assert!(of.forward_header_length <= of.total_forward_bytes as f64);
            prop_assert!(is_near(
                of.average_forward_segment_size * of.total_forward_packets as f64 + of.forward_header_length,
                of.total_forward_bytes as f64,
            ));
            prop_assert!(of.forward_average_bytes_bulk <= of.total_forward_bytes as f64);
            prop_assert!(of.backward_average_packets_bulk <= of.total_backward_packets as f64);
            match kind {
                Kind::SynFlood => prop_assert!(of.syn_flag_count > of.ack_flag_count && of.fin_flag_count == 0),
                _ => prop_assert!(of.syn_flag_count == 2 && of.fin_flag_count == 2 && of.rst_flag_count == 0),
            }

            prop_assert_eq!(of.ddos_features.len(), DDOS_FEATURES);
            prop_assert!(of.ddos_features.iter().all(|number| number.is_finite() && *number >= 0.0));
        }

        #[test]
        fn a_summary_is_that_of_its_numbers(numbers in proptest::collection::vec(0..1_000_000_u64, 0..50)) {
            let summary = Summary::of(&numbers);
            prop_assert_eq!(summary.count, numbers.len() as u64);
            prop_assert!(is_near(summary.mean * summary.count as f64, summary.sum as f64));
            let squares = numbers.iter().map(|number| (*number as f64).powi(2)).sum::<f64>();
            let expected = ratio(squares, summary.count as f64) - summary.mean.powi(2);
            prop_assert!((summary.std.powi(2) - expected).abs() <= 1e-3 * expected.abs().max(1.0));
        }
    }
}
