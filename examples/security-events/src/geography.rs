//! Where things are, and how far from each other.

use crate::event::{GeoEnrichment, GeoLocationInfo, geo_location_info::ThreatLevel, timestamp};

/// Mean radius of the earth, km.
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A place with addresses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) country: &'static str,
    pub(crate) country_code: &'static str,
    pub(crate) continent: &'static str,
    pub(crate) region: &'static str,
    pub(crate) city: &'static str,
    /// Degrees.
    pub(crate) latitude: f64,
    /// Degrees.
    pub(crate) longitude: f64,
    pub(crate) timezone: &'static str,
    pub(crate) isp: &'static str,
    pub(crate) autonomous_system: &'static str,
}

pub(crate) const SEVILLA: Place = Place {
    country: "Spain",
    country_code: "ES",
    continent: "Europe",
    region: "Andalucía",
    city: "Sevilla",
    latitude: 37.3886,
    longitude: -5.9823,
    timezone: "Europe/Madrid",
    isp: "Telefónica",
    autonomous_system: "AS3352",
};

pub(crate) const SAN_FRANCISCO: Place = Place {
    country: "United States",
    country_code: "US",
    continent: "North America",
    region: "California",
    city: "San Francisco",
    latitude: 37.7749,
    longitude: -122.4194,
    timezone: "America/Los_Angeles",
    isp: "Cloudflare",
    autonomous_system: "AS13335",
};

/// The length of the great circle between two places, km (haversine).
pub(crate) fn distance_km(from: &Place, to: &Place) -> f64 {
    let (a, b) = (from.latitude.to_radians(), to.latitude.to_radians());
    let across = ((to.longitude - from.longitude).to_radians() / 2.0).sin();
    let up = ((b - a) / 2.0).sin();
    let chord = up * up + a.cos() * b.cos() * across * across;
    2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin()
}

/// What a distance is called.
fn category(km: f64) -> &'static str {
    match km {
        km if km < 100.0 => "local",
        km if km < 1000.0 => "regional",
        km if km < 5000.0 => "continental",
        _ => "intercontinental",
    }
}

/// How two places stand to each other, as seen from the first.
fn relationship(from: &Place, to: &Place) -> &'static str {
    if from.city == to.city {
        "same_city"
    } else if from.country_code == to.country_code {
        "domestic"
    } else if from.continent == to.continent {
        "same_continent"
    } else {
        "international"
    }
}

fn location(place: &Place, threat: ThreatLevel) -> GeoLocationInfo {
    GeoLocationInfo {
        country_name: place.country.into(),
        country_code: place.country_code.into(),
        region_name: place.region.into(),
        city_name: place.city.into(),
        latitude: place.latitude,
        longitude: place.longitude,
        timezone: place.timezone.into(),
        isp_name: place.isp.into(),
        organization_name: place.isp.into(),
        autonomous_system_number: place.autonomous_system.into(),
        threat_level: threat.into(),
        ..GeoLocationInfo::default()
    }
}

/// What is known of a flow by where it comes from and goes to. The capturing node stands at the source.
pub(crate) fn enrich(
    source: &Place,
    destination: &Place,
    private_ip: &str,
    public_ip: &str,
    threat: ThreatLevel,
    now_ms: u64,
    lookup_ms: f32,
) -> GeoEnrichment {
    let sniffer = source;
    let apart = distance_km(source, destination);
    GeoEnrichment {
        sniffer_node_geo: Some(location(sniffer, ThreatLevel::Low)),
        source_ip_geo: Some(location(source, threat)),
        destination_ip_geo: Some(location(destination, ThreatLevel::Low)),
        source_destination_distance_km: apart,
        source_destination_same_country: source.country_code == destination.country_code,
        source_destination_same_continent: source.continent == destination.continent,
        distance_category: category(apart).into(),
        sniffer_source_distance_km: distance_km(sniffer, source),
        sniffer_source_same_country: sniffer.country_code == source.country_code,
        sniffer_source_relationship: relationship(sniffer, source).into(),
        sniffer_destination_distance_km: distance_km(sniffer, destination),
        sniffer_destination_same_country: sniffer.country_code == destination.country_code,
        sniffer_destination_relationship: relationship(sniffer, destination).into(),
        threat_intelligence_matches: Vec::new(),
        threat_intelligence_source: "none".into(),
        // Half of the way round the earth is as far as it gets.
        geographic_anomaly_score: (apart / (std::f64::consts::PI * EARTH_RADIUS_KM)) as f32,
        suspicious_geographic_pattern: threat as i32 >= ThreatLevel::High as i32,
        sniffer_node_enriched: true,
        source_ip_enriched: true,
        destination_ip_enriched: true,
        enrichment_complete: true,
        public_ip_discovery_attempted: true,
        original_private_ip: private_ip.into(),
        discovered_public_ip: public_ip.into(),
        ip_discovery_service: "configured".into(),
        ip_discovery_time: Some(timestamp(now_ms)),
        enricher_version: env!("CARGO_PKG_VERSION").into(),
        geoip_method: "table".into(),
        geoip_database_version: "built-in".into(),
        fallback_coordinates_used: false,
        total_lookup_latency_ms: lookup_ms,
        cache_hits: 3,
        cache_misses: 0,
        enrichment_success_rate: 1.0,
        enrichment_timestamp: Some(timestamp(now_ms)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Place {
        Place { latitude, longitude, ..SEVILLA }
    }

    fn anywhere() -> impl Strategy<Value = Place> {
        (-90.0..=90.0, -180.0..=180.0).prop_map(|(latitude, longitude)| at(latitude, longitude))
    }

    proptest! {
        #[test]
        fn distances_are_a_metric_on_a_sphere(a in anywhere(), b in anywhere(), c in anywhere()) {
            let half_way_round = std::f64::consts::PI * EARTH_RADIUS_KM;
            prop_assert!(distance_km(&a, &a) < 1e-6);
            prop_assert!((distance_km(&a, &b) - distance_km(&b, &a)).abs() < 1e-6);
            prop_assert!(distance_km(&a, &b) <= half_way_round + 1e-6);
            prop_assert!(distance_km(&a, &c) <= distance_km(&a, &b) + distance_km(&b, &c) + 1e-6);
        }

        /// The law of cosines says the same, where it is exact.
        #[test]
        fn haversine_agrees_with_the_law_of_cosines(a in anywhere(), b in anywhere()) {
            let (first, second) = (a.latitude.to_radians(), b.latitude.to_radians());
            let across = (b.longitude - a.longitude).to_radians();
            let cosine = first.sin() * second.sin() + first.cos() * second.cos() * across.cos();
            prop_assume!(cosine.abs() < 0.9999);
            prop_assert!((distance_km(&a, &b) - EARTH_RADIUS_KM * cosine.acos()).abs() < 1e-3);
        }
    }

    #[test]
    fn known_distances_are_as_known() {
        let degree = std::f64::consts::PI * EARTH_RADIUS_KM / 180.0;
        assert!((distance_km(&at(0.0, 0.0), &at(1.0, 0.0)) - degree).abs() < 1e-6);
        assert!((distance_km(&at(0.0, 179.5), &at(0.0, -179.5)) - degree).abs() < 1e-6, "over the date line");
        let apart = distance_km(&SEVILLA, &SAN_FRANCISCO);
        assert!((9_300.0..9_500.0).contains(&apart), "{apart}");
        assert_eq!(category(apart), "intercontinental");
    }
}
