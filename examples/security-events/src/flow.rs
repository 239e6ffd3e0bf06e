//! A flow as its packets: what is measured of it follows from them, so that it cannot contradict itself.

use rand::{Rng, RngExt};

/// Bytes of the IP header of a packet.
const IP_HEADER_BYTES: u64 = 20;
/// Most bytes of a packet on an Ethernet.
const PACKET_BYTES_MAX: u64 = 1500;
/// A pause longer than this ends a bulk, microseconds.
pub(crate) const BULK_PAUSE_US: u64 = 1_000_000;
/// So many packets in one direction, one after the other, are a bulk.
pub(crate) const BULK_PACKETS_MIN: usize = 4;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// The flags of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    pub(crate) fin: bool,
    pub(crate) syn: bool,
    pub(crate) rst: bool,
    pub(crate) psh: bool,
    pub(crate) ack: bool,
    pub(crate) urg: bool,
    pub(crate) cwr: bool,
    pub(crate) ece: bool,
}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Microseconds after the first one.
    pub(crate) at_us: u64,
    pub(crate) direction: Direction,
    /// With its headers.
    pub(crate) bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) flags: Flags,
}

/// What a flow looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A page is asked for, and comes.
    Web,
    /// Much goes out in few packets' time.
    Upload,
    /// Connections that are asked for and never made.
    SynFlood,
}

impl Kind {
    /// A kind by chance; attacks are the exception.
    pub(crate) fn draw(chance: &mut impl Rng) -> Self {
        match chance.random_range(0..10_u32) {
            0 => Self::SynFlood,
            1..=3 => Self::Upload,
            _ => Self::Web,
        }
    }
}

/// A flow over TCP, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flow {
    pub(crate) kind: Kind,
    pub(crate) packets: Vec<Packet>,
}

impl Flow {
    /// A flow by chance: 3 to some 200 packets.
    pub(crate) fn draw(kind: Kind, chance: &mut impl Rng) -> Self {
        let mut maker = Maker { now_us: 0, packets: Vec::new(), chance };
        match kind {
            Kind::SynFlood => maker.flood(),
            Kind::Web | Kind::Upload => {
                maker.open();
                maker.talk(kind);
                maker.close();
            }
        }
        Self { kind, packets: maker.packets }
    }

    /// From the first packet to the last, microseconds.
    pub(crate) fn duration_us(&self) -> u64 {
        self.packets.last().map_or(0, |packet| packet.at_us)
    }
}

struct Maker<'a, R> {
    now_us: u64,
    packets: Vec<Packet>,
    chance: &'a mut R,
}

impl<R: Rng> Maker<'_, R> {
    fn push(&mut self, pause_us: std::ops::Range<u64>, direction: Direction, payload: u64, flags: Flags) {
        if !self.packets.is_empty() {
            self.now_us += self.chance.random_range(pause_us);
        }
        // A SYN brings options with it.
        let tcp_header = if flags.syn { 40 } else { 32 };
        let header_bytes = IP_HEADER_BYTES + tcp_header;
        let bytes = (header_bytes + payload).min(PACKET_BYTES_MAX);
        self.packets.push(Packet { at_us: self.now_us, direction, bytes, header_bytes, flags });
    }

    /// The handshake, over half of the earth.
    fn open(&mut self) {
        let (syn, ack) = (Flags { syn: true, ..Flags::default() }, Flags { ack: true, ..Flags::default() });
        self.push(0..1, Direction::Forward, 0, syn);
        self.push(140_000..180_000, Direction::Backward, 0, Flags { ack: true, ..syn });
        self.push(50..500, Direction::Forward, 0, ack);
    }

    fn talk(&mut self, kind: Kind) {
        let (sender, receiver) = match kind {
            Kind::Upload => (Direction::Forward, Direction::Backward),
            _ => (Direction::Backward, Direction::Forward),
        };
        let ack = Flags { ack: true, ..Flags::default() };
        for _ in 0..self.chance.random_range(1..5_u32) {
            let request = self.chance.random_range(80..600);
            self.push(1000..400_000, receiver, request, Flags { psh: true, ..ack });
            let packets = self.chance.random_range(2..30_u32);
            for nth in 0..packets {
                let is_last = nth + 1 == packets;
                let payload = if is_last { self.chance.random_range(1..1448) } else { 1448 };
                let pause = if nth == 0 { 140_000..190_000 } else { 20..2_000 };
                self.push(pause, sender, payload, Flags { psh: is_last, ..ack });
                // Every second packet is acknowledged at once.
                if nth % 2 == 1 || is_last {
                    self.push(10..300, receiver, 0, ack);
                }
            }
        }
    }

    fn close(&mut self) {
        let fin = Flags { fin: true, ack: true, ..Flags::default() };
        let ack = Flags { ack: true, ..Flags::default() };
        self.push(100..5_000, Direction::Forward, 0, fin);
        self.push(140_000..180_000, Direction::Backward, 0, fin);
        self.push(50..500, Direction::Forward, 0, ack);
    }

    fn flood(&mut self) {
        let syn = Flags { syn: true, ..Flags::default() };
        for nth in 0..self.chance.random_range(60..200_u32) {
            self.push(5..200, Direction::Forward, 0, syn);
            // What is overwhelmed answers seldom, and then with a refusal.
            if nth % 16 == 15 {
                let reset = Flags { rst: true, ack: true, ..Flags::default() };
                self.push(5..200, Direction::Backward, 0, reset);
            }
        }
    }
}
