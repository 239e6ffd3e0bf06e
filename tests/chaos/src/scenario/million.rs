//! A million messages that nobody consumes yet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use swarmmq::{Client, DestinationName, DestinationSettings, Message};
use tokio::task::JoinSet;

use crate::memory;
use crate::node::{Node, Setup};
use crate::scenario::Bench;

const MESSAGES: u64 = 1_000_000;
const PAYLOAD_BYTES: usize = 128;
const PRODUCERS: u64 = 4;
const CREDIT: u32 = 4_096;
/// The product's promises.
const RESIDENT_MAX: u64 = 512_000_000;
const OVERHEAD_BYTES_MAX: u64 = 100;
const RESTART_MAX: Duration = Duration::from_secs(5);
const STOP_MAX: Duration = Duration::from_secs(20);
/// A start that is longer than promised is still waited for, to be told.
const START_MAX: Duration = Duration::from_secs(60);
/// No message is waited for so long.
const SILENCE_MAX: Duration = Duration::from_secs(20);

pub(super) async fn run(bench: &Bench) -> Result<()> {
    let setup = Setup::create(&bench.binary, &bench.dir, &bench.dir, "")?;
    let queue = DestinationName::new("chaos.million")?;
    let mut node = Node::start(&setup).await?;
    let client = Client::connect(setup.address()).await?;
    client.create_destination(&queue, DestinationSettings::queue()).await?;

    let began = Instant::now();
    produce(&client, &queue).await?;
    println!("   {MESSAGES} messages of {PAYLOAD_BYTES} B stored in {:.1} s", began.elapsed().as_secs_f32());
    weigh(&setup, &node, "after the puts")?;

    let (status, stopping) = node.terminate(STOP_MAX).await?;
    ensure!(status.success(), "the node was told to stop, and ended with {status}");
    println!("   stopped in {} ms", stopping.as_millis());
    node = restart(&setup, "after SIGTERM").await?;
    node.kill()?;
    node = restart(&setup, "after kill -9").await?;

    let began = Instant::now();
    consume(&client, &queue).await?;
    println!("   all of them delivered and acknowledged in {:.1} s", began.elapsed().as_secs_f32());
    weigh(&setup, &node, "at the end")?;
    node.kill()
}

async fn produce(client: &Client, queue: &DestinationName) -> Result<()> {
    let mut producers = JoinSet::new();
    for nth in 0..PRODUCERS {
        let producer = client.producer(queue).build();
        producers.spawn(async move {
            for number in (nth..MESSAGES).step_by(PRODUCERS as usize) {
                drop(producer.enqueue(Message::new(payload(number))).await?);
            }
            producer.flush().await
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended?.context("a put failed")?;
    }
    Ok(())
}

/// Starts a node on what is there, and holds it against the promises.
async fn restart(setup: &Setup, what: &str) -> Result<Node> {
    let mut node = Node::spawn(setup, &[])?;
    let took = node.until_healthy(START_MAX).await?;
    println!("   healthy {} ms after its start, {what}", took.as_millis());
    ensure!(took < RESTART_MAX, "a start took {took:?} {what}, and {RESTART_MAX:?} are promised");
    weigh(setup, &node, what)?;
    Ok(node)
}

fn weigh(setup: &Setup, node: &Node, what: &str) -> Result<()> {
    let memory = memory::of_process(node.pid())?;
    let disk = memory::of_folder(&setup.data)?;
    let overhead = ((disk.written + disk.reserved) / MESSAGES).saturating_sub(PAYLOAD_BYTES as u64);
    println!(
        "   {what}: resident {}, at most {}; {} written and {} reserved in {} files: {overhead} B a message beyond \
         the payload",
        memory::mib(memory.resident),
        memory::mib(memory.peak),
        memory::mib(disk.written),
        memory::mib(disk.reserved),
        disk.files
    );
    ensure!(memory.peak < RESIDENT_MAX, "{} of memory, and 512 MB are promised", memory::mib(memory.peak));
    ensure!(overhead < OVERHEAD_BYTES_MAX, "{overhead} B a message beyond its payload");
    Ok(())
}

/// Takes all messages, and sees that each came and was what was sent.
async fn consume(client: &Client, queue: &DestinationName) -> Result<()> {
    let mut consumer = client.consumer(queue).credit(CREDIT).build().await?;
    let mut has_come = vec![false; usize::try_from(MESSAGES)?];
    let mut missing = MESSAGES;
    while missing > 0 {
        let next = tokio::time::timeout(SILENCE_MAX, consumer.next()).await;
        let delivered = next
            .with_context(|| format!("{missing} messages do not come"))?
            .context("the consumer has ended")??;
        let payload_seen = &delivered.message().payload;
        let number = payload_seen.first_chunk().map(|number| u64::from_be_bytes(*number));
        let number = number.context("a payload is too short")?;
        ensure!(*payload_seen == payload(number), "message {number} was changed");
        let has_come = has_come.get_mut(usize::try_from(number)?).context("nobody sent this message")?;
        if !std::mem::replace(has_come, true) {
            missing -= 1;
        }
        delivered.ack_later();
    }
    consumer.close().await;
    let left = client.describe_destination(queue).await?.messages;
    ensure!(left == 0, "{left} messages remain, and all came and were acknowledged");
    Ok(())
}

fn payload(number: u64) -> Bytes {
    let mut payload = vec![b'm'; PAYLOAD_BYTES];
    if let Some(front) = payload.first_chunk_mut() {
        *front = number.to_be_bytes();
    }
    payload.into()
}
