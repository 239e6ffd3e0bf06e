//! What is left and what stands in the log, once clients have stopped.

use std::time::Duration;

use anyhow::{Context as _, Result};
use swarmmq::{Client, DestinationName, GroupName};

use crate::workload::recorder::Recorder;

/// Messages read from a log at once.
const PAGE: u32 = 1024;
/// How long the end of a log is waited for.
const END_WAIT: Duration = Duration::from_millis(200);

/// How many messages these groups of a destination have not settled.
pub(super) async fn unsettled(
    client: &Client,
    destination: &DestinationName,
    groups: &[GroupName],
) -> Result<u64> {
    let info = client.describe_destination(destination).await?;
    let groups = info.groups.iter().filter(|group| groups.contains(&group.name));
    Ok(groups.map(|group| group.ready + group.leased + group.delayed).sum())
}

/// Whether every dead letter of `from` has reached `letters` and was taken there.
pub(super) async fn are_letters_taken(
    client: &Client,
    from: &DestinationName,
    letters: &DestinationName,
) -> Result<bool> {
    let dead: u64 = client.describe_destination(from).await?.groups.iter().map(|group| group.dead).sum();
    let info = client.describe_destination(letters).await?;
    Ok(info.last >= dead && info.messages == 0)
}

/// Reads a stream's whole log by a group that has consumed nothing yet.
pub(super) async fn read_log(
    client: &Client,
    stream: &DestinationName,
    group: &GroupName,
    recorder: &Recorder,
) -> Result<()> {
    recorder.amend(|history| history.log = Some(Vec::new()));
    let last = client.describe_destination(stream).await?.last;
    let mut reached = 0;
    while reached < last {
        let page = client.pull(stream, group, PAGE, END_WAIT).await?;
        reached = page
            .last()
            .with_context(|| format!("the log of {stream} ends at {reached}, not {last}"))?
            .sequence()
            .0;
        for delivered in page {
            recorder.logged(&delivered);
            delivered.ack_later();
        }
    }
    Ok(())
}
