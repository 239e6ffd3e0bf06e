//! Small texts that peers and operators give: names, ids, sizes, times, addresses, patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swarmmq_fuzz::memory::bounded;
use swarmmq_node::config::{Label, MasterKey, Pattern, Size, parse_duration, show_duration, socket_address};
use swarmmq_protocol::{Decode, DestinationName, Encode, GroupName, MessageId};

fn check(text: &str) {
    if let Ok(name) = DestinationName::new(text) {
        assert_eq!(name.as_str(), text);
        assert_eq!(DestinationName::from_bytes(name.to_bytes()).as_ref(), Ok(&name));
        let pattern = Pattern::new(text).expect("a name is a pattern");
        assert!(pattern.matches(text), "that matches it");
    }
    if let Ok(name) = GroupName::new(text) {
        assert_eq!(GroupName::from_bytes(name.to_bytes()).as_ref(), Ok(&name));
    }
    if let Ok(pattern) = Pattern::new(text) {
        let _ = (pattern.matches("orders"), pattern.matches_all("orders"));
    }
    if let Some(id) = MessageId::parse(text) {
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
    }
    if let Ok(label) = Label::new(text) {
        assert_eq!(label.as_str(), text);
    }
    if let Ok(size) = text.parse::<Size>() {
        let shown = size.to_string();
        assert_eq!(shown.parse::<Size>().map(Size::as_usize), Ok(size.as_usize()), "{shown}");
    }
    if let Ok(duration) = parse_duration(text) {
        let shown = show_duration(duration);
        assert_eq!(parse_duration(&shown), Ok(duration), "{shown}");
    }
    if let Ok(address) = socket_address(text) {
        let _ = address.to_string();
    }
    let _ = MasterKey::from_hexadecimal(text);
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    bounded(64 * data.len() + (16 << 10), || check(&text));
});
