"""examples/security-events beside programs that others could have written: Python, and a real etcd."""

import base64
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

import pytest
import zmq

from conftest import PATIENCE, ROOT, free_ports, program, until

EXAMPLE = ROOT / "examples/security-events"


def example():
    if named := os.environ.get("SWARMMQ_SECURITY_EVENTS"):
        return named
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "security-events" for kind in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    assert built, "build examples/security-events, or name it in SWARMMQ_SECURITY_EVENTS"
    return str(max(built, key=lambda path: path.stat().st_mtime))


@pytest.fixture(scope="session")
def schema(tmp_path_factory):
    """The messages, made from the definition by protoc."""
    from grpc_tools import protoc

    folder = tmp_path_factory.mktemp("schema")
    import grpc_tools

    standard = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    done = protoc.main(
        ["", f"-I{EXAMPLE / 'proto'}", f"-I{standard}", f"--python_out={folder}", "network_security.proto"]
    )
    assert done == 0
    sys.path.insert(0, str(folder))
    try:
        import network_security_pb2
    finally:
        sys.path.pop(0)
    return network_security_pb2


class Process:
    """One of the example's programs."""

    def __init__(self, folder, name, *words):
        self.name = name
        self.path = folder / f"{name}.log"
        self.log = open(self.path, "ab")
        command = [example(), *words]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=folder)

    def output(self):
        return self.path.read_text(errors="replace")

    def says(self, text):
        def said():
            found = text in self.output()
            assert found or self.process.poll() is None, f"{self.name} ended:\n{self.output()[-3000:]}"
            return found

        until(f"{self.name} says {text!r}", said)
        return self

    def kill(self):
        """As a power cut does to a process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self.log.close()


@pytest.fixture
def start(tmp_path):
    """Starts programs of the example, which end with the test."""
    running = []

    def start(name, *words):
        running.append(Process(tmp_path, name, *map(str, words)))
        return running[-1]

    yield start
    for process in running:
        process.stop()


class Etcd:
    """A real etcd: `ETCD_BIN`, or the one on PATH."""

    def __init__(self, folder):
        named = os.environ.get("ETCD_BIN") or shutil.which("etcd")
        assert named, "no etcd: install Debian's etcd-server, or set ETCD_BIN"
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self.url = client
        self.log = open(folder / "etcd.log", "ab")
        command = [named, "--name", "one", "--data-dir", folder / "etcd", "--listen-client-urls", client]
        command += ["--advertise-client-urls", client, "--listen-peer-urls", peer]
        command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"]
        command += ["--heartbeat-interval", "10", "--election-timeout", "100"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        until("etcd answers", self.answers)

    def answers(self):
        assert self.process.poll() is None, "etcd ended"
        try:
            return self.post("/v3/kv/range", {"key": "YQ=="})
        except OSError:
            return None

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def services(self):
        """Each key below /services/, with its value as text and its lease."""
        key, end = (base64.b64encode(text).decode() for text in (b"/services/", b"/services0"))
        found = self.post("/v3/kv/range", {"key": key, "range_end": end}).get("kvs", [])
        decode = base64.b64decode
        return {decode(one["key"]).decode(): (decode(one["value"]).decode(), one.get("lease")) for one in found}

    def put(self, key, value, lease=None):
        body = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value.encode()).decode()}
        self.post("/v3/kv/put", body | ({"lease": lease} if lease else {}))

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def etcd(tmp_path):
    etcd = Etcd(tmp_path)
    yield etcd
    etcd.stop()


def ids(path):
    """The ids in a record; a line that a kill has torn is none."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line)["event_id"] for line in lines]


def endpoints(count):
    return [f"tcp://127.0.0.1:{port}" for port in free_ports(count)]


def fill(message, depth=0):
    """Gives every field of a message a value that is not its default."""
    for field in message.DESCRIPTOR.fields:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            value = field.message_type.fields_by_name["value"]
            getattr(message, field.name)["key"] = scalar(value)
        elif field.message_type is not None:
            target = getattr(message, field.name)
            fill(target.add() if field.is_repeated else target, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend([scalar(field), scalar(field)])
        else:
            setattr(message, field.name, scalar(field))
    return message


def scalar(field):
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == field.TYPE_STRING:
        return f"{field.name} é"
    if field.type == field.TYPE_BOOL:
        return True
    if field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
        return field.number + 0.5
    return field.number


def unknown_fields(message):
    from google.protobuf import unknown_fields

    found = len(unknown_fields.UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            found += sum(unknown_fields_of(one) for one in (value if field.is_repeated else [value]))
    return found


unknown_fields_of = unknown_fields


def haversine(a, b):
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, place)) for place in (a, b))
    chord = math.sin((lat2 - lat1) / 2) ** 2
    chord += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(chord))


def test_a_python_consumer_reads_every_field_of_our_producers_events(start, context, schema, tmp_path):
    (bind,) = endpoints(1)
    socket = context.socket(zmq.PULL)
    socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
    socket.connect(bind)
    record = tmp_path / "sent.jsonl"
    words = ["--discovery", "none", "--bind", bind, "--rate", 0, "--count", 50, "--record", record]
    producer = start("producer", "producer", "--id", "p1", *words)
    received = []
    for _ in range(50):
        frames = socket.recv_multipart()
        assert len(frames) == 1
        event = schema.NetworkSecurityEvent.FromString(frames[0])
        assert unknown_fields(event) == 0, "a field that the definition does not have"
        received.append(event.event_id)
        features, geo = event.network_features, event.geo_enrichment
        assert len(features.ddos_features) == 83
        assert features.protocol_number == 6 and 1024 <= features.source_port <= 65535
        packets = features.total_forward_packets + features.total_backward_packets
        bytes_ = features.total_forward_bytes + features.total_backward_bytes
        seconds = features.flow_duration.ToNanoseconds() / 1e9
        assert seconds == pytest.approx(features.flow_duration_microseconds / 1e6)
        assert features.flow_packets_per_second * seconds == pytest.approx(packets)
        assert features.flow_bytes_per_second * seconds == pytest.approx(bytes_)
        assert features.packet_length_mean * packets == pytest.approx(bytes_)
        source, target = geo.source_ip_geo, geo.destination_ip_geo
        assert (source.city_name, target.city_name) == ("Sevilla", "San Francisco")
        apart = haversine((source.latitude, source.longitude), (target.latitude, target.longitude))
        assert geo.source_destination_distance_km == pytest.approx(apart, rel=1e-9)
        assert event.capturing_node.node_id == "p1" and event.pipeline_tracking.sniffer_process_id > 0
        assert abs(event.event_timestamp.ToMilliseconds() / 1000 - time.time()) < 3600
        uuid.UUID(event.event_id)
    assert len(set(received)) == 50
    assert producer.process.wait(PATIENCE) == 0
    assert ids(record) == received
    assert "total: 50 sent" in producer.output()


def test_our_consumer_reads_events_in_which_a_python_producer_has_set_every_field(start, context, schema, tmp_path):
    bind, own = endpoints(2)
    socket = context.socket(zmq.PUSH)
    socket.bind(bind)
    record = tmp_path / "got.jsonl"
    words = ["--discovery", "none", "--connect", bind, "--bind", own, "--record", record, "--count", 20]
    consumer = start("consumer", "consumer", *words)
    sent = []
    for number in range(20):
        event = fill(schema.NetworkSecurityEvent())
        event.event_id = f"from-python-{number}"
        sent.append(event.event_id)
        if number == 7:
            socket.send(b"\xff\xff not an event")
            socket.send_multipart([b"two", b"frames"])
        socket.send(event.SerializeToString())
    assert consumer.process.wait(PATIENCE) == 0
    assert ids(record) == sent
    assert "Deserialized NetworkSecurityEvent successfully" in consumer.output()


def test_instances_are_in_etcd_as_everybody_writes_them(start, etcd, context, schema, tmp_path):
    bind, other, own = endpoints(3)
    # A producer that somebody else wrote: it binds, and registers as the pipeline always did.
    socket = context.socket(zmq.PUSH)
    socket.bind(other)
    value = {"endpoint": other, "health": "healthy", "last_heartbeat": int(time.time())}
    etcd.put("/services/producer/python-1", json.dumps(value))
    etcd.put("/services/producer/broken", "not json")
    discovery = ["--discovery", "etcd", "--etcd", etcd.url, "--ttl", 2]
    record = tmp_path / "got.jsonl"
    consumer = start(
        "consumer", "consumer", "--id", "service2-instance-001", "--bind", own, "--record", record, *discovery
    )
    consumer.says("Registered as: /services/consumer/service2-instance-001").says(f"Connected to {other}")
    event = fill(schema.NetworkSecurityEvent())
    event.event_id = "from-python"
    socket.send(event.SerializeToString())
    until("it is received", lambda: ids(record) == ["from-python"])

    producer = start("producer", "producer", "--id", "service1-instance-001", "--bind", bind, *discovery)
    producer.says("Registered as: /services/producer/service1-instance-001")
    producer.says("Serialized").says("Sent via ZeroMQ")
    services = etcd.services()
    text, lease = services["/services/producer/service1-instance-001"]
    value = json.loads(text)
    assert (value["endpoint"], value["health"]) == (bind, "healthy")
    assert value["last_heartbeat"].endswith("Z")
    granted = etcd.post("/v3/kv/lease/timetolive", {"ID": lease, "keys": True})
    assert int(granted["grantedTTL"]) == 2
    until("an event of ours is received too", lambda: len(ids(record)) > 1)
    seen = json.loads(
        subprocess.run(
            [example(), "status", "--discovery", "etcd", "--etcd", etcd.url, "--json"], check=True, capture_output=True
        ).stdout
    )
    assert (seen["registered"], seen["healthy"]) == (3, 3)
    producer.kill()
    until(
        "a dead instance is gone when its lease is",
        lambda: "/services/producer/service1-instance-001" not in etcd.services(),
    )
    consumer.stop()
    assert "/services/consumer/service2-instance-001" not in etcd.services(), "who leaves says so"


@pytest.mark.parametrize("registry", ["etcd", "node"])
def test_events_go_to_the_healthy_and_on_when_some_die(start, registry, request, tmp_path):
    if registry == "etcd":
        discovery = ["--discovery", "etcd", "--etcd", request.getfixturevalue("etcd").url]
    else:
        discovery = ["--discovery", "node", "--node", f"127.0.0.1:{request.getfixturevalue('node').native}"]
    discovery += ["--ttl", 2, "--health-interval", 0.2]
    records = {name: tmp_path / f"{name}.jsonl" for name in ("c1", "c2", "c3", "c4")}

    def consumer(name):
        (bind,) = endpoints(1)
        words = ["--id", name, "--bind", bind, "--record", records[name], "--drain-file", tmp_path / f"{name}.drain"]
        return start(name, "consumer", *words, *discovery).says("Registered as")

    def count(name):
        return len(ids(records[name]))

    def grow(*names):
        before = {name: count(name) for name in names}
        until(f"{names} get more", lambda: all(count(name) > before[name] + 5 for name in names))

    consumers = {name: consumer(name) for name in ("c1", "c2", "c3")}
    producers = []
    for name in ("p1", "p2"):
        (bind,) = endpoints(1)
        producers.append(start(name, "producer", "--id", name, "--bind", bind, "--rate", 100, *discovery))
    grow("c1", "c2", "c3")

    # One that is drained lives, and gets nothing more once everybody knows.
    (tmp_path / "c2.drain").touch()
    words = [example(), "status", *map(str, discovery[:4]), "--json"]

    def health(name):
        status = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        return {one["id"]: one["health"] for one in status["instances"]}.get(name)

    until("c2 says that it is not healthy", lambda: health("c2") == "unhealthy")

    def is_quiet():
        before = count("c2")
        grow("c1", "c3")
        return count("c2") == before

    until("c2 gets nothing", is_quiet)
    (tmp_path / "c2.drain").unlink()
    grow("c1", "c2", "c3")

    # One that dies is left, one that comes is found, and a producer that dies takes nobody with it.
    consumers["c1"].kill()
    producers[0].kill()
    consumer("c4")
    until("c1 is gone", lambda: health("c1") is None)
    grow("c2", "c3", "c4")
    until("p1 is gone", lambda: health("p1") is None)
    for name in records:
        assert len(set(ids(records[name]))) == count(name)
    everywhere = [one for name in records for one in ids(records[name])]
    assert len(set(everywhere)) == len(everywhere), "each event goes to one"


def test_durable_loses_nothing_and_does_nothing_twice(start, node, tmp_path):
    """Kills of consumers, producers and the node, while others are added."""
    chance = random.Random(7)
    place = ["--durable", "--node", f"127.0.0.1:{node.native}", "--discovery", "node", "--ttl", 2]
    numbers = iter(range(1000))

    def producer():
        name = f"p{next(numbers)}"
        return start(name, "producer", "--id", name, "--rate", 150, "--record", tmp_path / f"{name}.sent", *place)

    def consumer():
        name = f"c{next(numbers)}"
        return start(name, "consumer", "--id", name, "--record", tmp_path / f"{name}.got", *place)

    def sent():
        return [one for path in tmp_path.glob("*.sent") for one in ids(path)]

    producers, consumers = [producer(), producer()], [consumer(), consumer(), consumer()]
    for turn in range(6):
        before = len(sent())
        until("more is stored", lambda: len(sent()) > before + 100)
        victim = chance.choice(consumers)
        victim.kill()
        consumers[consumers.index(victim)] = consumer()
        if turn == 2:
            producers[0].kill()
            producers[0] = producer()
        if turn == 4:
            node.kill()
            node.log.close()
            node.start()
    for one in producers:
        one.stop()
    promised = sent()
    assert len(set(promised)) == len(promised) > 600

    def ask(*words):
        command = [program(), *words, "--node", f"127.0.0.1:{node.native}", "--json"]
        return [json.loads(line) for line in subprocess.run(command, check=True, capture_output=True).stdout.splitlines()]

    until("the queue is empty", lambda: ask("queue", "info", "security-events")[0]["messages"] == 0)
    for one in consumers:
        one.stop()
    ask("group", "create", "security-events.processed", "check", "--start", "earliest")
    total = ask("stream", "info", "security-events.processed")[0]["messages"]
    done = ask("consume", "-d", "security-events.processed", "-g", "check", "-n", str(total))
    processed = [json.loads(one["payload"])["event_id"] for one in done]
    assert len(processed) == len(set(processed)), "nothing is processed twice"
    assert set(promised) <= set(processed), "nothing that was stored is lost"
    # What is in the consumers' own records was processed, and by one of them.
    recorded = [one for path in tmp_path.glob("*.got") for one in ids(path)]
    assert len(set(recorded)) == len(recorded) and set(recorded) <= set(processed)
