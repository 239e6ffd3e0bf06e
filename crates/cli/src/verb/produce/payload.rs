//! Where payloads come from.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use bytes::Bytes;
use swarmmq::protocol::limits::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;

use crate::console::Console;
use crate::failure::Failure;

/// Lines are handed over in batches of about this many bytes, or as soon as there is no more to read at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Batches that may be read ahead.
const BATCHES_AHEAD: usize = 4;

/// What payloads are made from.
#[derive(Debug)]
pub(super) enum Origin {
    /// All are this.
    Fixed(Bytes),
    /// Each is made up, of so many bytes.
    MadeUp(usize),
    /// Each is a line of standard input.
    Lines,
}

/// The payloads of one run.
#[derive(Debug)]
pub(super) struct Payloads {
    kind: Kind,
    left: Option<u64>,
    total: Option<u64>,
}

#[derive(Debug)]
enum Kind {
    Fixed(Bytes),
    MadeUp { size: usize, nth: u64 },
    Lines { batches: mpsc::Receiver<Result<Vec<Bytes>, Failure>>, batch: std::vec::IntoIter<Bytes> },
}

impl Payloads {
    /// At most `count` payloads. Without it one, or as many as there are lines.
    pub(super) fn new(origin: Origin, count: Option<u64>, console: &Console) -> Self {
        let some = count.or(Some(1));
        match origin {
            Origin::Fixed(payload) => Self { kind: Kind::Fixed(payload), left: some, total: some },
            Origin::MadeUp(size) => Self { kind: Kind::MadeUp { size, nth: 0 }, left: some, total: some },
            Origin::Lines => {
                if io::stdin().is_terminal() {
                    console.note("a message a line; end with Ctrl-D");
                }
                let kind = Kind::Lines { batches: read_lines(), batch: Vec::new().into_iter() };
                Self { kind, left: count, total: count }
            }
        }
    }

    /// How many there will be, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        if self.left == Some(0) {
            return None;
        }
        let payload = match &mut self.kind {
            Kind::Fixed(payload) => payload.clone(),
            Kind::MadeUp { size, nth } => {
                *nth += 1;
                made_up(*nth, *size)
            }
            Kind::Lines { batches, batch } => loop {
                if let Some(line) = batch.next() {
                    break line;
                }
                match batches.recv().await? {
                    Ok(lines) => *batch = lines.into_iter(),
                    Err(failure) => return Some(Err(failure)),
                }
            },
        };
        self.left = self.left.map(|left| left - 1);
        Some(Ok(payload))
    }
}

/// `size` bytes that begin with the number of the message and go on with letters.
fn made_up(nth: u64, size: usize) -> Bytes {
    let mut payload = format!("{nth} ").into_bytes();
    payload.truncate(size);
    payload.extend((b'a'..=b'z').cycle().take(size - payload.len()));
    payload.into()
}

/// Reads standard input in a thread of its own, which a signal need not wait for.
fn read_lines() -> mpsc::Receiver<Result<Vec<Bytes>, Failure>> {
    let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::BufReader::with_capacity(BATCH_BYTES, io::stdin().lock());
        let mut first = 1;
        loop {
            let batch = read_batch(&mut input, first);
            let ended = batch.as_ref().map_or(true, Vec::is_empty);
            first += batch.as_ref().map_or(0, Vec::len);
            let empty = batch.as_ref().is_ok_and(Vec::is_empty);
            if (!empty && sender.blocking_send(batch).is_err()) || ended {
                return;
            }
        }
    });
    batches
}

/// The next lines, without their line breaks; none at the end of the input. The number of the first is `first`.
fn read_batch<R: io::Read>(input: &mut io::BufReader<R>, first: usize) -> Result<Vec<Bytes>, Failure> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        let mut line = Vec::new();
        // One byte for the line break, and one more that shows that the line is too long.
        let limit = MESSAGE_BYTES_MAX as u64 + 2;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line);
        read.map_err(|error| Failure::failed(format!("cannot read the standard input: {error}")))?;
        if line.is_empty() {
            return Ok(lines);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() > MESSAGE_BYTES_MAX {
            let number = first + lines.len();
            return Err(Failure::usage(format!(
                "line {number} of the standard input has more than {MESSAGE_BYTES_MAX} bytes"
            )));
        }
        bytes += line.len();
        lines.push(Bytes::from(line));
        if input.buffer().is_empty() || bytes >= BATCH_BYTES {
            return Ok(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut input = io::BufReader::with_capacity(8, text.as_bytes());
        let mut lines = Vec::new();
        loop {
            let batch = read_batch(&mut input, 1).unwrap();
            if batch.is_empty() {
                return lines;
            }
            lines.extend(batch.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        }
    }

    #[test]
    fn each_line_is_a_payload_whether_or_not_the_last_one_ends() {
        assert_eq!(all("one\ntwo\n"), ["one", "two"]);
        assert_eq!(all("one\ntwo"), ["one", "two"]);
        assert_eq!(
            all("one\n\nthree is longer than the buffer\n"),
            ["one", "", "three is longer than the buffer"]
        );
        assert_eq!(all(""), Vec::<String>::new());
    }

    #[test]
    fn a_made_up_payload_has_its_size_and_its_number() {
        assert_eq!(made_up(7, 6).as_ref(), b"7 abcd");
        assert_eq!(made_up(1234, 2).as_ref(), b"12");
        assert_eq!(made_up(1, 0).len(), 0);
    }
}
