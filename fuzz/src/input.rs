//! Decisions taken off the front of an input. Where nothing is left they are zero, so that every input is one.

/// A reader over an input.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self) -> u16 {
        (u16::from(self.u8()) << 8) | u16::from(self.u8())
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self) -> u64 {
        (0..8).fold(0, |value, _| (value << 8) | u64::from(self.u8()))
    }

    /// So many bytes, or all that are left.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    /// As many bytes as a length of one byte says.
    pub fn short(&mut self) -> &'a [u8] {
        let length = usize::from(self.u8());
        self.take(length)
    }

    /// As many bytes as a length of two bytes says.
    pub fn long(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// All that is left, cut into pieces of at least one byte whose lengths `cuts` gives, over and over.
    pub fn pieces(&mut self, cuts: &[u8]) -> Vec<&'a [u8]> {
        let lengths: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut).max(1)).collect();
        let mut lengths = lengths.iter().copied().cycle();
        let mut pieces = Vec::new();
        while !self.is_empty() {
            pieces.push(self.take(lengths.next().unwrap_or(usize::MAX)));
        }
        pieces
    }
}
