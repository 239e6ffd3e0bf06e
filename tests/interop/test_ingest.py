"""PUSH clients of an ingest endpoint."""

import zmq

from conftest import documented_client, until


def push(context, node):
    socket = context.socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDTIMEO, 30_000)
    socket.connect(node.ingest)
    return socket


def pulled(client, count):
    messages = []

    def some():
        batch = list(client.pull("events", "max=256", "wait-ms=200"))
        if batch:
            client.ask("ACK", "events", *(receipt for receipt, _, _ in batch))
            messages.extend(batch)
        return len(messages) >= count

    until(f"{count} messages", some)
    return messages


def test_what_is_pushed_can_be_pulled_in_order(context, node, client):
    socket = push(context, node)
    for number in range(5000):
        socket.send(str(number).encode())
    messages = pulled(client, 5000)
    assert [int(payload) for _, payload, _ in messages] == list(range(5000))


def test_a_socket_that_closes_at_once_leaves_its_messages(context, node, client):
    socket = push(context, node)
    for number in range(1000):
        socket.send(str(number).encode())
    socket.close(linger=30_000)
    assert len(pulled(client, 1000)) == 1000


def test_the_frames_of_a_message_are_kept(context, node, client):
    push(context, node).send_multipart([b"topic", b"", b"body"])
    [(_, payload, fields)] = pulled(client, 1)
    assert fields[b"header:swarmmq-frames"] == b"3"
    frames = []
    while payload:
        length = int.from_bytes(payload[:4], "big")
        frames.append(payload[4 : 4 + length])
        payload = payload[4 + length :]
    assert frames == [b"topic", b"", b"body"]


def test_large_messages_arrive_whole(context, node, client):
    socket = push(context, node)
    sizes = [0, 1, 255, 256, 65_535, 65_536, 1_000_000]
    for size in sizes:
        socket.send(bytes(size))
    assert [len(payload) for _, payload, _ in pulled(client, len(sizes))] == sizes


def test_what_was_stored_survives_kill_9(context, node, client):
    socket = push(context, node)
    for number in range(100):
        socket.send(str(number).encode())

    def all_stored():
        fields = dict(field.split(b"=", 1) for field in client.ask("DESCRIBE", "events"))
        return int(fields[b"messages"]) == 100

    # A PUSH socket is told nothing: what is stored is known from the node only.
    until("the queue is there", lambda: exists(client, "events"))
    until("all are stored", all_stored)
    node.kill()
    node.start()
    again = documented_client()(node.durable)
    assert [int(payload) for _, payload, _ in pulled(again, 100)] == list(range(100))
    again.socket.close()


def exists(client, destination):
    try:
        return bool(client.ask("DESCRIBE", destination))
    except RuntimeError as error:
        assert error.args[0] == "UNKNOWN-DESTINATION"
        return False
