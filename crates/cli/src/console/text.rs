//! Bytes that others sent, as text.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Shows `bytes` so that nothing in them can move the cursor, hide text or ring the bell. `lines` leaves
/// line breaks and tabs as they are.
pub(crate) fn printable(bytes: &[u8], lines: bool) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' if lines => shown.push(character),
                // The invisible marks that turn the direction of text around hide as well as a control does.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    shown.extend(character.escape_unicode());
                }
                character if character.is_control() => shown.extend(character.escape_default()),
                character => shown.push(character),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// Bytes in JSON: the field `NAME` as a string where they are UTF-8, and `NAME_base64` where they are not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Octets<'a> {
    /// The names of the two fields.
    pub(crate) names: (&'static str, &'static str),
    pub(crate) bytes: &'a [u8],
}

impl Serialize for Octets<'_> {
    /// A map of one entry, for `#[serde(flatten)]`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match std::str::from_utf8(self.bytes) {
            Ok(text) => map.serialize_entry(self.names.0, text)?,
            Err(_) => map.serialize_entry(self.names.1, &base64(self.bytes))?,
        }
        map.end()
    }
}

/// Base64 of RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |nth: usize| u32::from(chunk.get(nth).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for nth in 0..4 {
            let digit = (group >> (18 - 6 * nth) & 0x3f) as usize;
            let letter = ALPHABET.get(digit).copied().unwrap_or(b'=');
            text.push(if nth <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_specification() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn bytes_that_are_no_text_are_base64_in_a_field_of_their_own() {
        let json =
            |bytes| serde_json::to_string(&Octets { names: ("payload", "payload_base64"), bytes }).unwrap();
        assert_eq!(json(b"Hello".as_slice()), r#"{"payload":"Hello"}"#);
        assert_eq!(json(&[0xff, 0x00]), r#"{"payload_base64":"/wA="}"#);
    }

    #[test]
    fn escapes_and_turned_text_are_made_visible() {
        assert_eq!(printable(b"a\x1b]0;title\x07\xffb", false), "a\\u{1b}]0;title\\u{7}\\xffb");
        assert_eq!(printable("x\u{202e}y\n".as_bytes(), false), "x\\u{202e}y\\n");
        assert_eq!(printable("x\ty\n".as_bytes(), true), "x\ty\n");
    }
}
