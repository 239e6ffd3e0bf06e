//! Names of users, channels and servers.
//!
//! Names of users and channels are topics as well. Subscriptions are to all topics that begin so: a user whose name began
//! with `replica` would have what is written to them read by every server as if it came from another one.

/// Topic of what servers tell each other of their histories.
pub(crate) const REPLICA: &str = "replica";

/// Topic of what servers tell each other of coordinators and clocks.
pub(crate) const SERVERS: &str = "servers";

/// Most bytes of a name.
pub(crate) const NAME_BYTES_MAX: usize = 64;

/// Why a text is no name. The text goes to the client that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("o nome tem de 1 a {NAME_BYTES_MAX} bytes")]
    Length,
    #[error("o nome tem apenas letras, algarismos, '-', '_' e '.'")]
    Character,
    #[error("o nome começa com uma palavra reservada: '{REPLICA}' ou '{SERVERS}'")]
    Reserved,
}

/// Whether a text can name a user, a channel or a server here.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(NameError::Length);
    }
    if !name.chars().all(|char| char.is_alphanumeric() || "-_.".contains(char)) {
        return Err(NameError::Character);
    }
    if name.starts_with(REPLICA) || name.starts_with(SERVERS) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

/// Whether a text may be a name to a server that others wrote, which may allow more.
pub(crate) fn is_plausible(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_not_the_servers_own_topics() {
        for good in ["ana", "user4821", "João_3.b-c", "x"] {
            assert_eq!(check(good), Ok(()), "{good}");
            assert!(is_plausible(good));
        }
        assert_eq!(check(""), Err(NameError::Length));
        assert_eq!(check(&"x".repeat(65)), Err(NameError::Length));
        assert_eq!(check("a b"), Err(NameError::Character));
        assert_eq!(check("a\n"), Err(NameError::Character));
        assert_eq!(check("replica2"), Err(NameError::Reserved));
        assert_eq!(check("servers"), Err(NameError::Reserved));
        assert!(is_plausible("a b") && !is_plausible("a\u{1b}[2J") && !is_plausible(""));
    }
}
