//! One behaviour after the other.

use super::super::SUBSCRIPTION_BYTES;
use super::*;

#[test]
fn a_publication_goes_once_to_everybody_who_subscribed_to_a_prefix_of_its_topic() {
    let mut world = World::plain();
    let publisher = world.publisher();
    let (one, other, idle) = (world.subscriber(), world.subscriber(), world.subscriber());
    for prefix in ["", "new", "news", "news.b"] {
        world.subscribe(one, prefix);
    }
    world.subscribe(other, "news.a");
    world.subscribe(idle, "newsy");
    world.publish(publisher, "news.a", "1");
    world.say(publisher, &[b"news.b"]);
    world.publish(publisher, "ne", "3");
    assert_eq!(world.texts(one), ["news.a=1", "news.b", "ne=3"]);
    assert_eq!(world.texts(other), ["news.a=1"]);
    assert!(world.texts(idle).is_empty());
    assert!(world.peers.dropped.is_empty());
}

#[test]
fn two_subscriptions_need_two_cancellations() {
    let mut world = World::plain();
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    world.subscribe(subscriber, "a");
    world.subscribe(subscriber, "a");
    world.cancel(subscriber, "a");
    world.publish(publisher, "a", "1");
    world.cancel(subscriber, "a");
    world.publish(publisher, "a", "2");
    // One too many takes nothing away that comes later.
    world.cancel(subscriber, "a");
    world.subscribe(subscriber, "a");
    world.publish(publisher, "a", "3");
    assert_eq!(world.texts(subscriber), ["a=1", "a=3"]);
    assert_eq!(world.drops(publisher, Drop::Unwanted), 1);
}

#[test]
fn publishers_hear_the_first_subscription_and_the_last_cancellation() {
    let mut world = World::plain();
    let early = world.publisher();
    let (one, other) = (world.subscriber(), world.subscriber());
    world.subscribe(one, "a");
    world.subscribe(other, "a");
    world.subscribe(one, "b");
    let late = world.publisher();
    world.cancel(one, "a");
    world.detach(other);
    world.cancel(one, "b");
    assert_eq!(world.texts(early), ["\u{1}a", "\u{1}b", "\0a", "\0b"]);
    assert_eq!(world.texts(late), ["\u{1}a", "\u{1}b", "\0a", "\0b"]);
}

#[test]
fn publishers_hear_that_everything_is_wanted_where_last_values_are_kept() {
    let mut world = World::with_last_values();
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    world.subscribe(subscriber, "a");
    world.subscribe(subscriber, "");
    world.cancel(subscriber, "");
    world.detach(subscriber);
    assert_eq!(world.texts(publisher), ["\u{1}"]);
}

#[test]
fn a_subscriber_whose_queue_is_full_misses_what_others_get() {
    let mut world = World::new(PubSubLimits::default(), 2);
    let publisher = world.publisher();
    let (slow, quick) = (world.subscriber(), world.subscriber());
    world.subscribe(slow, "");
    world.subscribe(quick, "");
    let mut got = Vec::new();
    for value in ["1", "2", "3", "4"] {
        world.publish(publisher, "a", value);
        got.extend(world.texts(quick));
    }
    assert_eq!(got, ["a=1", "a=2", "a=3", "a=4"]);
    assert_eq!(world.texts(slow), ["a=1", "a=2"]);
    assert_eq!(world.drops(slow, Drop::QueueFull), 2);
    world.publish(publisher, "a", "5");
    assert_eq!(world.texts(slow), ["a=5"]);
}

#[test]
fn other_messages_of_a_subscriber_go_to_all_publishers() {
    let mut world = World::plain();
    let (one, other, subscriber) = (world.publisher(), world.publisher(), world.subscriber());
    world.say(subscriber, &[b"hello"]);
    world.say(subscriber, &[b"\x01a", b"b"]);
    world.say(subscriber, &[b""]);
    assert_eq!(world.texts(one), ["hello", "\u{1}a=b", ""]);
    assert_eq!(world.texts(other), ["hello", "\u{1}a=b", ""]);
}

#[test]
fn who_subscribes_late_gets_the_last_value_of_each_topic_and_then_updates() {
    let mut world = World::with_last_values();
    let publisher = world.publisher();
    for (topic, value) in [("b", "1"), ("a.x", "2"), ("a.y", "3"), ("a.x", "4"), ("c", "5")] {
        world.publish(publisher, topic, value);
    }
    // Of one frame there is no value.
    world.say(publisher, &[b"a.z"]);
    let (exact, prefix, all) = (world.subscriber(), world.subscriber(), world.subscriber());
    world.subscribe(exact, "a.x");
    world.subscribe(prefix, "a.");
    world.subscribe(all, "");
    world.publish(publisher, "a.y", "6");
    assert_eq!(world.texts(exact), ["a.x=4"]);
    assert_eq!(world.texts(prefix), ["a.y=3", "a.x=4", "a.y=6"]);
    assert_eq!(world.texts(all), ["b=1", "a.y=3", "a.x=4", "c=5", "a.y=6"]);
}

#[test]
fn a_wider_subscription_brings_only_what_a_narrower_one_did_not() {
    let mut world = World::with_last_values();
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    for topic in ["a.x", "a.y", "b"] {
        world.publish(publisher, topic, "1");
    }
    world.subscribe(subscriber, "a.x");
    assert_eq!(world.texts(subscriber), ["a.x=1"]);
    world.subscribe(subscriber, "a");
    assert_eq!(world.texts(subscriber), ["a.y=1"]);
    world.subscribe(subscriber, "");
    assert_eq!(world.texts(subscriber), ["b=1"]);
    world.subscribe(subscriber, "a.y");
    assert!(world.texts(subscriber).is_empty());
}

#[test]
fn to_subscribe_again_is_to_ask_for_the_values_again() {
    let mut world = World::with_last_values();
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    world.publish(publisher, "a", "1");
    world.subscribe(subscriber, "a");
    world.subscribe(subscriber, "a");
    assert_eq!(world.texts(subscriber), ["a=1", "a=1"]);
    world.cancel(subscriber, "a");
    world.cancel(subscriber, "a");
    world.publish(publisher, "a", "2");
    assert!(world.texts(subscriber).is_empty());
    world.subscribe(subscriber, "a");
    assert_eq!(world.texts(subscriber), ["a=2"]);
}

#[test]
fn values_that_do_not_fit_come_later_and_updates_wait_behind_them() {
    let limits = PubSubLimits { last_values: true, ..PubSubLimits::default() };
    let mut world = World::new(limits, 2);
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    for topic in ["a", "b", "c", "d", "e"] {
        world.publish(publisher, topic, "1");
    }
    world.subscribe(subscriber, "");
    assert!(!world.proxy.accepts(subscriber, &world.peers), "it could ask for more than it takes");
    // One that was sent, one that is owed, one that is new; and one of these twice.
    for (topic, value) in [("a", "2"), ("d", "2"), ("f", "2"), ("d", "3")] {
        world.publish(publisher, topic, value);
    }
    world.say(publisher, &[b"d"]);
    let mut got = world.take(subscriber);
    // There is room, but the endpoint does not know yet.
    world.say(publisher, &[b"e"]);
    got.extend(world.drain_all(subscriber));
    assert_eq!(texts(&got), ["a=1", "b=1", "c=1", "e=1", "a=2", "f=2", "d=3"]);
    // d=2, which d=3 replaced before it was sent, and those of one frame, which cannot wait.
    assert_eq!(world.peers.dropped, [(subscriber, Drop::QueueFull); 3]);
    assert!(world.proxy.accepts(subscriber, &world.peers));
    world.publish(publisher, "a", "4");
    assert_eq!(world.texts(subscriber), ["a=4"]);
}

#[test]
fn a_value_that_is_larger_than_the_room_there_is_waits_for_more() {
    let limits = PubSubLimits { last_values: true, ..PubSubLimits::default() };
    let mut world = World::new(limits, usize::MAX);
    world.peers.room_bytes = 100;
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    for (topic, bytes) in [("a", 40), ("b", 70), ("c", 200), ("d", 10)] {
        world.publish(publisher, topic, "x".repeat(bytes));
    }
    world.subscribe(subscriber, "");
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(world.drain(subscriber, usize::MAX).len());
    }
    assert_eq!(got, [1, 1, 1, 1]);
    assert!(world.peers.dropped.is_empty());
}

#[test]
fn what_was_cancelled_is_owed_no_more() {
    let limits = PubSubLimits { last_values: true, ..PubSubLimits::default() };
    let mut world = World::new(limits, 1);
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    for topic in ["a", "b", "c", "d"] {
        world.publish(publisher, topic, "1");
    }
    world.subscribe(subscriber, "");
    world.subscribe(subscriber, "d");
    world.cancel(subscriber, "");
    assert_eq!(texts(&world.drain_all(subscriber)), ["a=1", "d=1"]);
    world.subscribe(subscriber, "");
    world.cancel(subscriber, "d");
    world.cancel(subscriber, "");
    assert_eq!(texts(&world.drain_all(subscriber)), ["a=1"]);
}

#[test]
fn evicted_values_do_not_gather_at_a_subscriber_that_takes_nothing() {
    let limits = PubSubLimits { last_values: true, last_values_max: 10, ..PubSubLimits::default() };
    let mut world = World::new(limits, 1);
    let (publisher, subscriber) = (world.publisher(), world.subscriber());
    world.publish(publisher, "0", "");
    world.publish(publisher, "1", "");
    world.subscribe(subscriber, "");
    for topic in 2..1_000 {
        world.publish(publisher, topic.to_string(), "");
        assert!(world.proxy.owed_count(subscriber) <= 10);
    }
    // It was sent the first one and is owed the last ten; all others it missed, but for the value of `1`.
    assert_eq!(world.drops(subscriber, Drop::QueueFull), 1_000 - 12);
    assert_eq!(world.drain_all(subscriber).len(), 11);
    // What changes while it has cancelled does not gather either.
    world.subscribe(subscriber, "x");
    for _ in 0..50 {
        world.subscribe(subscriber, "");
        world.cancel(subscriber, "");
        for topic in 990..1_000 {
            world.publish(publisher, topic.to_string(), "");
        }
        assert!(world.proxy.owed_count(subscriber) <= 20);
    }
}

#[test]
fn values_that_are_too_old_are_gone() {
    let limits =
        PubSubLimits { last_values: true, last_value_age_max_ms: Some(100), ..PubSubLimits::default() };
    let mut world = World::new(limits, usize::MAX);
    let publisher = world.publisher();
    world.publish(publisher, "a", "1");
    world.now_ms += 60;
    world.publish(publisher, "b", "1");
    assert_eq!(world.proxy.next_due(), Some(1_100));
    world.now_ms += 40;
    let subscriber = world.subscriber();
    world.subscribe(subscriber, "");
    assert_eq!(world.texts(subscriber), ["b=1"]);
    world.proxy.tick(world.now_ms, &mut world.peers);
    assert_eq!(world.proxy.last_values(), 1);
    assert_eq!(world.proxy.next_due(), Some(1_160));
}

#[test]
fn what_may_not_be_said_or_heard_is_dropped_and_counted() {
    let mut world = World::with_last_values();
    world.peers.forbidden = None;
    let (publisher, subscriber, late) = (world.publisher(), world.subscriber(), world.subscriber());
    world.publish(publisher, "secret", "1");
    world.peers.forbidden = Some(b"secret");
    world.publish(publisher, "secret.x", "1");
    world.subscribe(subscriber, "secret");
    assert!(world.texts(subscriber).is_empty());
    world.say(late, &[b"secret", b"to publishers"]);
    assert_eq!(world.texts(publisher), ["\u{1}"]);
    assert_eq!(world.drops(publisher, Drop::Forbidden), 1);
    assert_eq!(world.drops(subscriber, Drop::Forbidden), 1);
    assert_eq!(world.drops(late, Drop::Forbidden), 1);
    world.subscribe(subscriber, "seed");
    world.publish(publisher, "seed", "1");
    assert_eq!(world.texts(subscriber), ["seed=1"]);
}

#[test]
fn who_loses_the_right_to_a_prefix_gets_nothing_more_and_has_to_go() {
    let limits = PubSubLimits { last_values: true, ..PubSubLimits::default() };
    let mut world = World::new(limits, 1);
    let (publisher, subscriber, other) = (world.publisher(), world.subscriber(), world.subscriber());
    for topic in ["open", "secret", "zoo"] {
        world.publish(publisher, topic, "1");
    }
    world.subscribe(subscriber, "");
    world.subscribe(subscriber, "secret");
    world.subscribe(other, "open");
    world.peers.forbidden = Some(b"secret");
    for peer in [subscriber, other, publisher] {
        world.proxy.rights_changed(world.now_ms, peer, &mut world.peers);
    }
    assert_eq!(world.peers.disconnected, [subscriber]);
    assert_eq!(texts(&world.drain_all(subscriber)), ["open=1"], "what was sent before");
    world.publish(publisher, "open", "2");
    world.subscribe(subscriber, "open");
    assert!(world.take(subscriber).is_empty());
    world.detach(subscriber);
    assert_eq!(texts(&world.drain_all(other)), ["open=1"]);
    world.publish(publisher, "open", "3");
    assert_eq!(world.texts(other), ["open=3"]);
}

#[test]
fn a_subscriber_beyond_its_limits_is_told_to_go() {
    let limits = PubSubLimits {
        subscriptions_max: 3,
        prefix_bytes_max: 10,
        subscription_bytes_max: 2 * SUBSCRIPTION_BYTES + 15,
        subscription_bytes_total_max: 3 * SUBSCRIPTION_BYTES,
        ..PubSubLimits::default()
    };
    let refused = |prefixes: &[&str]| {
        let mut world = World::new(limits.clone(), usize::MAX);
        let (publisher, subscriber) = (world.publisher(), world.subscriber());
        for prefix in prefixes {
            assert!(world.peers.disconnected.is_empty());
            world.subscribe(subscriber, prefix);
        }
        let is_refused = world.peers.disconnected == [subscriber];
        assert_eq!(world.drops(subscriber, Drop::LimitReached), usize::from(is_refused));
        // It is not heard any more.
        let told = world.take(publisher).len();
        world.say(subscriber, &[b"hello"]);
        assert_eq!(world.take(publisher).len(), usize::from(!is_refused));
        world.detach(subscriber);
        assert_eq!(world.take(publisher).len(), told, "each subscription that was told is cancelled");
        is_refused
    };
    assert!(!refused(&["0123456789"]));
    assert!(refused(&["0123456789a"]));
    assert!(!refused(&["a", "a", "a", "a", "b", "b"]));
    assert!(!refused(&["0123456789", "01234"]));
    assert!(refused(&["0123456789", "012345"]));
    let mut world = World::new(limits.clone(), usize::MAX);
    for prefix in ["a", "b", "c"] {
        let subscriber = world.subscriber();
        world.subscribe(subscriber, prefix);
        assert_eq!(world.peers.disconnected.is_empty(), prefix != "c", "the endpoint has its own limit");
    }
}

#[test]
fn what_the_endpoint_has_no_room_for_is_held_by_nobody() {
    let subscription_bytes_total_max = 2 * SUBSCRIPTION_BYTES + 10;
    let mut world =
        World::new(PubSubLimits { subscription_bytes_total_max, ..PubSubLimits::default() }, usize::MAX);
    let publisher = world.publisher();
    let (first, refused, second) = (world.subscriber(), world.subscriber(), world.subscriber());
    world.subscribe(first, "0123456789");
    world.subscribe(refused, "c");
    assert_eq!(world.peers.disconnected, [refused]);
    world.cancel(first, "0123456789");
    world.take(publisher);
    // Whoever was refused has not gone yet.
    world.subscribe(second, "c");
    assert_eq!(world.take(publisher), [[&b"\x01c"[..]]], "publishers are told of it");
    world.detach(refused);
    world.publish(publisher, "c", "1");
    assert_eq!(world.texts(second), ["c=1"]);
    assert!(world.take(publisher).is_empty());
}

#[test]
fn a_hundred_thousand_topics_are_subscribed_to_again_without_a_loss() {
    const TOPICS: usize = 100_000;
    let mut world = World::new(PubSubLimits { last_values: true, ..PubSubLimits::default() }, 1_000);
    let publisher = world.publisher();
    for topic in 0..TOPICS {
        world.publish(publisher, format!("topic.{topic}"), "1");
    }
    for _ in 0..2 {
        let subscriber = world.subscriber();
        let mut got = 0;
        for topic in 0..TOPICS {
            world.subscribe(subscriber, format!("topic.{topic}"));
            if world.peers.room(subscriber).is_full() {
                got += world.drain(subscriber, 700).len();
            }
        }
        // Of topics whose names begin with others that it holds there is one value all the same.
        got += world.drain_all(subscriber).len();
        assert_eq!(got, TOPICS);
        world.detach(subscriber);
    }
}

#[test]
fn a_publisher_with_a_short_queue_hears_of_a_hundred_thousand_subscriptions() {
    const TOPICS: usize = 100_000;
    let mut world = World::new(PubSubLimits::default(), 64);
    let subscriber = world.subscriber();
    for topic in 0..TOPICS {
        world.subscribe(subscriber, topic.to_string());
    }
    let publisher = world.publisher();
    world.cancel(subscriber, "99999");
    let told: BTreeSet<_> = world.drain_all(publisher).into_iter().collect();
    assert_eq!(told.len(), TOPICS - 1);
    assert!(told.iter().all(|frames| frames[0].first() == Some(&1)));
    // One whose queue is bounded by bytes as well.
    world.peers.room_bytes = 9;
    let publisher = world.publisher();
    let told: BTreeSet<_> = world.drain_all(publisher).into_iter().collect();
    assert_eq!(told.len(), TOPICS - 1);
}
