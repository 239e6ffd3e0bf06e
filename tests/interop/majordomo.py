"""Clients and workers of Majordomo, RFC 7/MDP and RFC 18/MDP, written from the RFCs, frame by frame.

As a program it is a worker that goes so far and no further, until it is killed:
`majordomo.py ADDRESS VERSION SERVICE STAGE`, where the stage is connected, ready, request or partial.
"""

import sys
import threading
import time

import zmq

#            header     READY    REQUEST   PARTIAL  FINAL    HEARTBEAT DISCONNECT
COMMANDS = {
    1: (b"MDPW01", b"\x01", b"\x02", None, b"\x03", b"\x04", b"\x05"),
    2: (b"MDPW02", b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06"),
}


class Worker:
    """One socket that is registered, and what the RFCs ask of it. It is not shared between threads."""

    def __init__(self, context, address, version, service, heartbeat=0.2, liveness=3):
        self.context, self.address, self.version, self.service = context, address, version, service
        self.heartbeat, self.liveness = heartbeat, liveness
        (self.header, self.ready, self.request, self.partial, self.final, self.beat, self.disconnect) = COMMANDS[version]
        self.socket = None
        self.registrations = 0

    def connect(self):
        """A new socket, as the RFCs ask for after a DISCONNECT or when the broker is not heard."""
        if self.socket:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(self.address)
        self.heard = self.beaten = time.monotonic()

    def register(self):
        self.connect()
        self.registrations += 1
        self.send(self.ready, self.service)
        return self

    def send(self, command, *frames):
        lead = [b""] if self.version == 1 else []
        self.socket.send_multipart([*lead, self.header, command, *frames])

    def receive(self, seconds):
        """A command and its frames, or nothing in that time."""
        if not self.socket.poll(int(seconds * 1000)):
            return None
        frames = self.socket.recv_multipart()
        if self.version == 1:
            assert frames.pop(0) == b""
        assert frames.pop(0) == self.header
        self.heard = time.monotonic()
        return frames[0], frames[1:]

    def turn(self):
        """Keeps the conversation alive for a heartbeat at most, and returns a request if there is one."""
        now = time.monotonic()
        if now - self.beaten >= self.heartbeat:
            self.beaten = now
            self.send(self.beat)
        if now - self.heard > self.heartbeat * self.liveness:
            self.register()
        match self.receive(self.heartbeat / 4):
            case None:
                return None
            case (command, []) if command == self.beat:
                return None
            case (command, []) if command == self.disconnect:
                self.register()
                return None
            case (command, [client, delimiter, *body]) if command == self.request:
                assert client and delimiter == b"" and body
                return client, body
            case other:
                raise AssertionError(f"not of the protocol: {other}")

    def reply(self, request, *body, final=True):
        client, _ = request
        self.send(self.final if final else self.partial, client, b"", *body)


class Serving(threading.Thread):
    """A worker that serves until it is stopped. `work` gets the worker and a request."""

    def __init__(self, worker, work):
        super().__init__(daemon=True)
        self.worker, self.work, self.served, self.ended = worker, work, [], threading.Event()

    def run(self):
        self.worker.register()
        while not self.ended.is_set():
            if request := self.worker.turn():
                self.served.append(request[1])
                self.work(self.worker, request)
        self.worker.socket.close(0)

    def stop(self):
        self.ended.set()
        self.join()


def echo(worker, request):
    worker.reply(request, *request[1])


class Client:
    """0.1 with a REQ socket, 0.2 with a DEALER."""

    def __init__(self, context, address, version):
        self.context, self.address, self.version, self.socket = context, address, version, None

    def ask(self, service, *body):
        """A new socket for each question: one REQ that was not answered cannot ask again."""
        if self.socket:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.REQ if self.version == 1 else zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(self.address)
        if self.version == 1:
            self.socket.send_multipart([b"MDPC01", service, *body])
        else:
            self.socket.send_multipart([b"MDPC02", b"\x01", service, *body])
        self.service = service
        return self

    def part(self):
        """The body of a PARTIAL."""
        assert self.version == 2 and self.socket.poll(30_000)
        frames = self.socket.recv_multipart()
        assert frames[:3] == [b"MDPC02", b"\x02", self.service]
        return frames[3:]

    def answer(self, seconds=30.0):
        """Parts, and then the final reply; nothing in that time is none."""
        parts = []
        while self.socket.poll(int(seconds * 1000)):
            frames = self.socket.recv_multipart()
            if self.version == 1:
                assert frames[:2] == [b"MDPC01", self.service]
                return [frames[2:]]
            assert frames[0] == b"MDPC02" and frames[1] in (b"\x02", b"\x03") and frames[2] == self.service
            parts.append(frames[3:])
            if frames[1] == b"\x03":
                return parts
        return None


def main(address, version, service, stage):
    worker = Worker(zmq.Context(), address, int(version), service.encode())
    worker.connect()
    if stage != "connected":
        worker.register()
    if stage in ("request", "partial"):
        while not (request := worker.turn()):
            pass
        if stage == "partial":
            worker.reply(request, b"a part", final=False)
    print("there", flush=True)
    while True:
        if stage != "connected":
            worker.turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
