//! What is said of the services that are registered.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use swarmmq_protocol::service::{Instance, ServiceNews, ServicesReply};

use super::routes::Http;

/// Something that knows the services.
pub trait ServiceSource: Send + Sync + 'static {
    /// All that are registered now; none, where there is no registry yet.
    fn services(&self) -> Option<ServicesReply>;
}

/// No services.
pub(super) struct NoServices;

impl ServiceSource for NoServices {
    fn services(&self) -> Option<ServicesReply> {
        None
    }
}

pub(super) async fn services(State(http): State<Http>) -> Json<Value> {
    let instances = match http.services.services().map(|reply| reply.news) {
        Some(ServiceNews::All(instances)) => instances,
        _ => Vec::new(),
    };
    let instances: Vec<Value> = instances.iter().map(instance_json).collect();
    Json(json!({ "instances": instances }))
}

/// An instance as `/services` shows it, and as the program does with `--json`.
#[must_use]
pub fn instance_json(one: &Instance) -> Value {
    json!({
        "service": one.key.service.as_str(),
        "id": one.key.id.as_str(),
        "endpoint": one.endpoint,
        "health": one.health.as_str(),
        "heartbeat_ms": one.heartbeat_ms,
        "ttl_ms": one.ttl_ms,
        "metadata": one.metadata,
    })
}
