//! What a message costs in time and memory: `cargo run --release -p swarmmq-broker --example cost`.
//!
//! Times are of the processor, as Linux counts them. Memory is what the process grows by,
//! so only the first lines of a run say much: later ones use again what earlier ones have freed.
#![allow(clippy::expect_used)]

use swarmmq_broker::{AutoCreate, EntryBuilder, LeaseRequest, Shard, ShardLimits};
use swarmmq_protocol::request::{Put, Settle, Verdict};
use swarmmq_protocol::settings::DestinationSettings;
use swarmmq_protocol::{DestinationName, EncodedMessage, GroupName, Message, MessageId};

fn main() {
    for batch in [1, 64, 1024] {
        run("plain", batch, |message, _| message);
    }
    run("with an id", 64, |message, nth| message.id(MessageId((nth as u128 + 1) * 0x9e37_79b9_7f4a_7c15)));
    run("with a key and a time to live", 64, |message, nth| {
        message.key(format!("customer-{}", nth % 10_000)).ttl_ms(1 << 40)
    });
}

const MESSAGES: usize = 1 << 20;
const LEASED: usize = 1 << 15;

fn run(what: &str, batch: usize, make: impl Fn(Message, usize) -> Message) {
    let name = DestinationName::new("orders").expect("it is a name");
    let group = GroupName::default_group();
    let puts: Vec<Put> = (0..MESSAGES / batch)
        .map(|entry| Put {
            destination: name.clone(),
            stamp: None,
            expected_last: None,
            messages: (0..batch)
                .map(|nth| encode(make(Message::new(vec![0; 100]), entry * batch + nth)))
                .collect(),
        })
        .collect();
    let mut shard = Shard::new(0, ShardLimits::default());
    shard.reset_volatile(1);
    let auto_create = AutoCreate::from(DestinationSettings::queue());
    let mut now_ms = 1_000;
    let entries: Vec<_> = puts
        .iter()
        .enumerate()
        .map(|(nth, put)| {
            let mut entry = EntryBuilder::new(now_ms, shard.token_bound());
            entry.push_put(put, (nth == 0).then_some(&auto_create));
            entry.finish()
        })
        .collect();

    let before = resident_bytes();
    let mut index = 0;
    let (entries_ns, ()) = timed(|| {
        for entry in &entries {
            index += 1;
            let _ = shard.apply(index, entry.clone()).expect("it is an entry");
        }
    });
    let bytes = resident_bytes().saturating_sub(before);
    drop(puts);
    let (mut lease_ns, mut plan_ns, mut apply_ns) = (0, 0, 0);
    let request = LeaseRequest {
        destination: name.clone(),
        group: group.clone(),
        consumer: 1,
        messages_max: batch,
        bytes_max: usize::MAX,
        lease_ms: 0,
    };
    // As many at once as a group leases by default, so that each step is long enough to be timed.
    let rounds = LEASED / batch;
    for _ in 0..MESSAGES / batch / rounds {
        now_ms += 1;
        let (ns, leases) = timed(|| {
            (0..rounds)
                .map(|_| shard.lease(now_ms, &request).expect("there is the group").leased)
                .collect::<Vec<_>>()
        });
        lease_ns += ns;
        let settles: Vec<Settle> = leases
            .iter()
            .map(|leased| Settle {
                destination: name.clone(),
                group: group.clone(),
                verdict: Verdict::Ack,
                receipts: leased.iter().map(|leased| leased.receipt).collect(),
            })
            .collect();
        let (ns, entries) = timed(|| {
            let plan = |settle| {
                let plan = shard.settle(now_ms, settle).expect("there is the group");
                let mut entry = EntryBuilder::new(now_ms, shard.token_bound());
                entry.push(&plan.command.expect("there is something to settle"));
                entry.finish()
            };
            settles.iter().map(plan).collect::<Vec<_>>()
        });
        plan_ns += ns;
        apply_ns += timed(|| {
            for entry in entries {
                index += 1;
                let _ = shard.apply(index, entry).expect("it is an entry");
            }
        })
        .0;
    }
    assert_eq!(shard.held().count(), 0, "all were settled");
    let each = |ns: u128| ns / MESSAGES as u128;
    println!(
        "{what}, batches of {batch}: put {} ns, lease {} ns, plan of the ack {} ns, ack {} ns; {} B held a waiting message",
        each(entries_ns),
        each(lease_ns),
        each(plan_ns),
        each(apply_ns),
        bytes / MESSAGES
    );
}

fn encode(message: Message) -> EncodedMessage {
    message.encode().expect("it is within the limits")
}

/// How long `run` was on a processor: other programs on the machine do not count.
fn timed<T>(run: impl FnOnce() -> T) -> (u128, T) {
    let start = on_cpu_ns();
    let value = run();
    (on_cpu_ns() - start, value)
}

fn on_cpu_ns() -> u128 {
    let status = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    status.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// Bytes of memory the process has.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}
