"""A proxy between REQ or DEALER clients and REP, ROUTER or DEALER workers."""

import threading
import urllib.request

import pytest
import zmq

from conftest import PATIENCE, until

PROXY = ("rpc", "request-reply", {"backend": True})


def socket(context, kind, address, identity=None):
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    socket.setsockopt(zmq.SNDTIMEO, int(PATIENCE * 1000))
    if identity:
        socket.setsockopt(zmq.IDENTITY, identity)
    socket.connect(address)
    return socket


def serve(context, address, stop):
    worker = socket(context, zmq.REP, address)
    worker.setsockopt(zmq.RCVTIMEO, 50)
    while not stop.is_set():
        try:
            frames = worker.recv_multipart()
        except zmq.Again:
            continue
        worker.send_multipart([b"re:" + frames[0], *frames[1:]])
    worker.close()


@pytest.fixture
def workers(context):
    stop, threads = threading.Event(), []

    def start(address, count):
        for _ in range(count):
            threads.append(threading.Thread(target=serve, args=(context, address, stop)))
            threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_many_clients_each_get_their_own_replies(context, node_with, workers):
    node = node_with(PROXY)
    workers(node.back["rpc"], 3)
    errors = []

    def client(number):
        peer = socket(context, zmq.REQ, node.front["rpc"])
        for turn in range(200):
            body = f"{number}.{turn}".encode()
            peer.send_multipart([body, b"more"])
            reply = peer.recv_multipart()
            if reply != [b"re:" + body, b"more"]:
                errors.append((body, reply))
        peer.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_router_worker_sees_the_identity_and_answers_later(context, node_with):
    node = node_with(PROXY)
    client = socket(context, zmq.DEALER, node.front["rpc"], b"ada")
    # A DEALER worker, as the backend is a DEALER too: frames as they come.
    worker = socket(context, zmq.DEALER, node.back["rpc"])
    client.send_multipart([b"", b"job"])
    request = worker.recv_multipart()
    assert request == [b"ada", b"", b"job"]
    for part in (b"first", b"second"):
        worker.send_multipart([b"ada", b"", part])
    assert [client.recv_multipart()[1] for _ in range(2)] == [b"first", b"second"]


def test_the_load_is_spread_and_survives_a_worker_that_goes(context, node_with):
    node = node_with(PROXY)
    workers = [socket(context, zmq.REP, node.back["rpc"]) for _ in range(2)]
    client = socket(context, zmq.DEALER, node.front["rpc"])
    served = []

    def turn(number):
        def answered():
            # What was on its way to the worker that went is lost, as with any REP that dies: it is asked again.
            client.send_multipart([b"", str(number).encode()])
            for _ in range(50):
                for worker in workers:
                    if worker.poll(1):
                        worker.send(worker.recv())
                        served.append(worker)
                if client.poll(1):
                    return client.recv_multipart()
            return None

        reply = until("a reply", answered)
        assert reply[0] == b"" and int(reply[1]) <= number

    for number in range(6):
        turn(number)
    assert len(set(served)) == 2
    gone = workers.pop()
    gone.close()
    for number in range(20):
        turn(number)


def test_metrics_say_what_passes(context, node_with):
    node = node_with(PROXY)
    worker = socket(context, zmq.REP, node.back["rpc"])
    client = socket(context, zmq.REQ, node.front["rpc"])
    client.send(b"hello")
    worker.send(worker.recv())
    assert client.recv() == b"hello"
    with urllib.request.urlopen(f"http://127.0.0.1:{node.http}/metrics", timeout=PATIENCE) as page:
        lines = page.read().decode().splitlines()
    assert 'swarmmq_zeromq_peers{endpoint="rpc",socket_type="REP"} 1' in lines
    assert 'swarmmq_zeromq_received_messages_total{endpoint="rpc",socket_type="REQ"} 1' in lines
    assert 'swarmmq_zeromq_sent_messages_total{endpoint="rpc",socket_type="REQ"} 1' in lines
    assert 'swarmmq_zeromq_state{endpoint="rpc",of="workers"} 1' in lines
