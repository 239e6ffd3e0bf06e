"""REQ and DEALER clients of a durable endpoint."""

import uuid

import pytest
import zmq

from conftest import documented_client, until


def dealer(context, node, **options):
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RCVTIMEO, 30_000)
    for name, value in options.items():
        socket.setsockopt(getattr(zmq, name), value)
    socket.connect(node.durable)
    return socket


def ask(socket, *words):
    socket.send_multipart([word if isinstance(word, bytes) else str(word).encode() for word in words])
    return socket.recv_multipart()


def test_a_req_puts_pulls_and_acknowledges(client, queue):
    outcome, sequence, index = client.ask("PUT", queue, b"hello", "priority=7", "header:colour=blue")
    assert outcome == b"stored" and sequence == b"1" and int(index) > 0
    [(receipt, payload, fields)] = client.pull(queue, "max=10", "wait-ms=10000")
    assert payload == b"hello"
    assert fields[b"attempt"] == b"1" and fields[b"priority"] == b"7" and fields[b"header:colour"] == b"blue"
    assert client.ask("ACK", queue, receipt) == [b"done"]
    assert client.ask("ACK", queue, receipt) == [b"already-settled"]
    assert list(client.pull(queue)) == []


def test_the_example_of_the_specification_runs(client):
    client.ask("PUT", "orders", b"hello", "priority=7")
    for receipt, _payload, _fields in client.pull("orders", "max=10", "wait-ms=5000"):
        client.ask("ACK", "orders", receipt)


def test_a_put_is_stored_once_however_often_it_is_sent(client, queue):
    option = f"id={uuid.uuid4()}"
    assert client.ask("PUT", queue, b"x", option)[:2] == [b"stored", b"1"]
    assert client.ask("PUT", queue, b"x", option)[:2] == [b"duplicate", b"1"]
    assert len(list(client.pull(queue, "max=10"))) == 1


def test_higher_priorities_come_first(client, queue):
    for priority in (1, 10, 5):
        client.ask("PUT", queue, str(priority), f"priority={priority}")
    assert [payload for _, payload, _ in client.pull(queue, "max=3")] == [b"10", b"5", b"1"]


def test_a_nack_brings_the_message_back(client, queue):
    client.ask("PUT", queue, b"x")
    [(receipt, _, _)] = client.pull(queue, "wait-ms=10000")
    assert client.ask("NACK", queue, receipt) == [b"done"]
    [(again, _, fields)] = client.pull(queue, "wait-ms=10000")
    assert fields[b"attempt"] == b"2" and again != receipt
    with pytest.raises(RuntimeError) as refused:
        client.ask("ACK", queue, receipt)
    assert refused.value.args[0] == "STALE-RECEIPT" and refused.value.args[2] == "stale"
    assert client.ask("ACK", queue, again) == [b"done"]


def test_an_extended_lease_outlives_the_first_one(client, queue):
    client.ask("PUT", queue, b"x")
    [(receipt, _, _)] = client.pull(queue, "wait-ms=10000", "lease-ms=500")
    assert client.ask("EXTEND", queue, receipt, "lease-ms=60000") == [b"done"]
    assert list(client.pull(queue, "wait-ms=1500")) == []
    assert client.ask("ACK", queue, receipt) == [b"done"]


def test_a_lease_that_ends_gives_the_message_to_another(client, queue):
    client.ask("PUT", queue, b"x")
    [(receipt, _, _)] = client.pull(queue, "wait-ms=10000", "lease-ms=100")
    [(again, _, fields)] = client.pull(queue, "wait-ms=10000")
    assert again != receipt and fields[b"attempt"] == b"2"


def test_a_rejected_message_does_not_come_back(client, queue):
    client.ask("PUT", queue, b"x")
    [(receipt, _, _)] = client.pull(queue, "wait-ms=10000")
    assert client.ask("REJECT", queue, receipt, "reason=cannot be read") == [b"done"]
    assert list(client.pull(queue, "wait-ms=200")) == []


def test_what_is_wrong_is_answered_with_a_code(client, queue):
    for words, code in [
        (("PUBLISH", queue), "MALFORMED"),
        (("PUT", "orders/eu", b"x"), "INVALID-NAME"),
        (("PUT", queue, b"x", "dealy-ms=5"), "MALFORMED"),
        (("PUT", queue, b"x" * (1 << 20)), "TOO-LARGE"),
        (("SUBSCRIBE", queue), "UNSUPPORTED"),
    ]:
        with pytest.raises(RuntimeError) as refused:
            client.ask(*words)
        assert refused.value.args[0] == code, words[0]
    assert client.ask("PING")[0] == b"SWMQ1"


def test_a_dealer_gets_its_own_envelope_back(context, node):
    socket = dealer(context, node)
    assert ask(socket, "SWMQ1", "a", "PING")[:3] == [b"SWMQ1", b"a", b"OK"]
    assert ask(socket, "", "SWMQ1", "b", "PING")[:4] == [b"", b"SWMQ1", b"b", b"OK"]


def test_a_dealer_pipelines_a_thousand_puts(context, node, client, queue):
    socket = dealer(context, node)
    for number in range(1000):
        socket.send_multipart([b"SWMQ1", str(number).encode(), b"PUT", queue.encode(), str(number).encode()])
    answers = [socket.recv_multipart() for _ in range(1000)]
    assert {answer[1] for answer in answers} == {str(number).encode() for number in range(1000)}
    assert all(answer[2:4] == [b"OK", b"stored"] for answer in answers)
    payloads = []
    while messages := list(client.pull(queue, "max=256")):
        payloads += [payload for _, payload, _ in messages]
        client.ask("ACK", queue, *(receipt for receipt, _, _ in messages))
    assert payloads == [str(number).encode() for number in range(1000)], "in the order they were sent"


def test_a_subscription_delivers_by_credit(context, node, client, queue):
    for number in range(5):
        client.ask("PUT", queue, str(number))
    socket = dealer(context, node)
    name = queue.encode()
    assert ask(socket, "SWMQ1", "s", "SUBSCRIBE", name, "credit=2") == [b"SWMQ1", b"s", b"OK"]

    def deliveries(count):
        receipts = []
        while len(receipts) < count:
            frames = socket.recv_multipart()
            assert frames[:3] == [b"SWMQ1", b"s", b"DELIVERY"]
            frames = frames[3:]
            while frames:
                receipts.append(frames[0])
                frames = frames[frames.index(b"", 2) + 1 :]
        assert len(receipts) == count
        return receipts

    receipts = deliveries(2)
    assert socket.poll(200) == 0, "no more than the credit"
    socket.send_multipart([b"SWMQ1", b"s", b"CREDIT", b"3"])
    receipts += deliveries(3)
    assert ask(socket, "SWMQ1", "a", "ACK", name, *receipts)[2:] == [b"OK"] + [b"done"] * 5
    assert ask(socket, "SWMQ1", "s", "UNSUBSCRIBE") == [b"SWMQ1", b"s", b"OK"]


def test_messages_of_a_client_that_dies_come_back(context, node, client, queue):
    client.ask("PUT", queue, b"x")
    socket = dealer(context, node)
    ask(socket, "SWMQ1", "s", "SUBSCRIBE", queue, "credit=1")
    assert socket.recv_multipart()[2] == b"DELIVERY"
    socket.close(linger=0)
    [(_, payload, fields)] = client.pull(queue, "wait-ms=10000")
    assert payload == b"x" and fields[b"attempt"] == b"2"


def test_a_copied_routing_id_gets_nobody_elses_answers(context, node, queue):
    first = dealer(context, node, ROUTING_ID=b"worker")
    second = dealer(context, node, ROUTING_ID=b"worker")
    for _ in range(20):
        assert ask(first, "SWMQ1", "1", "PUT", queue, "a")[1] == b"1"
        assert ask(second, "SWMQ1", "2", "PING")[1] == b"2"
    assert first.poll(50) == 0 and second.poll(50) == 0


def test_clients_behind_a_proxy_need_not_know(context, node, queue):
    front, back = context.socket(zmq.ROUTER), dealer(context, node)
    port = front.bind_to_random_port("tcp://127.0.0.1")
    req = context.socket(zmq.REQ)
    req.connect(f"tcp://127.0.0.1:{port}")
    req.send_multipart([b"SWMQ1", b"7", b"PUT", queue.encode(), b"x"])
    back.send_multipart(front.recv_multipart())
    front.send_multipart(back.recv_multipart())
    assert req.recv_multipart()[:4] == [b"SWMQ1", b"7", b"OK", b"stored"]


def test_a_req_that_numbers_its_requests_is_answered(context, node):
    req = context.socket(zmq.REQ)
    req.setsockopt(zmq.RCVTIMEO, 30_000)
    req.setsockopt(zmq.REQ_CORRELATE, 1)
    req.setsockopt(zmq.REQ_RELAXED, 1)
    req.connect(node.durable)
    for number in (b"1", b"2"):
        req.send_multipart([b"SWMQ1", number, b"PING"])
        assert req.recv_multipart()[:3] == [b"SWMQ1", number, b"OK"]


def test_heartbeats_of_libzmq_are_answered(context, node):
    socket = dealer(context, node, HEARTBEAT_IVL=50, HEARTBEAT_TIMEOUT=200, HEARTBEAT_TTL=500)
    monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    assert ask(socket, "SWMQ1", "1", "PING")[2] == b"OK"
    assert monitor.poll(1500) == 0, "the connection was given up"
    assert ask(socket, "SWMQ1", "2", "PING")[2] == b"OK"


@pytest.mark.parametrize("kind", ["SUB", "PUSH", "ROUTER", "PAIR"])
def test_other_sockets_are_refused(context, node, client, kind):
    socket = context.socket(getattr(zmq, kind))
    monitor = socket.get_monitor_socket(zmq.EVENT_ALL)
    socket.connect(node.durable)
    until("it is refused", lambda: monitor.poll(100) and next_event(monitor) in REFUSED)
    assert client.ask("PING")[0] == b"SWMQ1"


REFUSED = {
    zmq.EVENT_DISCONNECTED,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
}


def next_event(monitor):
    return int.from_bytes(monitor.recv_multipart()[0][:2], "little")


def test_what_was_confirmed_survives_kill_9(node, client, queue):
    confirmed, settled = [], set()
    for number in range(300):
        client.ask("PUT", queue, str(number), f"id={uuid.uuid4()}")
        confirmed.append(str(number).encode())
        if number % 3 == 0:
            [(receipt, payload, _)] = client.pull(queue, "wait-ms=10000")
            client.ask("ACK", queue, receipt)
            settled.add(payload)
    node.kill()
    node.start()
    again = documented_client()(node.durable)
    left = []
    while messages := list(again.pull(queue, "max=256", "wait-ms=1000")):
        left += [payload for _, payload, _ in messages]
        again.ask("ACK", queue, *(receipt for receipt, _, _ in messages))
    assert left == [payload for payload in confirmed if payload not in settled]
    again.socket.close()
