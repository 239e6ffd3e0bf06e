//! What the clients of a scenario saw, in the order they saw it.

use std::sync::Arc;

use parking_lot::Mutex;

/// A message as the workload makes it: who made it, and which of its messages it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Effect {
    /// The producer.
    pub producer: u64,
    /// Its sequence, from 1.
    pub sequence: u64,
}

/// Something a client saw or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A life began.
    Began {
        /// Which, from 0.
        life: u64,
    },
    /// A life ended, in this way.
    Ended {
        /// How.
        how: String,
    },
    /// A put was sent, perhaps not for the first time.
    Put {
        /// Of what.
        effect: Effect,
    },
    /// A put was acknowledged.
    Stored {
        /// Of what.
        effect: Effect,
        /// Under which sequence of the log.
        at: u64,
        /// Whether the broker said it was there before.
        duplicate: bool,
    },
    /// A message was delivered.
    Delivered {
        /// What.
        effect: Effect,
        /// From which sequence of the log.
        at: u64,
        /// Which delivery, by the broker's count.
        attempt: u32,
    },
    /// An acknowledgement was sent.
    AckSent {
        /// Of which sequence.
        at: u64,
    },
    /// An acknowledgement was confirmed.
    Acked {
        /// Of which sequence.
        at: u64,
    },
    /// A message was rejected and the rejection confirmed.
    Rejected {
        /// Of which sequence.
        at: u64,
    },
    /// A message came to the dead-letter queue.
    Dead {
        /// What.
        effect: Effect,
    },
}

/// A history that many tasks write.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    /// Adds an event.
    pub fn add(&self, event: Event) {
        self.0.lock().push(event);
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// A number that other histories have others of: FNV-1a over the events' text.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for event in self.0.lock().iter() {
            for byte in format!("{event:?}\n").bytes() {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash
    }
}
