"""A node of its own for each test, and clients of it."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import uuid

import pytest
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 30.0


def program():
    if named := os.environ.get("SWARMMQ_BIN"):
        return named
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "swarmmq" for kind in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        pytest.exit("no program: build it, or name it in SWARMMQ_BIN", returncode=2)
    return str(max(built, key=lambda path: path.stat().st_mtime))


def until(what, is_so):
    """Waits until something is so, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := is_so()):
        assert time.monotonic() < end, f"it never came to: {what}"
        # sleep: between two looks at the condition, with a deadline.
        time.sleep(0.005)
    return found


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Node:
    """The real program, with a data directory that outlives it."""

    def __init__(self, folder, endpoints=(), more_yaml=""):
        """With more endpoints, each as (name, kind, keys); a key `backend: True` is given a port."""
        self.folder = folder
        self.front, self.back, lines = {}, {}, []
        for name, kind, keys in endpoints:
            keys = dict(keys)
            front, back = free_ports(2)
            self.front[name] = f"tcp://127.0.0.1:{front}"
            if keys.pop("backend", False):
                self.back[name] = keys["backend"] = f"tcp://127.0.0.1:{back}"
            more = "".join(f", {key}: {json.dumps(value)}" for key, value in keys.items())
            lines.append(f'    - {{ name: {name}, kind: {kind}, bind: "{self.front[name]}"{more} }}')
        more = "\n".join(lines)
        self.native, self.http, self.durable_port, self.ingest_port = free_ports(4)
        self.config = folder / "node.yaml"
        self.config.write_text(f"""\
node: {{ data_dir: "{folder / 'data'}" }}
listen: {{ native: "127.0.0.1:{self.native}", http: "127.0.0.1:{self.http}" }}
journal: {{ segment_size: 4MiB, reserve_size: 1MiB }}
zeromq:
  endpoints:
    - {{ name: durable, kind: durable, bind: "tcp://127.0.0.1:{self.durable_port}" }}
    - {{ name: ingest, kind: ingest, bind: "tcp://127.0.0.1:{self.ingest_port}", queue: events }}
{more}
{more_yaml}""")
        self.process = None
        self.log = None

    @property
    def durable(self):
        return f"tcp://127.0.0.1:{self.durable_port}"

    @property
    def ingest(self):
        return f"tcp://127.0.0.1:{self.ingest_port}"

    def start(self):
        self.log = open(self.folder / "node.log", "ab")
        command = [program(), "node", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.folder)
        until("the node answers a request", self.answers)
        return self

    def answers(self):
        assert self.process.poll() is None, f"the node ended:\n{self.output()}"
        with zmq.Context() as context, context.socket(zmq.REQ) as probe:
            probe.setsockopt(zmq.LINGER, 0)
            probe.setsockopt(zmq.RCVTIMEO, 500)
            probe.connect(self.durable)
            probe.send_multipart([b"SWMQ1", b"", b"PUT", b"probe", b"x", b"ttl-ms=1"])
            try:
                # With permissions it may not put, but it is answered.
                return probe.recv_multipart()[2] in (b"OK", b"ERROR")
            except zmq.Again:
                return False

    def see(self, *words):
        """What `swarmmq zeromq` says."""
        command = [program(), "zeromq", *words, "--http", f"127.0.0.1:{self.http}", "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def drops(self, endpoint):
        return next(one for one in self.see("ls")["endpoints"] if one["name"] == endpoint)["drops"]

    def peers(self, endpoint):
        return self.see("peers", endpoint)["peers"]

    def output(self):
        return (self.folder / "node.log").read_text(errors="replace")[-4000:]

    def kill(self):
        """As a power cut does to a process: at once, without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        if self.log:
            self.log.close()


@pytest.fixture
def node_with(tmp_path):
    """Starts a node with more endpoints."""
    nodes = []

    def start(*endpoints, more=""):
        node = Node(tmp_path, endpoints, more)
        nodes.append(node)
        return node.start()

    try:
        yield start
    finally:
        for node in nodes:
            node.stop()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    try:
        yield node.start()
    finally:
        node.stop()


@pytest.fixture
def context():
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
def queue():
    """A queue that no other test uses."""
    return f"q-{uuid.uuid4().hex[:12]}"


def documented(page, name):
    """The source of the client in a specification."""
    text = (ROOT / "docs/protocols" / page).read_text()
    return re.search(rf"```python\n(import zmq\n\nclass {name}:.*?)```", text, re.DOTALL).group(1)


def run_documented(page, name):
    """The same as a class."""
    names = {}
    exec(compile(documented(page, name), f"docs/protocols/{page}", "exec"), names)
    return names[name]


def documented_client():
    source = documented("durable.md", "Durable")
    assert len(source.split("def pull")[0].splitlines()) <= 20, "the specification promises twenty lines"
    return run_documented("durable.md", "Durable")


@pytest.fixture
def client(node):
    client = documented_client()(node.durable)
    yield client
    client.socket.close()
