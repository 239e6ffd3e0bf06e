"""A chat as others wrote it: a server, a reference, clients and proxies, in plain pyzmq and msgpack.

They know what the first system knew and nothing of what ours added: they keep whatever servers say on topic `replica`
with a type that they know, never take a server off the reference's list, and read the reference's time.
"""

import datetime
import json
import threading
import time

import msgpack
import zmq

from conftest import PATIENCE

CHANNELS = ["general", "random", "dev"]


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def pack(message):
    return msgpack.packb(message)


def unpack(frame):
    return msgpack.unpackb(frame, raw=False)


def socket(context, kind, address=None):
    made = context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    if address:
        made.connect(address)
    return made


class Lamport:
    def __init__(self):
        self.time = 0

    def send(self):
        self.time += 1
        return self.time

    def receive(self, remote):
        self.time = max(self.time, remote) + 1


class Client:
    """A person: a REQ to ask and a SUB to listen."""

    def __init__(self, context, broker, proxy_out):
        self.context, self.broker, self.proxy_out = context, broker, proxy_out
        self.clock = Lamport()
        self.asking = None
        self.listening = socket(context, zmq.SUB, proxy_out)

    def ask(self, service, **data):
        """Asks until there is an answer; what goes wrong twice does no harm in these tests."""
        end = time.monotonic() + PATIENCE
        while True:
            if not self.asking:
                self.asking = socket(self.context, zmq.REQ, self.broker)
            request = {"service": service, "data": {**data, "timestamp": now(), "clock": self.clock.send()}}
            self.asking.send(pack(request))
            if self.asking.poll(2_000):
                break
            self.asking.close()
            self.asking = None
            assert time.monotonic() < end, f"no answer to {service}"
        reply = unpack(self.asking.recv())
        assert reply["service"] == service
        assert reply["data"]["clock"] > request["data"]["clock"]
        self.clock.receive(reply["data"]["clock"])
        return reply["data"]

    def close(self):
        self.listening.close()
        if self.asking:
            self.asking.close()


class Peer(threading.Thread):
    """Something that runs beside the test until it is ended. What goes wrong in it fails the test."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended, self.error = threading.Event(), None

    def run(self):
        try:
            self.serve()
        except Exception as error:
            self.error = error

    def end(self):
        self.ended.set()
        self.join(PATIENCE)
        assert not self.is_alive()
        if self.error:
            raise self.error


class Server(Peer):
    """A server as the first ones were."""

    def __init__(self, context, name, broker, proxy_in, proxy_out, reference):
        super().__init__()
        self.name, self.clock, self.coordinator, self.rank = name, Lamport(), None, None
        self.users, self.publications, self.messages, self.unknown = [], [], [], []
        self.handled = 0
        self.requests = socket(context, zmq.REP, broker)
        self.publisher = socket(context, zmq.PUB, proxy_in)
        self.subscriber = socket(context, zmq.SUB, proxy_out)
        for topic in ("replica", "servers"):
            self.subscriber.subscribe(topic)
        self.reference = socket(context, zmq.REQ, reference)

    def serve(self):
        self.rank = self.ask("rank", user=self.name)["rank"]
        self.elect()
        poller = zmq.Poller()
        poller.register(self.requests, zmq.POLLIN)
        poller.register(self.subscriber, zmq.POLLIN)
        beat = 0.0
        while not self.ended.is_set():
            if time.monotonic() - beat > 1:
                beat = time.monotonic()
                self.ask("heartbeat", user=self.name)
            ready = dict(poller.poll(50))
            if self.requests in ready:
                self.requests.send(pack(self.answer(unpack(self.requests.recv()))))
            if self.subscriber in ready:
                topic, body = self.subscriber.recv_multipart()
                self.hear(topic, unpack(body))
        for one in (self.requests, self.publisher, self.subscriber, self.reference):
            one.close()

    def ask(self, service, **data):
        request = {"service": service, "data": {**data, "timestamp": now(), "clock": self.clock.send()}}
        self.reference.send(json.dumps(request).encode())
        data = json.loads(self.reference.recv())["data"]
        self.clock.receive(data["clock"])
        return data

    def elect(self):
        servers = self.ask("list")["list"]
        coordinator = min(servers, key=lambda name: servers[name]["rank"])
        if coordinator != self.coordinator:
            self.coordinator = coordinator
            data = {"coordinator": coordinator, "timestamp": now(), "clock": self.clock.send()}
            self.publisher.send_multipart([b"servers", pack({"service": "election", "data": data})])

    def answer(self, request):
        service, data = request["service"], request["data"]
        self.clock.receive(data["clock"])
        reply = {"status": "OK", "message": ""}
        if service == "register_user":
            self.users.append(data["user"])
            reply["users"] = self.users
        elif service == "list_channels":
            reply["channels"] = CHANNELS
        elif service == "publish" and data["channel"] in CHANNELS:
            kept = {key: data[key] for key in ("channel", "user", "message")}
            self.keep({"type": "publish", "origin": self.name, **kept}, data["channel"], self.publications)
        elif service == "message":
            kept = {key: data[key] for key in ("src", "dst", "message")}
            self.keep({"type": "message", "origin": self.name, **kept}, data["dst"], self.messages)
        else:
            reply = {"status": "erro", "message": "?"}
        self.count()
        return {"service": service, "data": {**reply, "timestamp": now(), "clock": self.clock.send()}}

    def keep(self, record, topic, log):
        record |= {"timestamp": now(), "clock": self.clock.send()}
        log.append(record)
        self.publisher.send_multipart([topic.encode(), pack(record)])
        self.publisher.send_multipart([b"replica", pack(record)])

    def hear(self, topic, message):
        if topic == b"servers":
            self.clock.receive(message["data"]["clock"])
            self.coordinator = message["data"]["coordinator"]
            return
        if message["origin"] == self.name:
            return
        self.clock.receive(message["clock"])
        if message["type"] == "publish":
            self.publications.append(message)
            self.count()
        elif message["type"] == "message":
            self.messages.append(message)
            self.count()
        else:
            self.unknown.append(message["type"])

    def count(self):
        self.handled += 1
        if self.handled % 10 == 0:
            self.ask("clock")
            self.elect()


class Reference(Peer):
    """A reference as the first one was: it gives ranks, and forgets nobody."""

    def __init__(self, context, address):
        super().__init__()
        self.clock, self.servers, self.asked = Lamport(), {}, {}
        self.socket = socket(context, zmq.REP)
        self.socket.bind(address)

    def serve(self):
        while not self.ended.is_set():
            if self.socket.poll(50):
                self.socket.send(json.dumps(self.answer(json.loads(self.socket.recv()))).encode())
        self.socket.close()

    def answer(self, request):
        service, data = request["service"], request["data"]
        self.clock.receive(data["clock"])
        self.asked[service] = self.asked.get(service, 0) + 1
        reply = {"timestamp": now()}
        if service == "rank":
            known = self.servers.setdefault(data["user"], {"rank": len(self.servers) + 1})
            known["last_beat"] = time.time()
            reply["rank"] = known["rank"]
        elif service == "heartbeat":
            self.servers[data["user"]]["last_beat"] = time.time()
        elif service == "list":
            reply["list"] = self.servers
        elif service == "clock":
            reply["time"] = time.time()
        return {"service": service, "data": {**reply, "clock": self.clock.send()}}


class Proxy(Peer):
    """A broker of requests or of publications, by libzmq's own proxy."""

    def __init__(self, context, front_kind, front, back_kind, back):
        super().__init__()
        self.context = context
        self.front, self.back = socket(context, front_kind), socket(context, back_kind)
        self.control = socket(context, zmq.PAIR)
        self.name = f"inproc://proxy-{id(self)}"
        self.control.bind(self.name)
        self.front.bind(front)
        self.back.bind(back)

    def serve(self):
        # Proxies wait for ever: to read without end is what they do.
        for one in (self.front, self.back):
            one.setsockopt(zmq.RCVTIMEO, -1)
        zmq.proxy_steerable(self.front, self.back, None, self.control)
        for one in (self.front, self.back, self.control):
            one.close()

    def end(self):
        with self.context.socket(zmq.PAIR) as steering:
            steering.connect(self.name)
            steering.send(b"TERMINATE")
            super().end()
