"""Titanic, RFC 9/TSP: what was answered 200 survives the death of anything but the disk.

Client and workers write what the Guide's `ticlient` and `mdworker` write, byte for byte.
"""

import contextlib
import threading
import time

import pytest
import zmq

from conftest import PATIENCE, until
from majordomo import Serving, Worker
from test_patterns import run  # noqa: F401
from test_service import killable, serve  # noqa: F401

TITANIC = ("jobs", "titanic", {"worker_heartbeat": "200ms"})


@pytest.fixture
def broker(node_with):
    return node_with(TITANIC)


class Client:
    """The Guide's `mdcli` and `ticlient`: a REQ socket that is thrown away when no answer comes."""

    def __init__(self, context, address):
        self.context, self.address, self.socket = context, address, None
        self.renew()

    def renew(self):
        if self.socket:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(self.address)

    def ask(self, service, *body, seconds=PATIENCE):
        """The body of the answer; nothing if there is none in that time."""
        self.socket.send_multipart([b"MDPC01", service, *body])
        if not self.socket.poll(int(seconds * 1000)):
            self.renew()
            return None
        header, answered, *reply = self.socket.recv_multipart()
        assert (header, answered) == (b"MDPC01", service)
        return reply

    def store(self, *body):
        status, number = self.ask(b"titanic.request", b"echo", *body)
        assert status == b"200" and len(number) == 32 and int(number, 16) >= 0
        return number

    def reply(self, number):
        """The reply, once there is one."""

        def asked():
            answer = self.ask(b"titanic.reply", number)
            return None if answer in ([b"300"], [b"500"]) else answer

        return until("there is a reply", asked)

    def close(self, number):
        assert self.ask(b"titanic.close", number) == [b"200"]


@pytest.fixture
def client(context, broker):
    client = Client(context, broker.front["jobs"])
    yield client
    client.socket.close(0)


def test_the_guide_s_client_and_worker(client, broker, serve):  # noqa: F811
    number = client.store(b"Hello world")
    assert client.ask(b"titanic.reply", number) == [b"300"]
    serving = serve(broker.front["jobs"], 1)
    assert client.reply(number) == [b"200", b"Hello world"]
    assert client.reply(number) == [b"200", b"Hello world"]
    client.close(number)
    assert client.ask(b"titanic.reply", number) == [b"400"]
    client.close(number)
    assert serving.served == [[b"Hello world"]]
    endpoint = next(one for one in broker.see("ls")["endpoints"] if one["name"] == "jobs")
    assert endpoint["kind"] == "titanic" and not endpoint["drops"]


def test_the_library_s_client(run, broker, serve):  # noqa: F811
    serve(broker.front["jobs"], 2)
    client = run("store", broker.front["jobs"], "echo", "hello")
    assert client.line().startswith("stored ")
    assert client.line() == "reply hello"
    assert client.end() == 0


def test_the_node_is_killed_right_after_it_said_200(client, broker, serve):  # noqa: F811
    number = client.store(b"hello")
    broker.kill()
    broker.start()
    serve(broker.front["jobs"], 1)
    assert client.reply(number) == [b"200", b"hello"]
    broker.kill()
    broker.start()
    assert client.reply(number) == [b"200", b"hello"]
    client.close(number)
    broker.kill()
    broker.start()
    until("the queue is read", lambda: client.ask(b"titanic.reply", number) == [b"400"])


def test_the_node_is_killed_while_clients_and_workers_are_busy(context, broker, serve):  # noqa: F811
    """Whatever was acknowledged before any of the kills has one reply after them, and its own."""
    address = broker.front["jobs"]
    serving = [serve(address, version, work=lambda worker, request: worker.reply(request, *request[1], b"done"))
               for version in (1, 2)]
    stored, seen, ended = {}, {}, threading.Event()

    def produce(number):
        client = Client(context, address)
        for turn in range(1_000_000):
            if ended.is_set():
                break
            body = f"{number}.{turn}".encode()
            match client.ask(b"titanic.request", b"echo", body, seconds=0.5):
                case [b"200", id]:
                    stored[id] = body
                    match client.ask(b"titanic.reply", id, seconds=0.5):
                        case [b"200", *reply]:
                            seen[id] = reply
        client.socket.close(0)

    producers = [threading.Thread(target=produce, args=(number,), daemon=True) for number in range(4)]
    for producer in producers:
        producer.start()
    for _ in range(4):
        before = len(stored)
        until("there are more", lambda: len(stored) >= before + 50)
        broker.kill()
        broker.start()
    ended.set()
    for producer in producers:
        producer.join()
    client = Client(context, address)
    for number, body in stored.items():
        reply = client.reply(number)
        assert reply == [b"200", body, b"done"]
        assert seen.get(number, reply[1:]) == reply[1:]
    worked_on = {bytes(body[0]) for one in serving for body in one.served}
    assert worked_on >= set(stored.values())
    client.socket.close(0)


def test_a_worker_is_killed_at_work(client, broker, serve, killable):  # noqa: F811
    doomed = killable(broker.front["jobs"], 1, "request")
    number = client.store(b"hello")
    assert doomed.stdout.readline() == b"there\n"
    assert client.ask(b"titanic.reply", number) == [b"300"]
    doomed.kill()
    doomed.wait()
    serve(broker.front["jobs"], 1)
    assert client.reply(number) == [b"200", b"hello"]


def test_the_node_and_the_worker_are_killed_at_work(client, broker, serve, killable):  # noqa: F811
    doomed = killable(broker.front["jobs"], 2, "request")
    number = client.store(b"hello")
    assert doomed.stdout.readline() == b"there\n"
    broker.kill()
    doomed.kill()
    doomed.wait()
    broker.start()
    serve(broker.front["jobs"], 2)
    assert client.reply(number) == [b"200", b"hello"]


def test_slow_work_is_done_once(context, client, broker):
    """A worker of the Guide says nothing while it works, here for five times as long as it may when it does not."""
    address = broker.front["jobs"]
    over = threading.Event()

    def work(worker, request):
        assert over.wait(PATIENCE)
        worker.reply(request, *request[1])

    with contextlib.ExitStack() as stack:
        both = [Serving(Worker(context, address, 1, b"echo"), work) for _ in range(2)]
        for serving in both:
            stack.callback(serving.stop)
            stack.callback(over.set)
            serving.start()
        number = client.store(b"hard")
        until("somebody works", lambda: sum(len(one.served) for one in both))
        end = time.monotonic() + 5 * 0.6
        until("it has taken long", lambda: time.monotonic() > end)
        assert client.ask(b"titanic.reply", number) == [b"300"]
        over.set()
        assert client.reply(number) == [b"200", b"hard"]
        assert [one.served for one in both] in ([[[b"hard"]], []], [[], [[b"hard"]]])


def test_closing_is_final(client, broker, serve):  # noqa: F811
    closed, kept = client.store(b"closed"), client.store(b"kept")
    client.close(closed)
    broker.kill()
    broker.start()
    serving = serve(broker.front["jobs"], 1)
    assert client.reply(kept) == [b"200", b"kept"]
    assert client.ask(b"titanic.reply", closed) == [b"400"]
    assert serving.served == [[b"kept"]], "what is closed is not worked on"


def test_what_is_no_id_reads_no_file(client, broker):
    number = client.store(b"hello")
    for bad in (b"", b"../../etc/passwd", number[1:], number + b"0", b"g" * 32, b"\x00" * 32, b"/" * 32):
        assert client.ask(b"titanic.reply", bad) == [b"400"]
        assert client.ask(b"titanic.close", bad) == [b"400"]
    assert client.ask(b"titanic.reply", b"F" * 32) == [b"400"]
    assert client.ask(b"titanic.close", b"F" * 32) == [b"200"]
    # The same number, as the Guide's programs write it.
    assert client.ask(b"titanic.reply", number.upper()) == [b"300"]
    assert broker.drops("jobs") == {"malformed": 14}


def test_what_is_no_request_is_refused(client, broker):
    for body in ([b"echo"], [b"", b"x"], [b"titanic.reply", b"x"], [b"mmi.service", b"x"]):
        assert client.ask(b"titanic.request", *body) == [b"400"]
    assert client.ask(b"titanic.reply", b"0" * 32, b"more") == [b"400"]
    assert client.ask(b"mmi.service", b"titanic.request") == [b"200"]
    assert broker.drops("jobs") == {"malformed": 3, "forbidden": 2}


def test_what_is_full_says_500_until_there_is_room(context, node_with):
    node = node_with(("jobs", "titanic", {"max_stored_requests": 2}))
    client = Client(context, node.front["jobs"])
    first = client.store(b"1")
    client.store(b"2")
    assert client.ask(b"titanic.request", b"echo", b"3") == [b"500"]
    assert node.drops("jobs") == {"limit-reached": 1}
    client.close(first)
    client.store(b"3")
    client.socket.close(0)
