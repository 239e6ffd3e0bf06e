//! Connections that never finish their handshake.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The product's promise, and what a busy machine may add to it.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(1);
/// Opened at once, so that the machine's listen queue is not what is tested.
const OPENED_AT_ONCE: usize = 200;

/// Opens connections to both ports, and waits until the node has closed all. Says how long the longest stood.
pub(super) async fn flood(native: u16, natives: usize, zeromq: u16, zeromqs: usize) -> Result<Duration> {
    let native = (0..natives).map(|nth| (native, nth));
    let zeromq = (0..zeromqs).map(|nth| (zeromq, nth));
    let ports: Vec<(u16, usize)> = native.chain(zeromq).collect();
    let mut open = JoinSet::new();
    for some in ports.chunks(OPENED_AT_ONCE) {
        let mut opening = JoinSet::new();
        for &(port, nth) in some {
            opening.spawn(connect(port, nth));
        }
        while let Some(opened) = opening.join_next().await {
            let stream = opened?.context("a connection of the flood was not accepted")?;
            open.spawn(until_closed(stream, Instant::now()));
        }
    }
    let mut longest = Duration::ZERO;
    while let Some(closed) = open.join_next().await {
        longest = longest.max(closed??);
    }
    Ok(longest)
}

/// One in two says nothing, the other begins with what both protocols may begin with, and goes no further.
async fn connect(port: u16, nth: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    if nth.is_multiple_of(2) {
        // The node may have closed it already, to let younger ones in.
        let _ = stream.write_all(&[0]).await;
    }
    Ok(stream)
}

async fn until_closed(mut stream: TcpStream, opened: Instant) -> Result<Duration> {
    let mut buffer = [0; 256];
    let limit = CLOSED_WITHIN + GRACE;
    let closed = async {
        // A goodbye or a greeting may come first.
        while let Ok(1..) = stream.read(&mut buffer).await {}
    };
    let is_closed = tokio::time::timeout(limit, closed).await.is_ok();
    ensure!(is_closed, "a connection that says nothing still stands after {limit:?}");
    Ok(opened.elapsed())
}
