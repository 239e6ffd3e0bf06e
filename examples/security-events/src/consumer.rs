//! A consumer: receives events from producers, or from a durable queue, and processes them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures_util::FutureExt as _;
use futures_util::future::{join, join_all, try_join_all};
use omq_tokio::{Options, Socket, SocketType};
use prost::Message as _;
use serde_json::json;
use swarmmq::discovery::{Discovery, Instance, InstanceKey, Registration, Snapshot, View};
use swarmmq::{Client, Delivered, Message};
use tokio::time::interval;
use tracing::{debug, info, warn};

use crate::durable::{Names, message_id, put_for_certain};
use crate::event::{NetworkSecurityEvent, ms_of};
use crate::features::DDOS_FEATURES;
use crate::figures::{Figures, INTERVAL};
use crate::generator::now_ms;
use crate::options::Consumer;
use crate::record::Record;
use crate::registry::{DIAL, DIAL_CONSUMER, advertised, consumers, producers};
use crate::signals::Signals;

/// Most bytes of an event.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// Events that wait to be processed.
const QUEUE: u32 = 64;
/// How long a leased event may take; one that dies with its consumer goes to another after that.
const LEASE: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) async fn run(options: Consumer, json: bool) -> Result<()> {
    if options.queue.durable { run_durable(options, json).await } else { run_direct(options, json).await }
}

async fn run_direct(options: Consumer, json: bool) -> Result<()> {
    let mut signals = Signals::listen()?;
    let registry = options.place.registry().await?;
    let mut intake = Intake::bind(&options).await?;
    let endpoint = advertised(options.identity.advertise.as_ref(), &intake.endpoint);
    let view = registry.clone().map(|registry| Ok::<_, anyhow::Error>(View::start(registry, producers()?)));
    let view = view.transpose()?;
    let registration = match &registry {
        Some(registry) => {
            let key = options.identity.key(consumers()?)?;
            let instance = Instance::new(key, endpoint).with(DIAL, DIAL_CONSUMER);
            Some(options.identity.register(registry, instance)?)
        }
        None => None,
    };
    let mut producers = view.as_ref().map(View::subscribe);
    let mut work = Work::new(&options, json)?;
    let mut telling = interval(INTERVAL);
    telling.tick().await;
    while !work.is_done() {
        tokio::select! {
            () = signals.asked() => break,
            _ = telling.tick() => work.figures.tell(),
            changed = next_change(&mut producers) => intake.follow(&changed).await?,
            message = intake.socket.recv() => {
                let message = message.context("the socket has failed")?;
                // One frame is an event; whatever else came is not.
                match message.part_bytes(0).filter(|_| message.len() == 1) {
                    Some(bytes) => {
                        if let Some(event) = work.read(&bytes) {
                            work.processed(&event, bytes.len());
                            work.record.add([event.event_id.as_str()])?;
                        }
                    }
                    None => warn!(frames = message.len(), "a message that is no event"),
                }
            }
        }
    }
    end(registration, &work).await;
    Ok(())
}

async fn end(registration: Option<Registration>, work: &Work) {
    if let Some(registration) = registration {
        registration.deregister().await;
    }
    work.figures.tell_all();
}

type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

async fn next_change(producers: &mut Option<Snapshots>) -> Arc<Snapshot> {
    if let Some(producers) = producers
        && producers.changed().await.is_ok()
    {
        return producers.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// The socket, bound, and connected to those producers that do not connect to us.
struct Intake {
    socket: Socket,
    endpoint: String,
    connected: HashMap<InstanceKey, String>,
}

impl Intake {
    async fn bind(options: &Consumer) -> Result<Self> {
        let settings = Options::default().recv_hwm(QUEUE).max_message_size(EVENT_BYTES_MAX);
        let socket = Socket::try_new(SocketType::Pull, settings)?;
        let endpoint = socket.bind(options.bind.as_str()).await?.to_string();
        info!("PULL socket bound to {endpoint}");
        for producer in &options.connect {
            socket.connect(producer.as_str()).await?;
            info!("Connected to {producer}");
        }
        Ok(Self { socket, endpoint, connected: HashMap::new() })
    }

    /// Connects to the producers that are healthy and do not connect by themselves, and leaves the others.
    async fn follow(&mut self, snapshot: &Snapshot) -> Result<()> {
        let waits = |one: &&Instance| one.metadata.get(DIAL).is_none_or(|value| value != DIAL_CONSUMER);
        let wanted: HashMap<InstanceKey, String> =
            snapshot.healthy().filter(waits).map(|one| (one.key.clone(), one.endpoint.clone())).collect();
        let left: Vec<InstanceKey> = self
            .connected
            .iter()
            .filter(|(key, endpoint)| wanted.get(key) != Some(endpoint))
            .map(|(key, _)| key.clone())
            .collect();
        for key in left {
            if let Some(endpoint) = self.connected.remove(&key) {
                info!(producer = %key, "leaving {endpoint}");
                if let Err(error) = self.socket.disconnect(endpoint.as_str()).await {
                    debug!(producer = %key, "was not connected: {error}");
                }
            }
        }
        for (key, endpoint) in wanted {
            if self.connected.contains_key(&key) {
                continue;
            }
            match self.socket.connect(endpoint.as_str()).await {
                Ok(_) => {
                    info!(producer = %key, "Connected to {endpoint}");
                    self.connected.insert(key, endpoint);
                }
                // What somebody registered may be no endpoint at all.
                Err(error) => warn!(producer = %key, "cannot connect to {endpoint}: {error}"),
            }
        }
        Ok(())
    }
}

/// What a consumer does with events.
struct Work {
    count: Option<u64>,
    figures: Figures,
    record: Record,
    duplicates: u64,
}

impl Work {
    fn new(options: &Consumer, json: bool) -> Result<Self> {
        Ok(Self {
            count: options.count,
            figures: Figures::new("processed", json)?,
            record: Record::open(options.record.as_deref())?,
            duplicates: 0,
        })
    }

    fn is_done(&self) -> bool {
        self.count.is_some_and(|count| self.figures.events() >= count)
    }

    /// Most events to process at once.
    fn batch_max(&self) -> usize {
        let left = self.count.map_or(u64::MAX, |count| count.saturating_sub(self.figures.events()));
        usize::try_from(left).unwrap_or(usize::MAX).min(QUEUE as usize)
    }

    fn read(&self, bytes: &[u8]) -> Option<NetworkSecurityEvent> {
        match NetworkSecurityEvent::decode(bytes) {
            Ok(event) if !event.event_id.is_empty() => Some(event),
            Ok(_) => {
                warn!(bytes = bytes.len(), "an event without an id");
                None
            }
            Err(error) => {
                warn!(bytes = bytes.len(), "a message that is no event: {error}");
                None
            }
        }
    }

    fn processed(&mut self, event: &NetworkSecurityEvent, bytes: usize) {
        let sent_ms = event.event_timestamp.as_ref().and_then(ms_of).unwrap_or_default();
        self.figures.add(bytes, now_ms().saturating_sub(sent_ms) * 1000);
        if self.figures.events() == 1 {
            info!("Received {bytes} bytes via ZeroMQ");
            info!("Deserialized NetworkSecurityEvent successfully");
            show(event);
        } else {
            debug!(event_id = event.event_id, bytes, class = event.final_classification, "processed");
        }
    }
}

/// Shows an event as a person looks at it.
fn show(event: &NetworkSecurityEvent) {
    let (features, geo) = (event.network_features.as_ref(), event.geo_enrichment.as_ref());
    let city = |place: Option<&crate::event::GeoLocationInfo>| {
        place.map_or("?".to_owned(), |place| {
            format!("{}, {} ({})", place.city_name, place.country_name, place.isp_name)
        })
    };
    if let Some(of) = features {
        info!(
            "{}:{} -> {}:{} {}: {} packets, {} bytes, {:.1} packets/s, {} of {DDOS_FEATURES} ML features",
            of.source_ip,
            of.source_port,
            of.destination_ip,
            of.destination_port,
            of.protocol_name,
            of.total_forward_packets + of.total_backward_packets,
            of.total_forward_bytes + of.total_backward_bytes,
            of.flow_packets_per_second,
            of.ddos_features.len()
        );
    }
    if let Some(of) = geo {
        let (from, to) = (city(of.source_ip_geo.as_ref()), city(of.destination_ip_geo.as_ref()));
        info!("{from} -> {to}: {:.1} km", of.source_destination_distance_km);
    }
    if let Some(node) = &event.capturing_node {
        info!("captured by {} on {} ({})", node.node_id, node.node_hostname, node.physical_location);
    }
    info!(
        event_id = event.event_id,
        "{}: threat score {:.3}", event.final_classification, event.overall_threat_score
    );
}

async fn run_durable(options: Consumer, json: bool) -> Result<()> {
    let mut signals = Signals::listen()?;
    let names = Names::of(&options.queue.queue)?;
    let opened = tokio::select! {
        opened = open_durable(&options, &names) => opened?,
        () = signals.asked() => return Ok(()),
    };
    let (client, mut events, registry) = opened;
    let key = options.identity.key(consumers()?)?;
    let registration = match &registry {
        Some(registry) => {
            let instance = Instance::new(key.clone(), format!("swarmmq:{}", names.queue));
            Some(options.identity.register(registry, instance)?)
        }
        None => None,
    };
    let results = client.producer(&names.processed).build();
    info!("Events come from the durable queue {}", names.queue);
    let mut work = Work::new(&options, json)?;
    let mut telling = interval(INTERVAL);
    telling.tick().await;
    while !work.is_done() {
        tokio::select! {
            biased;
            () = signals.asked() => break,
            _ = telling.tick() => work.figures.tell(),
            delivered = events.next() => {
                let Some(first) = delivered else { break };
                let batch = gather(first?, &mut events, work.batch_max())?;
                let processing = process(batch, &results, &mut work, key.id.as_str());
                match signals.unless_asked(processing).await {
                    Some(processed) => processed?,
                    // They come again, and those that are in `processed` are recognised.
                    None => {
                        warn!("events under way are left to others");
                        break;
                    }
                }
            }
        }
    }
    if signals.unless_asked(events.close()).await.is_none() {
        warn!("the node was not told of the end");
    }
    if work.duplicates > 0 {
        info!(duplicates = work.duplicates, "events that somebody else had processed, and not acknowledged");
    }
    end(registration, &work).await;
    client.close().await;
    Ok(())
}

/// The client, the events and the registry.
async fn open_durable(
    options: &Consumer,
    names: &Names,
) -> Result<(Client, swarmmq::Consumer, Option<Arc<dyn Discovery>>)> {
    let client = options.place.client().await?;
    names.make(&client).await?;
    let registry = options.place.registry().await?;
    let events = client.consumer(&names.queue).credit(QUEUE).lease(LEASE).build().await?;
    Ok((client, events, registry))
}

/// The events that have come already, at most so many.
fn gather(first: Delivered, events: &mut swarmmq::Consumer, batch_max: usize) -> Result<Vec<Delivered>> {
    let mut batch = vec![first];
    while batch.len() < batch_max
        && let Some(Some(next)) = events.next().now_or_never()
    {
        batch.push(next?);
    }
    Ok(batch)
}

/// Processes events: what was done is stored before they are acknowledged, with one sync for all of them.
async fn process(
    batch: Vec<Delivered>,
    results: &swarmmq::Producer,
    work: &mut Work,
    consumer: &str,
) -> Result<()> {
    let mut puts = Vec::with_capacity(batch.len());
    let mut rejections = Vec::new();
    for delivered in batch {
        let payload = &delivered.message().payload;
        let bytes = payload.len();
        match work.read(payload).map(|event| (message_id(&event.event_id), event)) {
            Some((Ok(id), event)) => {
                let put = put_for_certain(results.clone(), result(&event, consumer).id(id));
                puts.push(async move { Ok::<_, anyhow::Error>((put.await?, event, bytes, delivered)) });
            }
            _ => rejections.push(delivered.reject("it is no NetworkSecurityEvent with a UUID")),
        }
    }
    let done = try_join_all(puts).await?;
    let new = done.iter().filter(|(is_duplicate, ..)| !is_duplicate);
    work.record.add(new.map(|(_, event, ..)| event.event_id.as_str()))?;
    let mut acks = Vec::with_capacity(done.len());
    for (is_duplicate, event, bytes, delivered) in done {
        if is_duplicate {
            work.duplicates += 1;
            debug!(event_id = event.event_id, "was processed before");
        } else {
            work.processed(&event, bytes);
        }
        acks.push(delivered.ack());
    }
    let (acks, rejections) = join(join_all(acks), join_all(rejections)).await;
    for error in acks.into_iter().filter_map(Result::err) {
        // It comes again, and is recognised.
        debug!("not acknowledged: {error}");
    }
    for error in rejections.into_iter().filter_map(Result::err) {
        // It comes again, and is rejected again.
        debug!("not rejected: {error}");
    }
    Ok(())
}

/// What was done with an event.
fn result(event: &NetworkSecurityEvent, consumer: &str) -> Message {
    let result = json!({
        "event_id": event.event_id,
        "consumer": consumer,
        "classification": event.final_classification,
        "threat_score": event.overall_threat_score,
    });
    Message::new(result.to_string().into_bytes())
}
