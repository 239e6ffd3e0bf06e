use proptest::prelude::*;

use bytes::Bytes;

use super::*;

fn frames(words: &[&[u8]]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::copy_from_slice(word)).collect()
}

fn name(text: &'static str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn body(words: &[&[u8]]) -> Vec<Bytes> {
    frames(words)
}

/// The frames as the RFCs print them, and what they are.
#[test]
fn frames_are_those_of_the_rfcs() {
    let request = |version, address: Vec<Bytes>| ClientRequest {
        version,
        address,
        service: name("echo"),
        body: body(&[b"hello", b""]),
    };
    let written = request(Version::V01, client::standard_address(Version::V01)).encode();
    assert_eq!(written, frames(&[b"", b"MDPC01", b"echo", b"hello", b""]));
    let written = request(Version::V02, client::standard_address(Version::V02)).encode();
    assert_eq!(written, frames(&[b"MDPC02", b"\x01", b"echo", b"hello", b""]));

    let reply = |version, part| ClientReply {
        version,
        address: client::standard_address(version),
        part,
        service: name("echo"),
        body: body(&[b"hi"]),
    };
    let written = reply(Version::V01, Part::Final).encode().unwrap();
    assert_eq!(written, frames(&[b"", b"MDPC01", b"echo", b"hi"]));
    let written = reply(Version::V02, Part::Partial).encode().unwrap();
    assert_eq!(written, frames(&[b"MDPC02", b"\x02", b"echo", b"hi"]));
    let written = reply(Version::V02, Part::Final).encode().unwrap();
    assert_eq!(written, frames(&[b"MDPC02", b"\x03", b"echo", b"hi"]));
    assert_eq!(reply(Version::V01, Part::Partial).encode(), None, "0.1 has no parts");

    let (one, two) = (Framing::standard(Version::V01), Framing::standard(Version::V02));
    let client = Bytes::from_static(b"client");
    let from_worker = |command: WorkerCommand, framing| command.encode(framing);
    let ready = WorkerCommand::Ready { service: name("echo") };
    let partial = WorkerCommand::Partial { client: client.clone(), body: body(&[b"hi"]) };
    let last = WorkerCommand::Final { client: client.clone(), body: body(&[b"hi"]) };
    let both = |command: &WorkerCommand| {
        (from_worker(command.clone(), one).unwrap(), from_worker(command.clone(), two).unwrap())
    };
    assert_eq!(
        both(&ready),
        (frames(&[b"", b"MDPW01", b"\x01", b"echo"]), frames(&[b"MDPW02", b"\x01", b"echo"]))
    );
    assert_eq!(from_worker(partial.clone(), one), None);
    assert_eq!(from_worker(partial, two).unwrap(), frames(&[b"MDPW02", b"\x03", b"client", b"", b"hi"]));
    assert_eq!(
        both(&last),
        (
            frames(&[b"", b"MDPW01", b"\x03", b"client", b"", b"hi"]),
            frames(&[b"MDPW02", b"\x04", b"client", b"", b"hi"])
        )
    );
    assert_eq!(
        both(&WorkerCommand::Heartbeat),
        (frames(&[b"", b"MDPW01", b"\x04"]), frames(&[b"MDPW02", b"\x05"]))
    );
    assert_eq!(
        both(&WorkerCommand::Disconnect),
        (frames(&[b"", b"MDPW01", b"\x05"]), frames(&[b"MDPW02", b"\x06"]))
    );

    let request = BrokerCommand::Request { client, body: body(&[b"hello"]) };
    assert_eq!(request.clone().encode(one), frames(&[b"", b"MDPW01", b"\x02", b"client", b"", b"hello"]));
    assert_eq!(request.encode(two), frames(&[b"MDPW02", b"\x02", b"client", b"", b"hello"]));
    assert_eq!(BrokerCommand::Heartbeat.encode(one), frames(&[b"", b"MDPW01", b"\x04"]));
    assert_eq!(BrokerCommand::Disconnect.encode(two), frames(&[b"MDPW02", b"\x06"]));
}

#[test]
fn an_empty_frame_may_be_absent_or_present_and_is_remembered() {
    for (address, version, header) in [
        (&[][..], Version::V01, &b"MDPC01"[..]),
        (&[&b""[..]][..], Version::V01, b"MDPC01"),
        (&[&b"\0\0\0\x07"[..], b""][..], Version::V01, b"MDPC01"),
        (&[&b""[..]][..], Version::V02, b"MDPC02"),
    ] {
        let mut message = frames(address);
        message.extend(frames(&[header]));
        if version == Version::V02 {
            message.extend(frames(&[b"\x01"]));
        }
        message.extend(frames(&[b"echo", b"hello"]));
        let Ok(ToBroker::Client(request)) = parse(&message) else { panic!("{message:?}") };
        assert_eq!((request.version, &request.address), (version, &frames(address)));
        assert_eq!(request.encode(), message);
    }
    let (framing, command) = WorkerCommand::parse(&frames(&[b"MDPW01", b"\x04"])).unwrap();
    assert_eq!((framing.delimited, command), (false, WorkerCommand::Heartbeat));
    let (framing, command) = WorkerCommand::parse(&frames(&[b"", b"MDPW02", b"\x05"])).unwrap();
    assert_eq!((framing.delimited, command), (true, WorkerCommand::Heartbeat));
}

#[test]
fn what_is_malformed_is_said() {
    let long = [b'a'; 256];
    let cases: &[(&[&[u8]], MdpError)] = &[
        (&[], MdpError::NotMdp),
        (&[b""], MdpError::NotMdp),
        (&[b"", b""], MdpError::NotMdp),
        (&[b"hello"], MdpError::NotMdp),
        (&[b"", b"MDPC1", b"echo", b"a"], MdpError::NotMdp),
        (&[b"", b"MDPC03", b"\x01", b"echo", b"a"], MdpError::UnsupportedVersion),
        (&[b"MDPW00", b"\x01", b"echo"], MdpError::UnsupportedVersion),
        (&[b"", b"MDPC01"], MdpError::ServiceMissing),
        (&[b"", b"MDPC01", b"echo"], MdpError::BodyMissing),
        (&[b"", b"MDPC01", b"", b"a"], MdpError::ServiceName(ServiceNameError::Length(0))),
        (&[b"", b"MDPC01", &long, b"a"], MdpError::ServiceName(ServiceNameError::Length(256))),
        (&[b"", b"MDPC01", b"a\n", b"a"], MdpError::ServiceName(ServiceNameError::Control(b'\n'))),
        (&[&long, b"", b"MDPC01", b"echo", b"a"], MdpError::Address),
        (&[b"MDPC02"], MdpError::CommandMissing),
        (&[b"MDPC02", b"", b"echo", b"a"], MdpError::CommandMissing),
        (&[b"MDPC02", b"\x02", b"echo", b"a"], MdpError::UnknownCommand(2)),
        (&[b"", b"MDPW01"], MdpError::CommandMissing),
        (&[b"", b"MDPW01", b"\x01\x01", b"echo"], MdpError::CommandMissing),
        (&[b"", b"MDPW01", b"\x00"], MdpError::UnknownCommand(0)),
        (&[b"", b"MDPW01", b"\x02", b"client", b"", b"a"], MdpError::UnknownCommand(2)),
        (&[b"", b"MDPW01", b"\x06"], MdpError::UnknownCommand(6)),
        (&[b"", b"MDPW01", b"\x01"], MdpError::ServiceMissing),
        (&[b"", b"MDPW01", b"\x01", b"echo", b"more"], MdpError::ExcessFrames),
        (&[b"", b"MDPW01", b"\x03", b"client"], MdpError::Address),
        (&[b"", b"MDPW01", b"\x03", b"client", b"a"], MdpError::Address),
        (&[b"", b"MDPW01", b"\x03", b"", b"", b"a"], MdpError::Address),
        (&[b"", b"MDPW01", b"\x03", &long, b"", b"a"], MdpError::Address),
        (&[b"", b"MDPW01", b"\x03", b"client", b""], MdpError::BodyMissing),
        (&[b"", b"MDPW01", b"\x04", b""], MdpError::ExcessFrames),
        (&[b"id", b"", b"MDPW01", b"\x04"], MdpError::Address),
        (&[b"MDPW02", b"\x06", b"why"], MdpError::ExcessFrames),
    ];
    for (words, error) in cases {
        assert_eq!(parse(&frames(words)), Err(*error), "{words:?}");
    }
    let client = frames(&[b"", b"MDPC01", b"echo", b"a"]);
    assert_eq!(WorkerCommand::parse(&client), Err(MdpError::WrongSide));
    assert_eq!(BrokerCommand::parse(&client), Err(MdpError::WrongSide));
    let worker = frames(&[b"", b"MDPW01", b"\x04"]);
    assert_eq!(ClientRequest::parse(&worker), Err(MdpError::WrongSide));
    assert_eq!(ClientReply::parse(&worker), Err(MdpError::WrongSide));
    let ready_to_a_worker = frames(&[b"", b"MDPW01", b"\x01", b"echo"]);
    assert_eq!(BrokerCommand::parse(&ready_to_a_worker), Err(MdpError::UnknownCommand(1)));
}

#[test]
fn an_address_ends_within_its_limit() {
    let deep = |before: usize| {
        let mut message = vec![Bytes::from_static(b"hop"); before];
        message.extend(frames(&[b"", b"MDPC01", b"echo", b"a"]));
        parse(&message)
    };
    assert!(deep(ADDRESS_FRAMES_MAX - 1).is_ok());
    assert_eq!(deep(ADDRESS_FRAMES_MAX), Err(MdpError::NotMdp));
}

fn any_name() -> impl Strategy<Value = ServiceName> {
    proptest::collection::vec(b' '..=b'~', 1..40).prop_map(|name| ServiceName::new(name).unwrap())
}

fn any_body() -> impl Strategy<Value = Vec<Bytes>> {
    let frame = proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    proptest::collection::vec(frame, 1..5)
}

fn any_client() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 1..30).prop_map(Bytes::from)
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V01), Just(Version::V02)]
}

/// No address, or hops that are not themselves a header, and an empty frame.
fn any_address() -> impl Strategy<Value = Vec<Bytes>> {
    let hop = proptest::collection::vec(0_u8..b'A', 1..6).prop_map(Bytes::from);
    proptest::option::of(proptest::collection::vec(hop, 0..ADDRESS_FRAMES_MAX)).prop_map(|hops| {
        hops.map_or_else(Vec::new, |mut hops| {
            hops.push(Bytes::new());
            hops
        })
    })
}

fn any_framing() -> impl Strategy<Value = Framing> {
    (any_version(), any::<bool>()).prop_map(|(version, delimited)| Framing { version, delimited })
}

fn any_worker_command() -> impl Strategy<Value = WorkerCommand> {
    prop_oneof![
        any_name().prop_map(|service| WorkerCommand::Ready { service }),
        (any_client(), any_body()).prop_map(|(client, body)| WorkerCommand::Partial { client, body }),
        (any_client(), any_body()).prop_map(|(client, body)| WorkerCommand::Final { client, body }),
        Just(WorkerCommand::Heartbeat),
        Just(WorkerCommand::Disconnect),
    ]
}

/// Frames that are often almost a message.
fn almost() -> impl Strategy<Value = Vec<Bytes>> {
    let words: Vec<&'static [u8]> =
        vec![b"", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02", b"MDPW03", b"\x01", b"\x03", b"\x04", b"mmi.x"];
    let word = proptest::sample::select(words).prop_map(Bytes::from_static);
    proptest::collection::vec(word, 0..8)
}

proptest! {
    #[test]
    fn requests_and_replies_read_back(
        version in any_version(), address in any_address(), service in any_name(), body in any_body(),
        last in any::<bool>(),
    ) {
        let part = if last { Part::Final } else { Part::Partial };
        let request = ClientRequest {
            version, address: address.clone(), service: service.clone(), body: body.clone(),
        };
        prop_assert_eq!(ClientRequest::parse(&request.clone().encode()), Ok(request.clone()));
        prop_assert_eq!(parse(&request.clone().encode()), Ok(ToBroker::Client(request)));
        let reply = ClientReply { version, address, part, service, body };
        match reply.clone().encode() {
            Some(frames) => prop_assert_eq!(ClientReply::parse(&frames), Ok(reply)),
            None => prop_assert_eq!((version, part), (Version::V01, Part::Partial)),
        }
    }

    #[test]
    fn commands_of_workers_read_back(framing in any_framing(), command in any_worker_command()) {
        match command.clone().encode(framing) {
            Some(frames) => {
                prop_assert_eq!(WorkerCommand::parse(&frames), Ok((framing, command.clone())));
                prop_assert_eq!(parse(&frames), Ok(ToBroker::Worker(framing, command)));
            }
            None => prop_assert_eq!(framing.version, Version::V01),
        }
    }

    #[test]
    fn commands_to_workers_read_back(
        framing in any_framing(), client in any_client(), body in any_body(), which in 0..3,
    ) {
        let command = match which {
            0 => BrokerCommand::Heartbeat,
            1 => BrokerCommand::Disconnect,
            _ => BrokerCommand::Request { client, body },
        };
        prop_assert_eq!(BrokerCommand::parse(&command.clone().encode(framing)), Ok((framing, command)));
    }

    #[test]
    fn any_frames_are_a_message_or_an_error(frames in almost()) {
        match parse(&frames) {
            Ok(ToBroker::Client(request)) => prop_assert_eq!(request.encode(), frames.clone()),
            Ok(ToBroker::Worker(framing, command)) => {
                prop_assert_eq!(command.encode(framing), Some(frames.clone()));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        let _ = (ClientReply::parse(&frames), BrokerCommand::parse(&frames));
    }
}

#[test]
fn an_id_is_taken_off_the_body_or_refused() {
    let take = |words: &[&[u8]]| {
        let mut body = body(words);
        let id = RequestId::take_from(&mut body);
        (id, body)
    };
    let (long, longer) = ([b"swarmmq-id:", &[7; 64][..]].concat(), [b"swarmmq-id:", &[7; 65][..]].concat());
    for (frame, id) in [(&b"swarmmq-id:x"[..], &b"x"[..]), (&long, &[7; 64])] {
        let id = RequestId::new(id).unwrap();
        assert_eq!(id.frame(), frame);
        assert_eq!(take(&[frame, b"work", b""]), (Ok(Some(id)), body(&[b"work", b""])));
    }
    assert_eq!(RequestId::from_value(31).as_bytes(), b"0000000000000000000000000000001f");
    for (words, error) in [
        (&[&b"swarmmq-id:"[..], b"work"][..], RequestIdError::Length(0)),
        (&[&longer, b"work"], RequestIdError::Length(65)),
        (&[b"swarmmq-id:x"], RequestIdError::NoBody),
    ] {
        assert_eq!(take(words), (Err(error), body(words)));
    }
    for plain in [&[&b"swarmmq-id"[..], b"swarmmq-id:x"][..], &[b"", b"swarmmq-id:x"], &[b"work"]] {
        assert_eq!(take(plain), (Ok(None), body(plain)));
    }
}
