//! Clients that remember what they were told was done.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use swarmmq::zeromq::{LazyPirateClient, OmqConnector, RequestOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A client that writes until it is stopped.
pub(crate) struct Bot {
    stop: watch::Sender<bool>,
    task: JoinHandle<Log>,
}

/// What became of what it wrote.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) taken: Vec<String>,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
}

#[derive(Serialize)]
struct Request {
    service: &'static str,
    data: Value,
}

impl Bot {
    pub(crate) fn start(number: usize, broker: String) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(write(number, broker, stopped)) }
    }

    pub(crate) async fn stop(self) -> Log {
        self.stop.send_replace(true);
        self.task.await.unwrap()
    }
}

async fn write(number: usize, broker: String, stopped: watch::Receiver<bool>) -> Log {
    let options = RequestOptions::default().timeout(Duration::from_millis(700)).attempts(1);
    let mut client = LazyPirateClient::new(OmqConnector::dealer([broker]).unwrap(), options).unwrap();
    let user = format!("bot{number}");
    let mut log = Log::default();
    let mut clock = 0_u64;
    for message in 0_u64.. {
        if *stopped.borrow() {
            break;
        }
        let text = format!("{user} {message}");
        clock += 1;
        let (service, data) = match message % 5 {
            _ if message % 100 == 0 => ("register_user", serde_json::json!({ "user": user, "clock": clock })),
            4 => {
                ("message", serde_json::json!({ "src": user, "dst": user, "message": text, "clock": clock }))
            }
            _ => {
                let channel = ["general", "random", "dev"][(message % 3) as usize];
                let data =
                    serde_json::json!({ "user": user, "channel": channel, "message": text, "clock": clock });
                ("publish", data)
            }
        };
        let request = rmp_serde::to_vec_named(&Request { service, data }).unwrap();
        match client.request([request]).await {
            Ok(reply) => {
                let reply: Value = rmp_serde::from_slice(&reply[0]).unwrap();
                clock = clock.max(reply["data"]["clock"].as_u64().unwrap()) + 1;
                match reply["data"]["status"].as_str().unwrap() {
                    "OK" if service != "register_user" => log.taken.push(text),
                    "OK" => {}
                    _ => log.refused += 1,
                }
            }
            Err(_) => log.unanswered += 1,
        }
        // sleep: the pace of a person, and not as fast as the machine can.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    log
}
