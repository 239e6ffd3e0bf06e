//! How a verb ends, and what the user is told.

use std::fmt;

use swarmmq::{Error, ErrorCode};

/// What the process exits with. Scripts rely on the numbers: they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It was refused, or it failed.
    Failed = 1,
    /// The command line, or a file it names, is wrong. clap exits with the same number.
    Usage = 2,
    /// No node answers.
    CannotConnect = 3,
    /// Time ran out, or nothing was received.
    TimedOut = 4,
    /// A signal ended it.
    Interrupted = 130,
}

/// The table of `--help`.
pub(crate) const EXIT_CODES: &str = "\
EXIT CODES:
    0  done
    1  refused or failed
    2  the command line, a configuration or a file it names is wrong
    3  cannot connect
    4  timed out, or nothing was received
  130  interrupted";

/// Why a verb did not do what was asked: what was wrong and where, and what to do about it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// The node's code, as `UNKNOWN-DESTINATION`, where a node answered.
    pub(crate) code: Option<String>,
    /// What was wrong, and where. Empty: there is nothing to say.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, code: None, message: message.into(), hint: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A signal came: the user knows, so nothing is said.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "")
    }

    /// Who reads our output has read enough, as `head` does. That is an end like any other.
    pub(crate) fn reader_left() -> Self {
        Self::new(Exit::Done, "")
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done, in front.
    #[must_use]
    pub(crate) fn during(mut self, doing: impl fmt::Display) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{doing}: {}", self.message);
        }
        self
    }

    pub(crate) fn is(&self, code: ErrorCode) -> bool {
        self.code.as_deref() == Some(code.as_str())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Connect { .. } => Exit::CannotConnect,
            Error::TimedOut { .. } => Exit::TimedOut,
            Error::Misuse(_) | Error::Tls { .. } => Exit::Usage,
            _ if error.code() == Some(ErrorCode::Timeout) => Exit::TimedOut,
            _ => Exit::Failed,
        };
        let message = match &error {
            // The node's sentence says what was wrong; its code is shown apart.
            Error::Refused(reply) => reply.explanation.clone(),
            other => other.to_string(),
        };
        let hint = hint_for(&error);
        Self { exit, code: error.code().map(|code| code.to_string()), message, hint }
    }
}

impl From<std::io::Error> for Failure {
    /// An error of writing to standard output: everything else says what it was about.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::reader_left();
        }
        Self::failed(format!("cannot write to the standard output: {error}"))
    }
}

fn hint_for(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Connect { reason, .. } if reason.to_lowercase().contains("refused") => {
            "is a node running there? start one with: swarmmq node"
        }
        Error::Connect { .. } => "give the address of a node with --node HOST:PORT, or set SWARMMQ_NODE",
        Error::OutcomeUnknown { .. } => "look at the destination before you repeat it",
        _ => match error.code()? {
            ErrorCode::Unauthenticated => "give an API key with --api-key-file, or set SWARMMQ_API_KEY",
            ErrorCode::Forbidden => {
                "the permissions of the key or user in the node's configuration decide this"
            }
            ErrorCode::UnknownDestination => "list what there is with: swarmmq queue ls, swarmmq stream ls",
            ErrorCode::UnknownGroup => "list the groups with: swarmmq group ls DESTINATION",
            ErrorCode::DestinationFull => {
                "consume from it, purge it, or raise its limits with: swarmmq queue update"
            }
            ErrorCode::DiskFull => "free space on the node's disk; reading and acknowledging go on meanwhile",
            ErrorCode::Overloaded | ErrorCode::Unavailable | ErrorCode::ShuttingDown => "try again later",
            ErrorCode::Internal => "the node's log says more",
            _ => return None,
        },
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use swarmmq::ErrorReply;

    use super::*;

    #[test]
    fn a_refused_connection_tells_how_to_start_a_node() {
        let failure = Failure::from(Error::Connect {
            address: "localhost:9001".into(),
            reason: "Connection refused (os error 111)".into(),
        });
        assert_eq!(failure.exit, Exit::CannotConnect);
        assert!(failure.message.contains("localhost:9001"), "{}", failure.message);
        assert!(failure.hint.is_some_and(|hint| hint.contains("swarmmq node")));
    }

    #[test]
    fn what_the_node_says_is_kept_with_its_code() {
        let reply = ErrorReply::new(ErrorCode::UnknownDestination, "there is no destination \"x\"");
        let failure = Failure::from(Error::Refused(reply));
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(failure.message, "there is no destination \"x\"");
        assert_eq!(failure.code.as_deref(), Some("UNKNOWN-DESTINATION"));
        assert!(failure.is(ErrorCode::UnknownDestination));
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit, Exit::Done);
        assert!(failure.message.is_empty());
    }
}
