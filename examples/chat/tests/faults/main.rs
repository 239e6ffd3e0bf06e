//! The whole chat under faults: a real node, the real programs, and a harness that kills, pauses and cuts them off.
//!
//! `SWARMMQ_CHAT_SECONDS` says for how long, `SWARMMQ_CHAT_SEED` which faults; the defaults are for a quick look. What is
//! found at the end is printed (`--nocapture`).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a broken expectation is a failure"
)]

mod bot;
mod fleet;
mod ledger;
mod program;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bot::Bot;
use crate::fleet::Fleet;

/// How long something may take that must happen. It is only ever reached by a failure.
const PATIENCE: Duration = Duration::from_secs(60);

const SERVERS: usize = 3;
const BOTS: usize = 4;

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to: {what}");
        // sleep: between two looks at the condition, with a deadline.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillServer,
    PauseServer,
    CutServerFromAll,
    CutServerFromProxy,
    KillReference,
    PauseReference,
    CutReferenceFromAll,
    RestartNode,
}

const FAULTS: [Fault; 8] = [
    Fault::KillServer,
    Fault::PauseServer,
    Fault::CutServerFromAll,
    Fault::CutServerFromProxy,
    Fault::KillReference,
    Fault::PauseReference,
    Fault::CutReferenceFromAll,
    Fault::RestartNode,
];

async fn suffer(fleet: &mut Fleet, fault: Fault, server: usize, span: Duration) {
    match fault {
        Fault::KillServer => fleet.servers[server].kill(),
        Fault::PauseServer => fleet.servers[server].pause(),
        Fault::CutServerFromAll => fleet.relays[server].iter().for_each(|relay| relay.cut(true)),
        Fault::CutServerFromProxy => fleet.relays[server][1..3].iter().for_each(|relay| relay.cut(true)),
        Fault::KillReference => fleet.reference.kill(),
        Fault::PauseReference => fleet.reference.pause(),
        Fault::CutReferenceFromAll => fleet.relays.iter().for_each(|relays| relays[3].cut(true)),
        Fault::RestartNode => fleet.restart_node().await,
    }
    // sleep: the fault lasts so long; nothing waits for it to be over.
    tokio::time::sleep(span).await;
    match fault {
        Fault::KillServer => fleet.servers[server].start(),
        Fault::PauseServer => fleet.servers[server].resume(),
        Fault::KillReference => fleet.reference.start(),
        Fault::PauseReference => fleet.reference.resume(),
        Fault::CutServerFromAll
        | Fault::CutServerFromProxy
        | Fault::CutReferenceFromAll
        | Fault::RestartNode => {}
    }
    fleet.relays.iter().flatten().for_each(|relay| relay.cut(false));
}

/// Waits until all servers have elected the one with the lowest rank.
async fn settled(fleet: &Fleet) {
    let mut seen = Vec::new();
    until("one coordinator", || {
        seen = fleet.servers.iter().map(ledger::coordinator).collect();
        let expected = fleet.lowest_rank();
        expected.is_some() && seen.iter().all(|coordinator| *coordinator == expected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_are_the_same_whatever_happened_and_one_server_coordinates() {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
    };
    let span = Duration::from_secs(number("SWARMMQ_CHAT_SECONDS", 30));
    let seed = number("SWARMMQ_CHAT_SEED", rand::random());
    println!("SWARMMQ_CHAT_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::start(folder.path(), SERVERS).await;
    settled(&fleet).await;
    let bots: Vec<Bot> = (0..BOTS).map(|number| Bot::start(number, fleet.broker())).collect();

    let began = Instant::now();
    let mut suffered: BTreeMap<Fault, u32> = BTreeMap::new();
    let mut settled_periods = 0;
    while began.elapsed() < span {
        let fault = FAULTS[chance.random_range(0..FAULTS.len())];
        let server = chance.random_range(0..SERVERS);
        let lasts = Duration::from_millis(chance.random_range(1_000..9_000));
        suffer(&mut fleet, fault, server, lasts).await;
        *suffered.entry(fault).or_default() += 1;
        if chance.random_range(0..3) == 0 {
            settled(&fleet).await;
            settled_periods += 1;
        }
    }
    let mut taken = BTreeSet::new();
    let (mut refused, mut unanswered) = (0, 0);
    for bot in bots {
        let log = bot.stop().await;
        taken.extend(log.taken);
        refused += log.refused;
        unanswered += log.unanswered;
    }
    settled(&fleet).await;
    let healed = Instant::now();
    until("the same histories", || fleet.same_histories()).await;
    let took = healed.elapsed();
    fleet.stop().await;
    assert!(fleet.same_histories());
    let mut repaired = 0;
    for server in &fleet.servers {
        ledger::check(server, &taken);
        repaired += server.log().matches("última linha incompleta removida").count();
    }
    println!(
        "{} s of faults {suffered:?}; {} records, {} of them acknowledged to bots, {refused} refused, {unanswered} \
         unanswered; {settled_periods} settled periods with one coordinator each; {repaired} torn lines repaired; the \
         same histories {} ms after the last fault and the election were over",
        span.as_secs(),
        ledger::records(&fleet.servers[0]).len(),
        taken.len(),
        took.as_millis()
    );
    assert!(taken.len() > 50, "too little was written for this to mean something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_and_bots_see_what_is_written_and_servers_say_what_they_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::start(folder.path(), 2).await;
    settled(&fleet).await;
    let mut bot = fleet.client(folder.path(), "user4821", &["--auto", "--interval-ms", "50"]);
    bot.start();
    until("a bot hears itself", || {
        bot.log().contains("[user4821] <- (#") && bot.log().contains("auto-msg 3 de user4821")
    })
    .await;
    assert!(
        bot.log().contains("[BOT] user4821 iniciado e enviando mensagens automáticas..."),
        "{}",
        bot.log()
    );
    let mut person = fleet.client(folder.path(), "ana", &[]);
    person.start();
    until("a person hears a bot", || person.log().contains("de user4821")).await;
    person.write("/msg user4821 oi\n/canal nenhum\n/canais\nolá a todos\n");
    until("a bot hears a person", || bot.log().contains("[user4821] <- (@ana) oi")).await;
    until("everybody hears a person", || bot.log().contains("ana: olá a todos")).await;
    assert!(person.log().contains("[ana] canal inexistente"), "{}", person.log());
    assert!(person.log().contains("[ana] canais: dev, general, random"), "{}", person.log());
    until("servers do what they say", || {
        fleet.servers.iter().all(|server| {
            [
                "] rank obtido: ",
                "] coordenador inicial: ",
                "] replicou registro de ",
                "] sincronizou clock com ref (time=",
            ]
            .iter()
            .all(|line| server.log().contains(line))
        })
    })
    .await;
    assert!(fleet.reference.log().contains("[ref] servidor de referência iniciado em tcp://"));
    assert!(!bot.log().contains('\u{1b}'), "a file has no colours");
    bot.stop();
    person.write("/sair\n");
    person.ends_well();
    until("the same histories", || fleet.same_histories()).await;
    fleet.stop().await;
}
