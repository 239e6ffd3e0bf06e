"""A Majordomo broker: RFC 7/MDP, RFC 18/MDP and RFC 8/MMI, byte for byte."""

import contextlib
import pathlib
import subprocess
import sys
import threading

import pytest
import zmq

from conftest import PATIENCE, until
from majordomo import Client, Serving, Worker, echo

BROKER = ("jobs", "service", {"worker_heartbeat": "200ms"})


@pytest.fixture
def broker(node_with):
    return node_with(BROKER)


@pytest.fixture
def serve(context):
    """Starts workers that serve, and stops them."""
    with contextlib.ExitStack() as stack:

        def start(address, version, service=b"echo", work=echo):
            serving = Serving(Worker(context, address, version, service), work)
            stack.callback(serving.stop)
            serving.start()
            return serving

        yield start


@pytest.fixture
def killable():
    """Starts workers as programs, which can be killed."""
    with contextlib.ExitStack() as stack:

        def start(address, version, stage, service="echo"):
            program = pathlib.Path(__file__).with_name("majordomo.py")
            command = [sys.executable, str(program), address, str(version), service, stage]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def raw(context, kind, address):
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    socket.connect(address)
    return socket


def mmi(context, address, service, body):
    client = Client(context, address, 1)
    answer = client.ask(service, body).answer()
    client.socket.close(0)
    return answer[0]


def found(context, address, service=b"echo"):
    return mmi(context, address, b"mmi.service", service) == [b"200"]


def test_the_frames_of_0_1(context, broker):
    worker = raw(context, zmq.DEALER, broker.front["jobs"])
    worker.send_multipart([b"", b"MDPW01", b"\x01", b"echo"])
    client = raw(context, zmq.REQ, broker.front["jobs"])
    client.send_multipart([b"MDPC01", b"echo", b"hello", b"", b"world"])
    while (frames := worker.recv_multipart()) == [b"", b"MDPW01", b"\x04"]:
        worker.send_multipart([b"", b"MDPW01", b"\x04"])
    assert frames[:3] == [b"", b"MDPW01", b"\x02"] and frames[4:] == [b"", b"hello", b"", b"world"]
    worker.send_multipart([b"", b"MDPW01", b"\x03", frames[3], b"", b"hi", b""])
    assert client.recv_multipart() == [b"MDPC01", b"echo", b"hi", b""]


def test_the_frames_of_0_2(context, broker):
    worker = raw(context, zmq.DEALER, broker.front["jobs"])
    worker.send_multipart([b"MDPW02", b"\x01", b"echo"])
    client = raw(context, zmq.DEALER, broker.front["jobs"])
    client.send_multipart([b"MDPC02", b"\x01", b"echo", b"hello"])
    while (frames := worker.recv_multipart()) == [b"MDPW02", b"\x05"]:
        worker.send_multipart([b"MDPW02", b"\x05"])
    assert frames[:2] == [b"MDPW02", b"\x02"] and frames[3:] == [b"", b"hello"]
    worker.send_multipart([b"MDPW02", b"\x03", frames[2], b"", b"one"])
    assert client.recv_multipart() == [b"MDPC02", b"\x02", b"echo", b"one"]
    worker.send_multipart([b"MDPW02", b"\x04", frames[2], b"", b"two"])
    assert client.recv_multipart() == [b"MDPC02", b"\x03", b"echo", b"two"]
    # A reply to nothing is unexpected, and answered with DISCONNECT.
    worker.send_multipart([b"MDPW02", b"\x04", frames[2], b"", b"three"])
    while (frames := worker.recv_multipart()) == [b"MDPW02", b"\x05"]:
        pass
    assert frames == [b"MDPW02", b"\x06"]


@pytest.mark.parametrize("of_worker", [1, 2])
@pytest.mark.parametrize("of_client", [1, 2])
def test_versions_mix_and_each_client_has_its_own_replies(context, broker, serve, of_client, of_worker):
    for _ in range(3):
        serve(broker.front["jobs"], of_worker)
    clients = [Client(context, broker.front["jobs"], of_client) for _ in range(8)]
    for turn in range(20):
        for number, client in enumerate(clients):
            client.ask(b"echo", f"{number}.{turn}".encode())
        for number, client in enumerate(clients):
            assert client.answer() == [[f"{number}.{turn}".encode()]]


def test_parts_reach_0_2_as_they_come_and_0_1_together(context, broker, serve):
    def count(worker, request):
        worker.reply(request, b"one", final=False)
        worker.reply(request, b"two", final=False)
        worker.reply(request, b"three")

    serve(broker.front["jobs"], 2, work=count)
    assert Client(context, broker.front["jobs"], 2).ask(b"echo", b"x").answer() == [[b"one"], [b"two"], [b"three"]]
    assert Client(context, broker.front["jobs"], 1).ask(b"echo", b"x").answer() == [[b"one", b"two", b"three"]]


def test_mmi_tells_the_truth(context, broker, serve):
    address = broker.front["jobs"]
    assert mmi(context, address, b"mmi.service", b"echo") == [b"404"]
    assert mmi(context, address, b"mmi.teapot", b"echo") == [b"501"]
    serving = serve(address, 1)
    until("the service is found", lambda: found(context, address))
    assert mmi(context, address, b"mmi.workers", b"echo") == [b"200", b"1"]
    assert mmi(context, address, b"mmi.services", b"") == [b"200", b"echo"]
    serving.stop()
    until("the service is not found", lambda: not found(context, address))
    thief = raw(context, zmq.DEALER, address)
    thief.send_multipart([b"", b"MDPW01", b"\x01", b"mmi.service"])
    assert thief.recv_multipart() == [b"", b"MDPW01", b"\x05"]


@pytest.mark.parametrize("stage", ["connected", "ready", "request", "partial"])
def test_a_worker_is_killed(context, broker, serve, killable, stage):
    address = broker.front["jobs"]
    version = 2 if stage == "partial" else 1
    doomed = killable(address, version, stage)
    if stage == "ready":
        until("the service is found", lambda: found(context, address))
    client = Client(context, address, 2).ask(b"echo", b"hello")
    if stage == "partial":
        # Only what the client has shows that the part has left the worker.
        assert client.part() == [b"a part"]
    if stage in ("request", "partial"):
        assert doomed.stdout.readline() == b"there\n"
        doomed.kill()
        doomed.wait()
        serve(address, 1)
    else:
        doomed.kill()
        doomed.wait()
        serve(address, 2)
    if stage == "partial":
        # Another worker would begin anew: the client keeps its part, and hears nothing more of this request.
        assert client.answer(seconds=1.5) is None
        client.ask(b"echo", b"hello")
    assert client.answer() == [[b"hello"]]


def test_a_frozen_worker_is_found_out_by_its_silence(context, broker, serve, killable):
    import signal

    address = broker.front["jobs"]
    frozen = killable(address, 1, "request")
    client = Client(context, address, 1).ask(b"echo", b"hello")
    assert frozen.stdout.readline() == b"there\n"
    frozen.send_signal(signal.SIGSTOP)
    serve(address, 1)
    assert client.answer() == [[b"hello"]]


def test_clients_and_workers_outlive_the_broker(context, broker, serve):
    address = broker.front["jobs"]
    workers = [serve(address, version) for version in (1, 2)]
    clients = [Client(context, address, version) for version in (1, 2)]
    for client in clients:
        assert client.ask(b"echo", b"before").answer() == [[b"before"]]
    broker.kill()
    broker.start()
    # Two livenesses of 0.6 s, and as much again for a busy machine.
    until("both workers are back", lambda: mmi(context, address, b"mmi.workers", b"echo") == [b"200", b"2"])
    for client in clients:
        assert client.ask(b"echo", b"after").answer() == [[b"after"]]
    assert all(serving.worker.registrations >= 2 for serving in workers)


def test_what_stops_the_guide_s_broker_stops_nothing(context, broker, serve):
    address = broker.front["jobs"]
    serve(address, 1)
    vandal = raw(context, zmq.DEALER, address)
    for frames in (
        [b""],
        [b"x"],
        [b"", b""],
        [b"", b"MDPC01"],
        [b"", b"MDPC01", b"echo"],
        [b"", b"MDPW01"],
        [b"", b"MDPW01", b"\x01"],
        [b"", b"MDPW01", b"\x03"],
        [b"", b"MDPW01", b"\x03", b"x", b"", b"y"],
        [b"", b"MDPW01", b"\x05"],
        [b"", b"MDPW01", b"\xff"],
        [b"MDPW02", b"\x06"],
        [b"MDPC02", b"\x02", b"echo", b"x"],
        [b"MDPC03", b"\x01", b"echo", b"x"],
    ):
        vandal.send_multipart(frames)
    assert Client(context, address, 1).ask(b"echo", b"hello").answer() == [[b"hello"]]


def test_a_client_that_gives_up_and_asks_again_has_its_work_done_once(context, node_with, serve):
    keys = {"worker_heartbeat": "200ms", "worker_busy_silence": "1m", "deduplicate": "1m"}
    node = node_with(("jobs", "service", keys))
    address = node.front["jobs"]
    started, may_end = threading.Event(), threading.Event()

    def slowly(worker, request):
        started.set()
        assert may_end.wait(PATIENCE)
        worker.reply(request, b"done", final=False)
        worker.reply(request, *request[1])

    slow = serve(address, 2, work=slowly)
    until("the worker is ready", lambda: found(context, address))
    question = [b"echo", b"swarmmq-id:5f2a", b"work"]
    first = raw(context, zmq.REQ, address)
    first.send_multipart([b"MDPC01", *question])
    assert started.wait(PATIENCE)
    # If a repeat were given to a worker, this one would have it.
    idle = serve(address, 1)
    until("another is ready", lambda: mmi(context, address, b"mmi.workers", b"echo") == [b"200", b"2"])

    first.close(0)
    second = raw(context, zmq.DEALER, address)
    second.send_multipart([b"MDPC02", b"\x01", *question])
    # What the broker answers itself is answered at once, and behind the repeat.
    second.send_multipart([b"MDPC02", b"\x01", b"mmi.service", b"echo"])
    assert second.recv_multipart() == [b"MDPC02", b"\x03", b"mmi.service", b"200"]
    may_end.set()
    assert second.recv_multipart() == [b"MDPC02", b"\x03", b"echo", b"done", b"work"]

    third = raw(context, zmq.REQ, address)
    third.send_multipart([b"MDPC01", *question])
    assert third.recv_multipart() == [b"MDPC01", b"echo", b"done", b"work"]
    for socket in (second, third):
        socket.close(0)
    assert (slow.served, idle.served) == ([[b"work"]], [])
    assert not node.drops("jobs")
