"""A proxy between PUB or XPUB publishers and SUB or XSUB subscribers, with and without last values."""

import time

import pytest
import zmq

from conftest import PATIENCE, documented, run_documented, until

PLAIN = ("topics", "pub-sub", {"backend": True})
KEPT = ("topics", "pub-sub", {"backend": True, "last_values": True})


def socket(context, kind, address, hwm=None):
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE * 1000))
    if hwm is not None:
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.SNDHWM, hwm)
    socket.connect(address)
    return socket


def subscriber(context, node, *prefixes, hwm=None):
    peer = socket(context, zmq.SUB, node.back["topics"], hwm)
    for prefix in prefixes:
        peer.subscribe(prefix)
    return peer


def publisher(context, node, hwm=0):
    """An XPUB, which sees all that it is told, and drops nothing of its own accord."""
    peer = socket(context, zmq.XPUB, node.front["topics"], hwm)
    peer.setsockopt(zmq.XPUB_NODROP, 1)
    peer.setsockopt(zmq.XPUB_VERBOSER, 1)
    return peer


def subscribed(peer, *prefixes):
    """Waits until a publisher has been told of these."""
    missing = {b"\x01" + prefix for prefix in prefixes}
    while missing:
        missing.discard(peer.recv())


def silent(peer, seconds=0.2):
    return peer.poll(int(seconds * 1000)) == 0


def test_pub_and_sub(context, node_with):
    node = node_with(PLAIN)
    plain = socket(context, zmq.PUB, node.front["topics"])
    watch = publisher(context, node)
    news, everything = subscriber(context, node, b"news."), subscriber(context, node, b"")
    subscribed(watch, b"news.", b"")

    def arrived():
        # A PUB does not say when it knows of a subscription.
        plain.send_multipart([b"weather", b"hello"])
        return everything.poll(10)

    until("a publication arrives", arrived)
    plain.send_multipart([b"news.a", b"", b"2"])
    assert news.recv_multipart() == [b"news.a", b"", b"2"]
    while everything.recv_multipart() != [b"news.a", b"", b"2"]:
        pass
    assert silent(news)


def test_xpub_and_xsub(context, node_with):
    node = node_with(PLAIN)
    front = publisher(context, node)
    back = socket(context, zmq.XSUB, node.back["topics"])
    other = socket(context, zmq.XSUB, node.back["topics"])
    back.send(b"\x01a")
    assert front.recv() == b"\x01a"
    other.send(b"\x01a")
    other.send(b"\x01b")
    assert front.recv() == b"\x01b", "only the first subscription to a prefix is passed on"
    front.send_multipart([b"ab", b"1"])
    assert back.recv_multipart() == other.recv_multipart() == [b"ab", b"1"]
    # What follows shows that the cancellation, which publishers are not told of, has arrived.
    back.send(b"\x00a")
    back.send(b"\x01c")
    assert front.recv() == b"\x01c"
    other.send(b"\x00b")
    assert front.recv() == b"\x00b"
    front.send_multipart([b"ab", b"2"])
    assert other.recv_multipart() == [b"ab", b"2"]
    other.close()
    assert front.recv() == b"\x00a", "who goes has cancelled"
    back.send_multipart([b"hello", b"publishers"])
    assert front.recv_multipart() == [b"hello", b"publishers"]
    assert silent(back)


def test_a_late_publisher_hears_of_all_subscriptions(context, node_with):
    node = node_with(PLAIN)
    early = publisher(context, node)
    prefixes = [f"topic.{number}".encode() for number in range(5_000)]
    peer = subscriber(context, node, *prefixes, hwm=0)
    subscribed(early, *prefixes)
    late = publisher(context, node)
    subscribed(late, *prefixes)
    late.send_multipart([b"topic.4999.x", b"1"])
    assert peer.recv_multipart() == [b"topic.4999.x", b"1"]


VALUES = [(b"a.x", b"1"), (b"b", b"1"), (b"a.y", b"1"), (b"a.x", b"2")]


@pytest.fixture
def kept(context, node_with):
    """A node that has seen some values, and their publisher."""
    node = node_with(KEPT)
    front = publisher(context, node)
    subscribed(front, b"")
    witness = subscriber(context, node, b"a.x")
    for value in VALUES:
        front.send_multipart(value)
    while witness.recv_multipart() != [b"a.x", b"2"]:
        pass
    witness.close()
    return node, front


@pytest.mark.parametrize(
    ("prefix", "values"),
    [
        (b"a.x", [[b"a.x", b"2"]]),
        (b"a.", [[b"a.y", b"1"], [b"a.x", b"2"]]),
        (b"", [[b"b", b"1"], [b"a.y", b"1"], [b"a.x", b"2"]]),
    ],
    ids=["exact", "prefix", "everything"],
)
def test_late_subscribers_get_each_value_once_and_then_updates(context, kept, prefix, values):
    node, front = kept
    # The second one too: an XPUB alone would not say that it subscribed.
    late = [subscriber(context, node, prefix) for _ in range(2)]
    for peer in late:
        assert [peer.recv_multipart() for _ in values] == values
    front.send_multipart([b"a.x", b"3"])
    for peer in late:
        assert peer.recv_multipart() == [b"a.x", b"3"]
        assert silent(peer)


def test_prefixes_that_overlap_bring_a_value_once(context, kept):
    node, front = kept
    peer = subscriber(context, node, b"a.x", b"a.", b"")
    assert sorted(peer.recv_multipart() for _ in range(3)) == [[b"a.x", b"2"], [b"a.y", b"1"], [b"b", b"1"]]
    front.send_multipart([b"a.x", b"3"])
    assert peer.recv_multipart() == [b"a.x", b"3"]
    assert silent(peer)


def test_values_and_subscriptions_outlive_a_lost_connection(context, node_with):
    """5,000 subscriptions are made again by libzmq in one go; each gets its value and its updates."""
    node = node_with(KEPT)
    front = publisher(context, node)
    subscribed(front, b"")
    topics = [f"topic.{number:04}".encode() for number in range(5_000)]
    peer = subscriber(context, node, *topics, hwm=0)
    for _ in range(2):
        for topic in topics:
            front.send_multipart([topic, b"1"])
        got = {peer.recv_multipart()[0] for _ in topics}
        assert got == set(topics)
        assert silent(peer)
        # The node is killed, and both sides connect again by themselves.
        node.kill()
        node.start()
        subscribed(front, b"")
        assert silent(peer), "a new node has no values"


def test_a_subscriber_that_comes_back_gets_the_values_again(context, node_with):
    node = node_with(KEPT)
    front = publisher(context, node)
    subscribed(front, b"")
    topics = [f"topic.{number:04}".encode() for number in range(5_000)]
    for topic in topics:
        front.send_multipart([topic, b"1"])
    for _ in range(2):
        peer = subscriber(context, node, *topics, hwm=0)
        got = [peer.recv_multipart()[0] for _ in topics]
        assert sorted(got) == topics
        assert silent(peer)
        peer.close()


def test_twenty_thousand_values_overrun_no_queue(context, node_with):
    name, kind, keys = KEPT
    node = node_with((name, kind, {**keys, "max_peer_queue": 1_000}))
    front = publisher(context, node)
    subscribed(front, b"")
    topics = [f"topic.{number:05}".encode() for number in range(20_000)]
    for topic in topics:
        front.send_multipart([topic, b"x" * 100])
    front.send_multipart([b"end", b""])
    witness = subscriber(context, node, b"end")
    assert witness.recv_multipart() == [b"end", b""]
    late = subscriber(context, node, b"topic.", hwm=100)
    # It is slow to begin with, and values change meanwhile.
    for topic in topics[-10:]:
        front.send_multipart([topic, b"new"])
    last = {}
    while len(last) < len(topics) or any(last[topic] != b"new" for topic in topics[-10:]):
        topic, value = late.recv_multipart()
        assert last.get(topic) != b"new", "an old value after a newer one"
        last[topic] = value
    assert silent(late)


def test_a_stalled_subscriber_does_not_slow_others(context, node_with):
    node = node_with(PLAIN)
    front = publisher(context, node)
    stalled = subscriber(context, node, b"", hwm=1)
    quick = subscriber(context, node, b"tick", hwm=0)
    subscribed(front, b"", b"tick")
    body = b"x" * 50_000
    slowest = 0.0
    for number in range(2_000):
        began = time.monotonic()
        front.send_multipart([b"tick", number.to_bytes(4, "big"), body])
        assert quick.recv_multipart()[1] == number.to_bytes(4, "big")
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 2
    # What waits for it is bounded, and in order.
    got = []
    while stalled.poll(500):
        got.append(stalled.recv_multipart()[1])
    assert got == sorted(got)
    assert 0 < len(got) < 2_000


def test_the_client_of_the_specification(kept):
    node, front = kept
    assert len(documented("pub-sub.md", "Latest").splitlines()) <= 20, "the specification promises twenty lines"
    late = run_documented("pub-sub.md", "Latest")(node.back["topics"], b"a.")
    assert [late.wait(), late.wait()] == [(b"a.y", [b"1"]), (b"a.x", [b"2"])]
    assert late.values == {b"a.y": [b"1"], b"a.x": [b"2"]}
    front.send_multipart([b"b", b"2"])
    front.send_multipart([b"a.y"])
    front.send_multipart([b"a.y", b"3", b""])
    assert [late.wait(), late.wait()] == [(b"a.y", []), (b"a.y", [b"3", b""])]
    assert late.values == {b"a.y": [b"3", b""], b"a.x": [b"2"]}
    assert late.wait(200) is None
    # A topic alone is no value: who comes later gets the one before it.
    front.send_multipart([b"a.x"])
    assert late.wait() == (b"a.x", [])
    again = run_documented("pub-sub.md", "Latest")(node.back["topics"], b"a.")
    assert [again.wait(), again.wait()] == [(b"a.x", [b"2"]), (b"a.y", [b"3", b""])]
    late.socket.close()
    again.socket.close()


def test_what_a_second_subscription_brings(context, kept):
    node, front = kept
    peer = socket(context, zmq.XSUB, node.back["topics"])
    peer.send(b"\x01a.x")
    assert peer.recv_multipart() == [b"a.x", b"2"]
    peer.send(b"\x01a.")
    assert peer.recv_multipart() == [b"a.y", b"1"], "a longer prefix has brought the other value"
    peer.send(b"\x01a.y")
    assert silent(peer), "a shorter prefix has brought it"
    peer.send(b"\x00a.")
    peer.send(b"\x00a.y")
    peer.send(b"\x01a.")
    assert peer.recv_multipart() == [b"a.y", b"1"], "cancelled, it is asked for again"
    front.send_multipart([b"a.y", b"2"])
    assert peer.recv_multipart() == [b"a.y", b"2"]
    assert silent(peer)
