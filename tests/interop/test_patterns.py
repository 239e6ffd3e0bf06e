"""The client library's patterns against other people's ZeroMQ.

The peers write what the programs of the ZeroMQ Guide write (lpserver, ppqueue, mdbroker, titanic, a publisher of clones,
suisnail). The patterns run in the example program `patterns` of the client library.
"""

import os
import pathlib
import queue
import subprocess
import threading
import time

import pytest
import zmq

from conftest import PATIENCE, ROOT, free_ports, until

READY, HEARTBEAT = b"\x01", b"\x02"


def program():
    if named := os.environ.get("SWARMMQ_PATTERNS"):
        return named
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "examples" / "patterns" for kind in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        pytest.exit("no patterns: cargo build -p swarmmq --features zeromq --example patterns", returncode=2)
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Pattern:
    """A run of the program, whose lines can be waited for."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [program(), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def line(self):
        return self.lines.get(timeout=PATIENCE)

    def end(self):
        return self.process.wait(PATIENCE)


@pytest.fixture
def run():
    started = []

    def start(*arguments):
        started.append(Pattern(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def sockets():
    context = zmq.Context()

    def bind(kind, address="tcp://127.0.0.1:*"):
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
        # A port is free again a little after its socket was closed.
        until(f"{address} can be bound", lambda: bound(socket, address))
        return socket, socket.getsockopt_string(zmq.LAST_ENDPOINT)

    yield bind
    context.destroy(linger=0)


def bound(socket, address):
    try:
        socket.bind(address)
        return True
    except zmq.ZMQError:
        return False


def expect(router, *frames):
    """Reads until these frames come, and returns who sent them."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        sender, *rest = router.recv_multipart()
        if rest == list(frames):
            return sender
    raise AssertionError(f"{frames} never came")


def test_a_lazy_pirate_survives_the_death_of_a_rep_server(run, sockets):
    server, address = sockets(zmq.REP)
    client = run("request", address, "hello")
    assert server.recv_multipart() == [b"hello"]
    server.close()  # It dies with the request.
    server, _ = sockets(zmq.REP, address)
    assert server.recv_multipart() == [b"hello"]
    server.send(b"world")
    assert client.line() == "reply world"
    assert client.end() == 0


def test_a_lazy_pirate_gives_up_in_bounded_time(run):
    client = run("request", f"tcp://127.0.0.1:{free_ports(1)[0]}", "hello")
    assert "attempts: 3" in client.line()
    assert client.end() == 1


def test_a_worker_behind_the_paranoid_pirate_queue(run, sockets):
    frontend, front = sockets(zmq.ROUTER)
    backend, back = sockets(zmq.ROUTER)
    worker = run("work-behind-queue", back)
    address = expect(backend, READY)
    client = frontend.context.socket(zmq.REQ)
    client.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    client.connect(front)
    for word in (b"one", b"two"):
        client.send(word)
        backend.send_multipart([address, *frontend.recv_multipart()])
        sender, *reply = backend.recv_multipart()
        while reply == [HEARTBEAT]:
            sender, *reply = backend.recv_multipart()
        assert sender == address
        frontend.send_multipart(reply)
        assert client.recv() == word
        assert worker.line() == f"request {word.decode()}"
    backend.send_multipart([address, HEARTBEAT])
    expect(backend, HEARTBEAT)
    # The queue falls silent, and then dies.
    assert expect(backend, READY) != address
    backend.close()
    backend, _ = sockets(zmq.ROUTER, back)
    expect(backend, READY)


@pytest.mark.parametrize("version, lead, client_header, worker_header", [
    ("1", [b""], b"MDPC01", b"MDPW01"),
    ("2", [], b"MDPC02", b"MDPW02"),
])
def test_a_client_and_a_worker_of_majordomo(run, sockets, version, lead, client_header, worker_header):
    broker, address = sockets(zmq.ROUTER)
    request = [] if version == "1" else [b"\x01"]
    replies = {"1": [b"\x03"], "2": [b"\x03", b"\x04"]}[version]
    run("work", version, address, "echo")
    worker = expect(broker, *lead, worker_header, b"\x01", b"echo")
    client_run = run("call", version, address, "echo", "a", "b")
    client = expect(broker, *lead, client_header, *request, b"echo", b"a", b"b")
    broker.send_multipart([worker, *lead, worker_header, b"\x02", client, b"", b"a", b"b"])
    expect(broker, *lead, worker_header, replies[-1], client, b"", b"a", b"b")
    if version == "2":
        broker.send_multipart([client, client_header, b"\x02", b"echo", b"half"])
    final = [] if version == "1" else [b"\x03"]
    broker.send_multipart([client, *lead, client_header, *final, b"echo", b"a", b"b"])
    if version == "2":
        assert client_run.line() == "part half"
    assert client_run.line() == "reply a b"
    # The broker forgot the worker.
    disconnect = b"\x05" if version == "1" else b"\x06"
    broker.send_multipart([worker, *lead, worker_header, disconnect])
    assert expect(broker, *lead, worker_header, b"\x01", b"echo") != worker


def test_a_client_of_titanic(run, sockets):
    broker, address = sockets(zmq.ROUTER)
    client = run("store", address, "echo", "hello")
    # As libuuid writes it in the Guide's C, and uuid4().hex in its Python.
    number = b"0123456789ABCDEF0123456789abcdef"
    for service, body, reply in [
        (b"titanic.request", [b"echo", b"hello"], [b"200", number]),
        (b"titanic.reply", [number], [b"300"]),
        (b"titanic.reply", [number], [b"200", b"hello"]),
        (b"titanic.close", [number], [b"200"]),
    ]:
        sender, *request = broker.recv_multipart()
        assert request == [b"", b"MDPC01", service, *body]
        broker.send_multipart([sender, b"", b"MDPC01", service, *reply])
    assert client.line() == f"stored {number.decode()}"
    assert client.line() == "reply hello"


def test_a_subscriber_tells_what_a_publisher_lost(run, sockets):
    publisher, address = sockets(zmq.XPUB)
    subscriber = run("subscribe", address, "a")
    assert publisher.recv() == b"\x01a"
    for number in (1, 2, 5):
        publisher.send_multipart([b"ab", number.to_bytes(8, "big"), b"value"])
    publisher.send_multipart([b"b", b"\0" * 8, b"of another topic"])
    assert [subscriber.line() for _ in range(3)] == [
        "First ab value", "Next ab value", "Gap { missing: 2 } ab value",
    ]
    # The publisher dies, and another numbers from one.
    publisher.close()
    publisher, _ = sockets(zmq.XPUB, address)
    assert publisher.recv() == b"\x01a"
    publisher.send_multipart([b"ab", (1).to_bytes(8, "big"), b"value"])
    assert subscriber.line() == "Restarted ab value"


def test_a_snail_ends_itself(run, sockets):
    publisher, address = sockets(zmq.XPUB)
    snail = run("snail", address, 30_000)
    assert publisher.recv() == b"\x01"
    now = int(time.time() * 1000)
    publisher.send(str(now).encode())
    publisher.send(str(now - 31_000).encode())
    assert snail.line() == f"message {now}"
    assert "TooOld" in snail.line()
    assert snail.end() == 1
