"""The same by the system's own libzmq, which is another release than the wheel's."""

import ctypes
import ctypes.util

import pytest

from conftest import until

REQ, DEALER, PUSH = 3, 5, 8
SNDMORE, RCVMORE, RCVTIMEO, LINGER = 2, 13, 27, 17


class Libzmq:
    def __init__(self, library):
        self.c = ctypes.CDLL(library, use_errno=True)
        self.c.zmq_ctx_new.restype = ctypes.c_void_p
        self.c.zmq_socket.restype = ctypes.c_void_p
        self.c.zmq_socket.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.c.zmq_connect.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self.c.zmq_setsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
        self.c.zmq_getsockopt.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        self.c.zmq_send.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
        self.c.zmq_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.c.zmq_close.argtypes = [ctypes.c_void_p]
        self.c.zmq_ctx_term.argtypes = [ctypes.c_void_p]
        self.context = self.c.zmq_ctx_new()
        self.sockets = []

    def version(self):
        numbers = [ctypes.c_int() for _ in range(3)]
        self.c.zmq_version(*(ctypes.byref(number) for number in numbers))
        return tuple(number.value for number in numbers)

    def socket(self, kind, url):
        socket = self.c.zmq_socket(self.context, kind)
        self.sockets.append(socket)
        for option, value in ((RCVTIMEO, 30_000), (LINGER, 10_000)):
            number = ctypes.c_int(value)
            assert self.c.zmq_setsockopt(socket, option, ctypes.byref(number), 4) == 0
        assert self.c.zmq_connect(socket, url.encode()) == 0
        return socket

    def send(self, socket, *frames):
        for left, frame in zip(range(len(frames) - 1, -1, -1), frames):
            assert self.c.zmq_send(socket, frame, len(frame), SNDMORE if left else 0) == len(frame)

    def receive(self, socket):
        frames = []
        while True:
            buffer = ctypes.create_string_buffer(1 << 16)
            size = self.c.zmq_recv(socket, buffer, len(buffer), 0)
            assert size >= 0, f"errno {ctypes.get_errno()}"
            frames.append(buffer.raw[:size])
            more, length = ctypes.c_int(), ctypes.c_size_t(4)
            assert self.c.zmq_getsockopt(socket, RCVMORE, ctypes.byref(more), ctypes.byref(length)) == 0
            if not more.value:
                return frames

    def close(self):
        for socket in self.sockets:
            self.c.zmq_close(socket)
        self.c.zmq_ctx_term(self.context)


@pytest.fixture
def libzmq():
    library = ctypes.util.find_library("zmq")
    if library is None:
        pytest.skip("Debian's libzmq5 is not installed")
    libzmq = Libzmq(library)
    assert libzmq.version() >= (4, 2, 0)
    yield libzmq
    libzmq.close()


def test_a_req_puts_pulls_and_acknowledges(node, libzmq, queue):
    socket, name = libzmq.socket(REQ, node.durable), queue.encode()
    libzmq.send(socket, b"SWMQ1", b"1", b"PUT", name, b"hello")
    assert libzmq.receive(socket)[:4] == [b"SWMQ1", b"1", b"OK", b"stored"]
    libzmq.send(socket, b"SWMQ1", b"2", b"PULL", name, b"wait-ms=10000")
    answer = libzmq.receive(socket)
    assert answer[2] == b"OK" and answer[4] == b"hello"
    libzmq.send(socket, b"SWMQ1", b"3", b"ACK", name, answer[3])
    assert libzmq.receive(socket) == [b"SWMQ1", b"3", b"OK", b"done"]


def test_a_dealer_pipelines(node, libzmq, queue):
    socket = libzmq.socket(DEALER, node.durable)
    for number in range(200):
        libzmq.send(socket, b"", b"SWMQ1", str(number).encode(), b"PUT", queue.encode(), b"x" * number)
    answers = [libzmq.receive(socket) for _ in range(200)]
    assert all(answer[3:5] == [b"OK", b"stored"] for answer in answers)
    assert {int(answer[2]) for answer in answers} == set(range(200))


def test_what_is_pushed_can_be_pulled(node, libzmq, client):
    socket = libzmq.socket(PUSH, node.ingest)
    for number in range(500):
        libzmq.send(socket, str(number).encode())
    payloads = []

    def all_there():
        batch = list(client.pull("events", "max=256", "wait-ms=200"))
        payloads.extend(int(payload) for _, payload, _ in batch)
        return len(payloads) >= 500

    until("500 messages", all_there)
    assert payloads == list(range(500))
