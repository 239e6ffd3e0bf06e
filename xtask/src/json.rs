//! A JSON reader for what `cargo metadata` prints. It reads; it does not write.
//!
//! It exists so that the recipes need no package but the standard library.

use std::collections::BTreeMap;

/// A JSON value. Numbers stay text, as no recipe computes with one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Where reading stopped, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct JsonError {
    pub(crate) offset: usize,
    pub(crate) wanted: &'static str,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not JSON at byte {}: expected {}", self.offset, self.wanted)
    }
}

/// Deeper nesting than this is refused: the reader recurses.
const DEPTH_MAX: usize = 128;

impl Json {
    /// Reads one value, which must be all of `text`.
    pub(crate) fn read(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == reader.bytes.len() { Ok(value) } else { Err(reader.error("the end")) }
    }

    /// The member `key` of an object; `Null` when there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(members) => members.get(key).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; nothing for any other value.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH_MAX {
            return Err(self.error("less nesting"));
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => Ok(self.number()),
            _ => Err(self.error("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut members = BTreeMap::new();
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            self.need(b':', "a colon")?;
            members.insert(key, self.value(depth + 1)?);
            self.space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            self.need(b',', "a comma or a closing brace")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, JsonError> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            self.need(b',', "a comma or a closing bracket")?;
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.need(b'"', "a string")?;
        let mut out = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut out)?,
                Some(byte) => out.push(byte),
                None => return Err(self.error("the end of a string")),
            }
        }
        String::from_utf8(out).map_err(|_| self.error("UTF-8"))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let plain = match self.next() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'u') => {
                let code = self.code_unit()?;
                // Cargo prints paths and names; half a surrogate pair is not worth more than a mark.
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("an escape")),
        };
        out.push(plain);
        Ok(())
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("four hexadecimal digits"))?;
        }
        Ok(code)
    }

    fn number(&mut self) -> Json {
        let mut digits = String::new();
        while let Some(byte @ (b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) = self.peek() {
            digits.push(char::from(byte));
            self.at += 1;
        }
        Json::Number(digits)
    }

    fn word(&mut self, word: &'static str, value: Json) -> Result<Json, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error(word));
        }
        self.at += word.len();
        Ok(value)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, byte: u8, wanted: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(wanted)) }
    }

    fn error(&self, wanted: &'static str) -> JsonError {
        JsonError { offset: self.at, wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_escapes_and_numbers_are_read() {
        let json = Json::read(r#" {"a":[1,-2.5e3,{"b":"x\né\"/"}],"c":null,"d":true, "e":{}} "#).unwrap();
        assert_eq!(json.get("a").items().len(), 3);
        assert_eq!(json.get("a").items()[1], Json::Number("-2.5e3".into()));
        assert_eq!(json.get("a").items()[2].get("b").text(), Some("x\né\"/"));
        assert_eq!(json.get("d"), &Json::Bool(true));
        assert_eq!(json.get("nowhere"), &Json::Null);
    }

    #[test]
    fn damaged_text_is_refused_with_its_place() {
        assert_eq!(Json::read("[1,").unwrap_err().offset, 3);
        assert_eq!(Json::read("{\"a\" 1}").unwrap_err().wanted, "a colon");
        assert!(Json::read("[] []").is_err());
        assert!(Json::read("\"open").is_err());
        assert!(Json::read(&"[".repeat(100_000)).is_err());
    }
}
