//! Who put a message: the header `swarmmq-user`.
//!
//! The ZeroMQ endpoints make the messages that they store, and give each the name of the user that its peer has shown to
//! be. A native client makes its own, and their bytes stay as they are: it may name its user there, and nobody else. So the
//! header is true wherever it stands.

use std::borrow::Cow;

use swarmmq_protocol::{EncodedMessage, ErrorCode, ErrorReply, Request};

use super::identity::{Method, Principal};

/// The header that names the user who put a message.
pub(crate) const USER_HEADER: &str = "swarmmq-user";

/// Checks that no message of a put names another user than the one who puts it.
///
/// # Errors
/// [`ErrorCode::Forbidden`] with the message and both names.
pub(crate) fn check(principal: &Principal, request: &Request) -> Result<(), ErrorReply> {
    let Request::Put(put) = request else { return Ok(()) };
    put.messages.iter().try_for_each(|message| claims_truly(principal, message).map(|_| ()))
}

/// Names the user in each message of a put, if it has shown who it is.
///
/// # Errors
/// As [`check`]; [`ErrorCode::TooLarge`] where the header does not fit any more.
pub(crate) fn sign(principal: &Principal, request: &mut Request) -> Result<(), ErrorReply> {
    let Request::Put(put) = request else { return Ok(()) };
    for message in &mut put.messages {
        if let Cow::Owned(signed) = signed(principal, message)? {
            *message = signed;
        }
    }
    Ok(())
}

/// A message with the name of its user, if it has shown who it is.
///
/// # Errors
/// As [`sign`].
pub(crate) fn signed<'a>(
    principal: &Principal,
    message: &'a EncodedMessage,
) -> Result<Cow<'a, EncodedMessage>, ErrorReply> {
    if claims_truly(principal, message)? || principal.method() == Method::Open {
        return Ok(Cow::Borrowed(message));
    }
    let message =
        message.decode().map_err(|error| ErrorReply::new(ErrorCode::Malformed, error.to_string()))?;
    let signed = message.header(USER_HEADER, principal.name().to_owned()).encode();
    signed.map(Cow::Owned).map_err(|error| {
        let text = format!("there is no room for the header {USER_HEADER}: {error}");
        ErrorReply::new(ErrorCode::TooLarge, text)
    })
}

/// Whether a message names the user who puts it; an error if it names another.
fn claims_truly(principal: &Principal, message: &EncodedMessage) -> Result<bool, ErrorReply> {
    if !message.has_headers() {
        return Ok(false);
    }
    let message =
        message.decode().map_err(|error| ErrorReply::new(ErrorCode::Malformed, error.to_string()))?;
    let mut named = false;
    for header in message.headers.iter().filter(|header| header.name == USER_HEADER) {
        if principal.method() == Method::Open || header.value != principal.name().as_bytes() {
            let text = format!(
                "the header {USER_HEADER} says who put a message: {} may not name {} there",
                principal.name(),
                header.value.escape_ascii()
            );
            return Err(ErrorReply::new(ErrorCode::Forbidden, text));
        }
        named = true;
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use swarmmq_protocol::request::Put;
    use swarmmq_protocol::{DestinationName, Message};

    use super::*;

    fn put(message: Message) -> Request {
        Request::Put(Put {
            destination: DestinationName::new("orders").unwrap(),
            stamp: None,
            expected_last: None,
            messages: vec![message.encode().unwrap()],
        })
    }

    fn header(request: &Request) -> Vec<String> {
        let Request::Put(put) = request else { panic!("no put") };
        let headers = put.messages[0].decode().unwrap().headers.into_iter();
        headers.map(|header| format!("{}={}", header.name, header.value.escape_ascii())).collect()
    }

    #[test]
    fn a_message_is_signed_once_by_who_put_it() {
        let ada = Principal::unrestricted("ada", Method::Curve);
        let mut request = put(Message::new("x").header("a", "b"));
        for _ in 0..2 {
            sign(&ada, &mut request).unwrap();
            assert_eq!(header(&request), ["a=b", "swarmmq-user=ada"]);
        }
        check(&ada, &request).unwrap();
    }

    #[test]
    fn nobody_signs_for_another() {
        let (ada, anybody) = (
            Principal::unrestricted("ada", Method::ApiKey),
            Principal::unrestricted("anybody", Method::Open),
        );
        let mut unsigned = put(Message::new("x"));
        sign(&anybody, &mut unsigned).unwrap();
        assert!(header(&unsigned).is_empty());
        for (who, name) in [(&ada, "bob"), (&anybody, "ada"), (&anybody, "anybody")] {
            let mut forged = put(Message::new("x").header(USER_HEADER, name));
            assert_eq!(check(who, &forged).unwrap_err().code, ErrorCode::Forbidden);
            assert_eq!(sign(who, &mut forged).unwrap_err().code, ErrorCode::Forbidden);
        }
        let twice = put(Message::new("x").header(USER_HEADER, "ada").header(USER_HEADER, "bob"));
        assert_eq!(check(&ada, &twice).unwrap_err().code, ErrorCode::Forbidden);
    }

    #[test]
    fn one_that_has_no_room_is_refused() {
        let ada = Principal::unrestricted("ada", Method::Curve);
        let mut message = Message::new("x");
        for nth in 0..64 {
            message = message.header(format!("h{nth}"), "");
        }
        assert_eq!(sign(&ada, &mut put(message)).unwrap_err().code, ErrorCode::TooLarge);
    }
}
