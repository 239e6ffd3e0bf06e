"""PULL workers of an egress endpoint."""

import os
import signal
import subprocess
import sys

import pytest
import zmq

from conftest import PATIENCE, documented_client, until

ON_WRITE = ("jobs", "egress", {"queue": "events"})
BY_WORKER = ("jobs", "egress", {"queue": "events", "acknowledge": "by-worker", "prefetch": 10})


def worker(context, node):
    socket = context.socket(zmq.PULL)
    socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    socket.connect(node.front["jobs"])
    return socket


def push(context, node, messages):
    socket = context.socket(zmq.PUSH)
    socket.connect(node.ingest)
    for message in messages:
        socket.send_multipart(message)
    socket.close(linger=int(PATIENCE * 1000))


def described(client):
    return dict(field.split(b"=", 1) for field in client.ask("DESCRIBE", "events"))


@pytest.fixture
def client_of():
    clients = []

    def make(node):
        clients.append(documented_client()(node.durable))
        return clients[-1]

    yield make
    for client in clients:
        client.socket.close()


def test_each_message_reaches_one_worker_once_with_its_frames(context, node_with, client_of):
    node = node_with(ON_WRITE)
    workers = [worker(context, node) for _ in range(3)]
    until("they are connected", lambda: len(node.peers("jobs")) == 3)
    count = 3000
    push(context, node, [[b"topic", b"", str(number).encode()] for number in range(count)])
    poller, received = zmq.Poller(), {socket: [] for socket in workers}
    for socket in workers:
        poller.register(socket, zmq.POLLIN)

    def all_there():
        for socket, _ in poller.poll(100):
            topic, empty, number = socket.recv_multipart()
            assert (topic, empty) == (b"topic", b"")
            received[socket].append(int(number))
        return sum(map(len, received.values())) >= count

    until("all are there", all_there)
    assert sorted(number for some in received.values() for number in some) == list(range(count))
    client = client_of(node)
    until("all are acknowledged", lambda: described(client)[b"messages"] == b"0")
    assert not poller.poll(200), "a message came twice"
    assert not node.drops("jobs")


WORKER = """
import sys, zmq
socket = zmq.Context().socket(zmq.PULL)
socket.connect(sys.argv[1])
receipt, payload = socket.recv_multipart()
print(payload.decode(), flush=True)
sys.stdin.read()
"""


def test_what_a_killed_worker_has_not_acknowledged_goes_to_another(context, node_with, client_of):
    node = node_with(BY_WORKER)
    count = 100
    push(context, node, [[str(number).encode()] for number in range(count)])
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, node.front["jobs"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert int(process.stdout.readline()) < count
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    client, other = client_of(node), worker(context, node)
    received = []
    while len(received) < count:
        receipt, payload = other.recv_multipart()
        assert client.ask("ACK", "events", receipt) == [b"done"]
        received.append(int(payload))
    assert sorted(received) == list(range(count))
    assert described(client)[b"messages"] == b"0"
    assert not other.poll(200), "an acknowledged message came again"
