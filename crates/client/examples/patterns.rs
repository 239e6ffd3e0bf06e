//! Programs that speak plain ZeroMQ with a pattern of the Guide, one a verb. They print what comes, a line each.
//!
//! ```text
//! patterns request ADDRESS WORD…            ask a REP server
//! patterns call VERSION ADDRESS SERVICE WORD…   ask a service of Majordomo, version 1 or 2
//! patterns store ADDRESS SERVICE WORD…      ask a service by way of Titanic
//! patterns work-behind-queue ADDRESS        a worker of the Paranoid Pirate protocol, which echoes
//! patterns work VERSION ADDRESS SERVICE     a worker of Majordomo, which echoes
//! patterns subscribe ADDRESS PREFIX         print numbered messages
//! patterns watch ADDRESS PREFIX             print messages that are not numbered
//! patterns snail ADDRESS LIMIT_MS           print messages until one is too old
//! ```

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use swarmmq::zeromq::{
    LazyPirateClient, MdpClient, MdpVersion, OmqConnector, RequestOptions, ServiceName, Subscriber,
    SubscriberOptions, TimestampFormat, TitanicClient, Worker, WorkerOptions,
};

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["request", address, body @ ..] => request(address, body).await,
        ["call", version, address, service, body @ ..] => call(version, address, service, body).await,
        ["store", address, service, body @ ..] => store(address, service, body).await,
        ["work-behind-queue", address] => {
            work(Worker::ppp(OmqConnector::dealer([address])?, WorkerOptions::default())?).await
        }
        ["work", version, address, service] => {
            let service = ServiceName::new(service.to_string())?;
            let connector = OmqConnector::dealer([address])?;
            work(Worker::mdp(connector, self::version(version), service, WorkerOptions::default())?).await
        }
        ["subscribe", address, prefix] => subscribe(address, prefix).await,
        ["watch", address, prefix] => watch(address, prefix).await,
        ["snail", address, limit_ms] => snail(address, limit_ms.parse()?).await,
        _ => Err("the first lines of this program say how to call it".into()),
    }
}

fn options() -> RequestOptions {
    RequestOptions::default().pauses(Duration::from_millis(10), Duration::from_secs(1))
}

fn version(word: &str) -> MdpVersion {
    if word == "2" { MdpVersion::V02 } else { MdpVersion::V01 }
}

fn owned(words: &[&str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn print(what: &str, frames: &[Bytes]) {
    let words: Vec<_> = frames.iter().map(|frame| frame.escape_ascii().to_string()).collect();
    println!("{what} {}", words.join(" "));
}

async fn request(address: &str, body: &[&str]) -> Outcome {
    let mut client = LazyPirateClient::new(OmqConnector::dealer([address])?, options())?;
    print("reply", &client.request(owned(body)).await?);
    Ok(())
}

async fn call(version: &str, address: &str, service: &str, body: &[&str]) -> Outcome {
    let connector = OmqConnector::dealer([address])?;
    let mut client = MdpClient::new(connector, self::version(version), options())?;
    let reply = client.request(&ServiceName::new(service.to_owned())?, owned(body)).await?;
    for part in &reply.partial {
        print("part", part);
    }
    print("reply", &reply.last);
    Ok(())
}

async fn store(address: &str, service: &str, body: &[&str]) -> Outcome {
    let mut titanic = TitanicClient::new(OmqConnector::dealer([address])?, MdpVersion::V01, options())?;
    let id = titanic.store(&ServiceName::new(service.to_owned())?, owned(body)).await?;
    println!("stored {id}");
    let reply = titanic.wait(id, Duration::from_secs(60)).await?;
    titanic.close(id).await?;
    print("reply", &reply);
    Ok(())
}

async fn work(mut worker: Worker) -> Outcome {
    while let Some(request) = worker.next_request().await {
        print("request", request.body());
        let body = request.body().to_vec();
        if let Err(error) = request.reply(body).await {
            println!("lost {error}");
        }
    }
    Ok(())
}

async fn subscribe(address: &str, prefix: &str) -> Outcome {
    let connector = OmqConnector::subscriber([address])?;
    let mut subscriber = Subscriber::connect(connector, SubscriberOptions::default().numbered()).await?;
    subscriber.subscribe(prefix.to_owned()).await?;
    loop {
        let update = subscriber.recv().await?;
        print(&format!("{:?} {}", update.continuity, update.topic.escape_ascii()), &update.payload);
    }
}

async fn watch(address: &str, prefix: &str) -> Outcome {
    let connector = OmqConnector::subscriber([address])?;
    let mut subscriber = Subscriber::connect(connector, SubscriberOptions::default()).await?;
    subscriber.subscribe(prefix.to_owned()).await?;
    loop {
        let update = subscriber.recv().await?;
        print(&update.topic.escape_ascii().to_string(), &update.payload);
    }
}

async fn snail(address: &str, limit_ms: u64) -> Outcome {
    let options = SubscriberOptions::default()
        .age_max(Duration::from_millis(limit_ms), TimestampFormat::TextMillis)
        .timestamp_is_topic();
    let mut subscriber = Subscriber::connect(OmqConnector::subscriber([address])?, options).await?;
    subscriber.subscribe("").await?;
    loop {
        print("message", &[subscriber.recv().await?.topic]);
    }
}
