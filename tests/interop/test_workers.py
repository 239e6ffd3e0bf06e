"""A Paranoid Pirate queue, RFC 6/PPP, with workers and clients as in the Guide."""

import contextlib
import threading
import time

import pytest
import zmq

from conftest import PATIENCE, until

QUEUE = ("pirates", "workers", {"backend": True, "worker_heartbeat": "200ms"})
HEARTBEAT, LIVENESS = 0.2, 3
READY, BEAT = b"\x01", b"\x02"


class Pirate(threading.Thread):
    """A worker that echoes. It begins anew, on a new socket, when it has not heard the queue for too long."""

    def __init__(self, context, address):
        super().__init__(daemon=True)
        self.context, self.address, self.socket = context, address, None
        self.ended, self.frozen, self.crashed = threading.Event(), threading.Event(), threading.Event()
        self.served = []

    def connect(self):
        if self.socket:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(self.address)
        self.socket.send(READY)
        self.heard = self.beaten = time.monotonic()

    def run(self):
        self.connect()
        while not self.ended.is_set():
            if self.socket.poll(20):
                frames = self.socket.recv_multipart()
                self.heard = time.monotonic()
                if frames != [BEAT]:
                    assert len(frames) >= 3 and frames[1] == b""
                    self.served.append(frames[2])
                    if self.crashed.is_set():
                        break
                    while self.frozen.is_set() and not self.ended.wait(0.01):
                        pass
                    self.socket.send_multipart(frames)
            if time.monotonic() - self.heard > HEARTBEAT * LIVENESS:
                self.connect()
            if time.monotonic() - self.beaten > HEARTBEAT:
                self.beaten = time.monotonic()
                self.socket.send(BEAT)
        self.socket.close(0)


@pytest.fixture
def pirate(context):
    with contextlib.ExitStack() as stack:

        def start(address, crashes=False):
            worker = Pirate(context, address)
            if crashes:
                worker.crashed.set()
            stack.callback(worker.join)
            stack.callback(worker.ended.set)
            worker.start()
            return worker

        yield start


def lazy_pirate(context, address, body, timeout=2.5, retries=10):
    """A client of the Guide: a REQ socket, closed and made anew when there is no reply in time."""
    for _ in range(retries):
        with context.socket(zmq.REQ) as client:
            client.setsockopt(zmq.LINGER, 0)
            client.connect(address)
            client.send(body)
            if client.poll(int(timeout * 1000)):
                return client.recv_multipart()
    return None


def test_many_clients_and_workers(context, node_with, pirate):
    node = node_with(QUEUE)
    workers = [pirate(node.back["pirates"]) for _ in range(3)]
    replies = {}

    def client(number):
        for turn in range(30):
            body = f"{number}.{turn}".encode()
            replies[body] = lazy_pirate(context, node.front["pirates"], body, timeout=PATIENCE)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 180 and all(reply == [body] for body, reply in replies.items())
    assert all(worker.served for worker in workers)
    assert sum(len(worker.served) for worker in workers) == 180, "nothing was done twice"


def test_a_worker_that_dies_with_a_request_leaves_it_to_another(context, node_with, pirate):
    node = node_with(QUEUE)
    doomed = pirate(node.back["pirates"], crashes=True)
    client = context.socket(zmq.REQ)
    client.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    client.connect(node.front["pirates"])
    client.send(b"hello")
    until("the worker has died of it", lambda: not doomed.is_alive())
    other = pirate(node.back["pirates"])
    assert client.recv() == b"hello"
    assert doomed.served == other.served == [b"hello"]


def test_a_frozen_worker_loses_its_request_and_its_reply_reaches_nobody(context, node_with, pirate):
    node = node_with(QUEUE)
    frozen = pirate(node.back["pirates"])
    frozen.frozen.set()
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    client.connect(node.front["pirates"])
    client.send_multipart([b"", b"one"])
    until("it has the request", lambda: frozen.served)
    other = pirate(node.back["pirates"])
    assert client.recv_multipart() == [b"", b"one"]
    frozen.frozen.clear()
    client.send_multipart([b"", b"two"])
    assert client.recv_multipart() == [b"", b"two"], "not one again"
    assert other.served[0] == b"one"


def test_everybody_outlives_the_queue(context, node_with, pirate):
    node = node_with(QUEUE)
    worker = pirate(node.back["pirates"])
    assert lazy_pirate(context, node.front["pirates"], b"before") == [b"before"]
    node.kill()
    node.start()
    assert lazy_pirate(context, node.front["pirates"], b"after") == [b"after"]
    assert worker.is_alive()
