//! Stable codes of what an operator reads in the log.

macro_rules! codes {
    ($($(#[doc = $summary:literal])+ $name:ident = $text:literal;)+) => {
        /// What happened, as a code that never changes its meaning: `docs/errors.md` says what to do.
        ///
        /// It stands in log lines as the field `code`, and in the message of a node that could not start.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum OperatorCode {
            $($(#[doc = $summary])+ $name,)+
        }

        impl OperatorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code, as `SWMQ0001`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($summary),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The port is in use.
    PortInUse = "SWMQ0001";
    /// The address cannot be listened on.
    AddressUnusable = "SWMQ0002";
    /// Another process uses the data directory.
    DataDirectoryLocked = "SWMQ0003";
    /// The data directory cannot be made or written.
    DataDirectoryUnusable = "SWMQ0004";
    /// Fewer file descriptors are allowed than connections are configured.
    FileDescriptorsFew = "SWMQ0005";
    /// The configuration is wrong.
    ConfigurationWrong = "SWMQ0101";
    /// The configuration is allowed and dangerous.
    ConfigurationDangerous = "SWMQ0102";
    /// The certificate, its key or the authorities cannot be used.
    TlsUnusable = "SWMQ0103";
    /// A write or sync of the journal failed; the node ends.
    JournalFailed = "SWMQ0201";
    /// Records of the journal are damaged.
    JournalDamaged = "SWMQ0202";
    /// The disk is full: puts are refused, reads and acknowledgements go on.
    DiskFull = "SWMQ0203";
    /// The disk has space again.
    DiskHasSpace = "SWMQ0204";
    /// The master key is missing, or is not the one the journal was made with.
    MasterKeyWrong = "SWMQ0205";
    /// The data directory was made with other settings, or by a later version.
    DataDirectoryDiffers = "SWMQ0206";
    /// The journal ended in a write that was cut off, which was never acknowledged; it was removed.
    JournalTailTorn = "SWMQ0207";
    /// A shard has no leader: its destinations are unavailable.
    ShardWithoutLeader = "SWMQ0301";
    /// A shard has a leader again.
    ShardHasLeader = "SWMQ0302";
    /// A shard stopped by a fault of the node.
    ShardFailed = "SWMQ0303";
    /// A peer was not let in.
    PeerRefused = "SWMQ0401";
    /// A peer was refused what it may not do.
    PeerForbidden = "SWMQ0402";
    /// A listener has as many connections as it may.
    ConnectionsAtLimit = "SWMQ0403";
    /// A peer did not finish its handshake in time.
    HandshakeTimeout = "SWMQ0404";
    /// A peer spoke another protocol, or spoke it wrong.
    PeerMisbehaved = "SWMQ0405";
    /// A listener could not accept a connection.
    AcceptFailed = "SWMQ0406";
    /// The node is ready.
    Started = "SWMQ0501";
    /// The node is stopping.
    Stopping = "SWMQ0502";
    /// The node has stopped, and everything it acknowledged is on disk.
    Stopped = "SWMQ0503";
    /// Requests were still under way when the time for stopping was over.
    StopTimeout = "SWMQ0504";
    /// The log level was changed.
    LogLevelChanged = "SWMQ0505";
}

impl std::fmt::Display for OperatorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
