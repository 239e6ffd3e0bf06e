//! Digests and keys in the configuration, and the one secret beside it. None of them is ever printed.

use std::fmt;

use super::fields::Value;
use super::problem::ProblemKind;
use super::tree::{Node, Yaml};

/// The SHA-256 of an API key or password: 64 hexadecimal digits.
///
/// Keys must be random, 128 bits or more: a digest protects those, and does not protect a guessable word.
/// Compare with a comparison that takes the same time for every input.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(redacted)")
    }
}

impl Value for Digest {
    const EXPECTED: &'static str = "a SHA-256 in 64 hexadecimal digits (`printf %s \"$KEY\" | sha256sum`)";
    const KIND: &'static str = "sha256";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        // What stands here instead may be the key itself: it is not repeated.
        let wrong = |found: &str| ProblemKind::WrongType { expected: Self::EXPECTED, found: found.into() };
        match &node.value {
            Yaml::Text(text) => {
                hexadecimal(text).map(Self).ok_or_else(|| wrong("a text that is not (not shown)"))
            }
            _ => Err(wrong("something else (not shown; digits alone must stand in quotes)")),
        }
    }

    fn show(&self) -> String {
        "redacted".to_owned()
    }
}

/// A CURVE public key: 40 characters of Z85, 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurvePublicKey(pub [u8; 32]);

impl Value for CurvePublicKey {
    const EXPECTED: &'static str = "a CURVE public key in 40 characters of Z85";
    const KIND: &'static str = "z85";

    fn parse(node: &Node) -> Result<Self, ProblemKind> {
        match &node.value {
            Yaml::Text(text) => z85(text).map(Self).ok_or_else(|| Self::invalid(text, None)),
            _ => Err(Self::wrong_type(node)),
        }
    }

    fn show(&self) -> String {
        "redacted".to_owned()
    }
}

/// A CURVE secret key. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CurveSecretKey(pub [u8; 32]);

impl CurveSecretKey {
    /// Reads 40 characters of Z85; white space around them is ignored.
    #[must_use]
    pub fn from_z85(text: &str) -> Option<Self> {
        z85(text.trim()).map(Self)
    }
}

impl fmt::Debug for CurveSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurveSecretKey(redacted)")
    }
}

/// The key that the journal's keys are derived from. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(pub [u8; 32]);

impl MasterKey {
    /// Reads 64 hexadecimal digits; white space around them is ignored.
    #[must_use]
    pub fn from_hexadecimal(text: &str) -> Option<Self> {
        hexadecimal(text.trim()).map(Self)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(redacted)")
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let mut digits = pair.iter().map(|digit| char::from(*digit).to_digit(16));
        *byte = digits.try_fold(0_u32, |sum, digit| digit.map(|digit| sum * 16 + digit))?.try_into().ok()?;
    }
    Some(bytes)
}

/// RFC 32/Z85: five characters are four bytes, most significant first, in base 85.
fn z85(text: &str) -> Option<[u8; 32]> {
    const ALPHABET: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let mut bytes = [0; 32];
    if text.len() != 40 {
        return None;
    }
    for (four, five) in bytes.chunks_exact_mut(4).zip(text.as_bytes().chunks_exact(5)) {
        let value = five.iter().try_fold(0_u64, |sum, character| {
            let digit = ALPHABET.iter().position(|known| known == character)?;
            Some(sum * 85 + digit as u64)
        })?;
        four.copy_from_slice(&u32::try_from(value).ok()?.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        let text = format!("{:?} {:?}", Digest([0xab; 32]), MasterKey([0xab; 32]));
        assert!(!text.contains("171") && !text.to_lowercase().contains("ab,"), "{text}");
        assert!(!text.contains("abab"), "{text}");
    }

    #[test]
    fn a_master_key_is_64_hexadecimal_digits() {
        assert_eq!(
            MasterKey::from_hexadecimal(&format!("{}\n", "aB".repeat(32))),
            Some(MasterKey([0xab; 32]))
        );
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33), &"é".repeat(32)] {
            assert_eq!(MasterKey::from_hexadecimal(text), None, "{text}");
        }
    }

    #[test]
    fn z85_is_read_as_the_rfc_says() {
        // The test key pair of the RFC for CURVE begins with these bytes.
        let key = z85("Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID").unwrap();
        assert_eq!(key[..4], [0xbb, 0x88, 0x47, 0x1d]);
        assert_eq!(z85(&"#".repeat(40)), None, "85^5 - 1 does not fit in four bytes");
        assert_eq!(z85("short"), None);
    }
}
