//! Any value of the protocol.

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use swarmmq_protocol::info::{DestinationInfo, GroupInfo};
use swarmmq_protocol::limits::{LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, WATCH_WAIT_MS_MAX};
use swarmmq_protocol::message::EncodedMessage;
use swarmmq_protocol::native::{Credential, Frame, Hello, Welcome};
use swarmmq_protocol::request::{Pull, Put, Request, Settle, Subscribe, Verdict};
use swarmmq_protocol::response::{Delivery, PutOutcome, PutReply, PutRun, SettleOutcome, SettleReply};
use swarmmq_protocol::service::{
    Health, Instance, InstanceKey, RegistryCursor, ServiceChange, ServiceNews, ServicesReply, Watch,
};
use swarmmq_protocol::settings::{
    Condition, DestinationKind, DestinationSettings, GroupSettings, Overflow, Position,
};
use swarmmq_protocol::{
    DestinationName, ErrorCode, ErrorReply, GroupName, InstanceId, Message, MessageId, ProducerId,
    ProducerStamp, Receipt, Response, Sequence, ServiceType,
};

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

pub(crate) fn destination() -> impl Strategy<Value = DestinationName> {
    "[a-zA-Z0-9_][a-zA-Z0-9._:-]{0,199}".prop_map(|name| DestinationName::new(&name).unwrap())
}

fn group() -> impl Strategy<Value = GroupName> {
    "[a-zA-Z0-9_][a-zA-Z0-9._:-]{0,199}".prop_map(|name| GroupName::new(&name).unwrap())
}

fn message() -> impl Strategy<Value = EncodedMessage> {
    let numbers = (any::<u128>(), 1_u8..=10, of(any::<u64>()), of(any::<u64>()), of(any::<u64>()));
    let texts = (of(bytes(255)), of(bytes(255)), of(destination()), of(".{0,60}"));
    (numbers, texts, vec(("[a-z-]{1,20}", bytes(60)), 0..5), bytes(200)).prop_map(
        |(
            (id, priority, timestamp, ttl, delay),
            (key, correlation, reply_to, producer),
            headers,
            payload,
        )| {
            let mut message = Message::new(payload).id(MessageId(id)).priority(priority);
            (message.timestamp_ms, message.ttl_ms, message.delay_ms) = (timestamp, ttl, delay);
            (message.key, message.correlation, message.reply_to) = (key, correlation, reply_to);
            message.producer = producer;
            for (name, value) in headers {
                message = message.header(name, value);
            }
            message.encode().unwrap()
        },
    )
}

fn stamp() -> impl Strategy<Value = ProducerStamp> {
    (any::<u128>(), any::<u32>(), 1..=u64::MAX).prop_map(|(id, epoch, sequence)| ProducerStamp {
        producer: ProducerId(id),
        epoch,
        sequence,
    })
}

fn receipt() -> impl Strategy<Value = Receipt> {
    (any::<u64>(), any::<u64>()).prop_map(|(sequence, token)| Receipt { sequence: Sequence(sequence), token })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Ack),
        any::<u64>().prop_map(|delay_ms| Verdict::Nack { delay_ms }),
        any::<u64>().prop_map(|lease_ms| Verdict::Extend { lease_ms }),
        ".{0,200}".prop_map(|reason| Verdict::Reject { reason }),
    ]
}

fn position() -> impl Strategy<Value = Position> {
    prop_oneof![
        Just(Position::Earliest),
        Just(Position::Latest),
        any::<u64>().prop_map(Position::Sequence),
        any::<u64>().prop_map(Position::Time),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        bytes(255).prop_map(Condition::KeyIs),
        bytes(255).prop_map(Condition::KeyStartsWith),
        ("[a-z]{0,40}", bytes(100)).prop_map(|(name, value)| Condition::HeaderIs(name, value)),
        any::<u8>().prop_map(Condition::PriorityAtLeast),
    ]
}

pub(crate) fn destination_settings() -> impl Strategy<Value = DestinationSettings> {
    let kinds = (select(vec![DestinationKind::Queue, DestinationKind::Stream]), any::<bool>(), any::<bool>());
    (kinds, any::<[u64; 9]>()).prop_map(|((kind, refuse, last_per_key), numbers)| {
        let mut settings = DestinationSettings::queue();
        settings.kind = kind;
        settings.overflow = if refuse { Overflow::Refuse } else { Overflow::DropOldest };
        settings.last_per_key = last_per_key;
        [
            settings.messages_max,
            settings.bytes_max,
            settings.age_max_ms,
            settings.ttl_default_ms,
            settings.message_bytes_max,
            settings.dedup_window_ms,
            settings.dedup_ids_max,
            settings.producer_ttl_ms,
            settings.producers_max,
        ] = numbers;
        settings
    })
}

pub(crate) fn group_settings() -> impl Strategy<Value = GroupSettings> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u32>());
    (position(), numbers, of(destination()), any::<bool>(), vec(condition(), 0..4)).prop_map(
        |(start, (lease_ms, deliveries_max, delay_ms, leased_max), dead_letter, key_ordered, filter)| {
            let mut settings = GroupSettings::default();
            (settings.start, settings.lease_ms, settings.deliveries_max) = (start, lease_ms, deliveries_max);
            (settings.dead_letter, settings.redelivery_delay_ms) = (dead_letter, delay_ms);
            (settings.key_ordered, settings.leased_max, settings.filter) = (key_ordered, leased_max, filter);
            settings
        },
    )
}

fn group_info() -> impl Strategy<Value = GroupInfo> {
    (group(), group_settings(), any::<bool>(), any::<[u64; 9]>()).prop_map(
        |(name, settings, paused, numbers)| {
            let mut info = GroupInfo::new(name, settings);
            info.paused = paused;
            [
                info.ready,
                info.leased,
                info.delayed,
                info.floor,
                info.redelivered,
                info.acknowledged,
                info.dead,
                info.oldest_age_ms,
                info.consumers,
            ] = numbers;
            info
        },
    )
}

fn destination_info() -> impl Strategy<Value = DestinationInfo> {
    (destination(), destination_settings(), any::<u32>(), any::<[u64; 8]>(), vec(group_info(), 0..3))
        .prop_map(|(name, settings, shard, numbers, groups)| {
            let mut info = DestinationInfo::new(name, settings, shard);
            [
                info.first,
                info.last,
                info.messages,
                info.bytes,
                info.oldest_age_ms,
                info.dropped,
                info.expired,
                info.duplicates,
            ] = numbers;
            info.groups = groups;
            info
        })
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let put = (destination(), of(stamp()), of(any::<u64>()), vec(message(), 1..5)).prop_map(
        |(destination, stamp, expected_last, messages)| {
            Request::Put(Put { destination, stamp, expected_last, messages })
        },
    );
    let pull = (destination(), group(), 1_u32..=4096, any::<u32>(), any::<u32>()).prop_map(
        |(destination, group, messages_max, wait_ms, lease_ms)| {
            Request::Pull(Pull { destination, group, messages_max, wait_ms, lease_ms })
        },
    );
    let subscribe = (destination(), group(), any::<u32>(), any::<u32>()).prop_map(
        |(destination, group, credit, lease_ms)| {
            Request::Subscribe(Subscribe { destination, group, credit, lease_ms })
        },
    );
    let settle = (destination(), group(), verdict(), vec(receipt(), 1..20)).prop_map(
        |(destination, group, verdict, receipts)| {
            Request::Settle(Settle { destination, group, verdict, receipts })
        },
    );
    prop_oneof![
        put,
        pull,
        subscribe,
        any::<u64>().prop_map(|subscription| Request::Unsubscribe { subscription }),
        settle,
        administration(),
        instance().prop_map(Request::Announce),
        instance().prop_map(|instance| Request::Withdraw(instance.key)),
        (of(instance()), of(cursor()), 0..=WATCH_WAIT_MS_MAX).prop_map(|(instance, after, wait_ms)| {
            Request::Watch(Watch { service: instance.map(|instance| instance.key.service), after, wait_ms })
        }),
    ]
}

fn administration() -> impl Strategy<Value = Request> {
    let one = || (destination(), group());
    prop_oneof![
        (destination(), destination_settings())
            .prop_map(|(destination, settings)| Request::CreateDestination { destination, settings }),
        (destination(), destination_settings())
            .prop_map(|(destination, settings)| Request::UpdateDestination { destination, settings }),
        destination().prop_map(|destination| Request::DeleteDestination { destination }),
        destination().prop_map(|destination| Request::PurgeDestination { destination }),
        destination().prop_map(|destination| Request::DescribeDestination { destination }),
        ("[ -~]{0,200}", of(destination()), any::<u32>())
            .prop_map(|(prefix, after, limit)| Request::ListDestinations { prefix, after, limit }),
        (one(), group_settings()).prop_map(|((destination, group), settings)| Request::CreateGroup {
            destination,
            group,
            settings
        }),
        (one(), group_settings()).prop_map(|((destination, group), settings)| Request::UpdateGroup {
            destination,
            group,
            settings
        }),
        one().prop_map(|(destination, group)| Request::DeleteGroup { destination, group }),
        (one(), any::<bool>()).prop_map(|((destination, group), paused)| Request::PauseGroup {
            destination,
            group,
            paused
        }),
        (one(), position()).prop_map(|((destination, group), to)| Request::ResetGroup {
            destination,
            group,
            to
        }),
    ]
}

fn instance() -> impl Strategy<Value = Instance> {
    let name = || "[a-zA-Z0-9_][a-zA-Z0-9._:-]{0,199}";
    let said = (any::<bool>(), any::<u64>(), LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX);
    let metadata = btree_map(".{0,10}", ".{0,20}", 0..4);
    (name(), name(), "[!-~]{1,512}", said, metadata).prop_map(|(service, id, endpoint, said, metadata)| {
        let key = InstanceKey::new(ServiceType::new(&service).unwrap(), InstanceId::new(&id).unwrap());
        let (healthy, heartbeat_ms, ttl_ms) = said;
        let health = if healthy { Health::Healthy } else { Health::Unhealthy };
        Instance { key, endpoint, health, heartbeat_ms, ttl_ms, metadata }
    })
}

fn cursor() -> impl Strategy<Value = RegistryCursor> {
    any::<(u64, u64)>().prop_map(|(epoch, revision)| RegistryCursor { epoch, revision })
}

fn service_news() -> impl Strategy<Value = ServiceNews> {
    let change = prop_oneof![
        instance().prop_map(ServiceChange::Registered),
        instance().prop_map(|instance| ServiceChange::Gone(instance.key)),
    ];
    prop_oneof![
        vec(instance(), 0..4).prop_map(ServiceNews::All),
        vec(change, 0..4).prop_map(ServiceNews::Changes),
    ]
}

fn error() -> impl Strategy<Value = ErrorReply> {
    (select(ErrorCode::ALL), ".{0,200}", of("[a-z0-9.:-]{0,60}")).prop_map(|(code, explanation, leader)| {
        let mut error = ErrorReply::new(code, explanation);
        error.leader = leader;
        error
    })
}

pub(crate) fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let delivery = (receipt(), any::<u32>(), any::<u64>(), message())
        .prop_map(|(receipt, attempt, stored_ms, message)| Delivery { receipt, attempt, stored_ms, message });
    vec(delivery, 0..4)
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    let outcome = prop_oneof![
        any::<u64>().prop_map(|at| PutOutcome::Stored(Sequence(at))),
        any::<u64>().prop_map(|at| PutOutcome::Duplicate(Sequence(at))),
        select(ErrorCode::ALL).prop_map(PutOutcome::Refused),
    ];
    let run = (0_u32..100, outcome).prop_map(|(count, outcome)| PutRun { count, outcome });
    let settled = select(vec![
        SettleOutcome::Done,
        SettleOutcome::AlreadySettled,
        SettleOutcome::Stale,
        SettleOutcome::Unknown,
    ]);
    prop_oneof![
        error().prop_map(Response::Error),
        any::<u64>().prop_map(|index| Response::Done { index }),
        (any::<u64>(), vec(run, 0..10)).prop_map(|(index, runs)| Response::Put(PutReply { index, runs })),
        deliveries().prop_map(Response::Messages),
        Just(Response::Subscribed),
        (any::<u64>(), vec(settled, 0..50))
            .prop_map(|(index, outcomes)| Response::Settled(SettleReply { index, outcomes })),
        destination_info().prop_map(|info| Response::Destination(Box::new(info))),
        vec(destination_info(), 0..3).prop_map(Response::Destinations),
        (cursor(), service_news()).prop_map(|(at, news)| Response::Services(ServicesReply { at, news })),
    ]
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let credential = prop_oneof![Just(Credential::None), bytes(255).prop_map(Credential::ApiKey)];
    let hello = (any::<u16>(), any::<u16>(), ".{0,60}", credential).prop_map(
        |(version_min, version_max, client, credential)| {
            Frame::Hello(Hello { version_min, version_max, client, credential })
        },
    );
    let welcome = (any::<u16>(), [".{0,60}", ".{0,60}", ".{0,60}"], any::<[u32; 4]>()).prop_map(
        |(
            version,
            [node, cluster, software],
            [message_bytes_max, in_flight_max, idle_ms, credit_default],
        )| {
            Frame::Welcome(Welcome {
                version,
                node,
                cluster,
                software,
                message_bytes_max,
                in_flight_max,
                idle_ms,
                credit_default,
            })
        },
    );
    prop_oneof![
        1 => hello,
        4 => request().prop_map(Frame::Request),
        1 => any::<u32>().prop_map(Frame::Credit),
        1 => Just(Frame::Ping),
        1 => Just(Frame::Pong),
        1 => error().prop_map(Frame::Goodbye),
        1 => welcome,
        4 => response().prop_map(Frame::Reply),
        1 => deliveries().prop_map(Frame::Delivery),
        1 => error().prop_map(Frame::Ended),
    ]
}
