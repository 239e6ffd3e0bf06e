"""The chat of examples/chat with servers, a reference, clients and proxies that others wrote, mixed in either role."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
import zmq

import chat
from conftest import PATIENCE, ROOT, free_ports, until


def program():
    if named := os.environ.get("SWARMMQ_CHAT"):
        return named
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "swarmmq-chat" for kind in ("release", "debug")]
    built = [path for path in built if path.is_file()]
    if not built:
        pytest.exit("no chat: cargo build -p swarmmq-chat, or name it in SWARMMQ_CHAT", returncode=2)
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Program:
    """A run of our program."""

    def __init__(self, folder, name, *arguments):
        self.folder, self.log = folder / name, folder / f"{name}.log"
        self.arguments = [program(), *map(str, arguments)]
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.arguments, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder.parent
            )

    def output(self):
        return self.log.read_text()

    def says(self, *words):
        def found():
            assert self.process.poll() is None, f"it ended:\n{self.output()}"
            return all(word in self.output() for word in words)

        until(f"{self.log.name} says {words}", found)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(PATIENCE) == 0, self.output()
        self.process.stdin.close()

    def users(self):
        path = self.folder / "registry.json"
        return json.loads(path.read_text())["users"] if path.exists() else []

    def records(self, file="publications.jsonl"):
        path = self.folder / file
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]


class System:
    """The addresses of a chat, and whoever is at them."""

    def __init__(self, context, folder, stack):
        self.context, self.folder, self.stack = context, folder, stack
        ports = free_ports(5)
        self.clients, self.workers, self.publishers, self.subscribers, self.ref = (
            f"tcp://127.0.0.1:{port}" for port in ports
        )

    def our_node(self, node_with):
        node = node_with(
            ("broker", "request-reply", {"backend": True}), ("proxy", "pub-sub", {"backend": True})
        )
        self.clients, self.workers = node.front["broker"], node.back["broker"]
        self.publishers, self.subscribers = node.front["proxy"], node.back["proxy"]
        return self

    def their_proxies(self):
        self.begin(chat.Proxy(self.context, zmq.ROUTER, self.clients, zmq.DEALER, self.workers))
        self.begin(chat.Proxy(self.context, zmq.XSUB, self.publishers, zmq.XPUB, self.subscribers))
        return self

    def begin(self, peer):
        peer.start()
        self.stack.callback(peer.end)
        return peer

    def run(self, name, *arguments):
        running = Program(self.folder, name, *arguments)
        self.stack.callback(running.stop)
        return running

    def our_reference(self):
        return self.run("ref", "reference", "--bind", self.ref, "--data", self.folder / "ref")

    def their_reference(self):
        return self.begin(chat.Reference(self.context, self.ref))

    def our_server(self, number, *more):
        name = f"server-{number:03}"
        addresses = ["--broker", self.workers, "--proxy-in", self.publishers, "--proxy-out", self.subscribers]
        data = ["--reference", self.ref, "--data", self.folder / name]
        return self.run(name, "server", "--name", name, *addresses, *data, *more)

    def their_server(self, name):
        addresses = [self.workers, self.publishers, self.subscribers, self.ref]
        return self.begin(chat.Server(self.context, name, *addresses))

    def our_bot(self, user, *more):
        addresses = ["--broker", self.clients, "--proxy-out", self.subscribers]
        return self.run(user, "client", "--auto", "--interval-ms", 20, "--user", user, *addresses, *more)

    def their_client(self):
        client = chat.Client(self.context, self.clients, self.subscribers)
        self.stack.callback(client.close)
        return client


@pytest.fixture
def system(context, tmp_path):
    with contextlib.ExitStack() as stack:
        yield System(context, tmp_path, stack)


def contents(records):
    return {tuple(sorted(record.items())) for record in records}


def test_a_client_of_others_with_our_servers(system, node_with):
    system.our_node(node_with).our_reference()
    servers = [system.our_server(number) for number in (1, 2)]
    client = system.their_client()
    assert sorted(client.ask("list_channels")["channels"]) == ["dev", "general", "random"]
    client.listening.subscribe("general")
    client.listening.subscribe("ana")
    until("users are known to all", lambda: client.ask("register_user", user="ana")["users"] == ["ana"])

    def heard(topic, service, **data):
        """Asks until the publication comes as well: nobody says when a subscription has arrived."""
        reply = client.ask(service, **data)
        assert reply["status"] == "OK", reply
        if not client.listening.poll(500):
            return None
        frames = client.listening.recv_multipart()
        assert frames[0] == topic and len(frames) == 2
        return chat.unpack(frames[1])

    record = until(
        "a publication comes", lambda: heard(b"general", "publish", user="ana", channel="general", message="olá")
    )
    assert list(record) == ["type", "origin", "channel", "user", "message", "timestamp", "clock"]
    assert (record["type"], record["channel"], record["user"], record["message"]) == (
        "publish",
        "general",
        "ana",
        "olá",
    )
    assert record["origin"] in ("server-001", "server-002") and record["timestamp"].endswith("Z")
    while client.listening.poll(300):
        client.listening.recv_multipart()
    until("all servers know ana", lambda: all(server.users() == ["ana"] for server in servers))
    record = until("a message comes", lambda: heard(b"ana", "message", src="bia", dst="ana", message="oi"))
    assert list(record) == ["type", "origin", "src", "dst", "message", "timestamp", "clock"]

    for service, data in [
        ("publish", {"user": "ana", "channel": "nowhere", "message": "x"}),
        ("message", {"src": "ana", "dst": "nobody", "message": "x"}),
        ("publish", {"user": 5, "channel": ["general"]}),
        ("fly", {}),
    ]:
        if service == "publish" and data["user"] == 5:
            with chat.socket(system.context, zmq.REQ, system.clients) as asking:
                asking.send(chat.pack({"service": service, "data": data}))
                reply = chat.unpack(asking.recv())["data"]
        else:
            reply = client.ask(service, **data)
        assert reply["status"] == "erro" and reply["message"], (service, reply)
    for nonsense in [b"", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\x91" * 50_000, b"x" * 500_000]:
        with chat.socket(system.context, zmq.REQ, system.clients) as asking:
            asking.send(nonsense)
            assert chat.unpack(asking.recv())["data"]["status"] == "erro"


def test_servers_of_others_and_ours_keep_the_same(system, node_with):
    system.our_node(node_with).our_reference()
    original = system.their_server("original-1")
    until("the original has its rank", lambda: original.rank == 1)
    ours = [system.our_server(number) for number in (1, 2)]
    for server in ours:
        server.says("rank obtido: ", "coordenador inicial: original-1")
    client = system.their_client()
    for number in range(60):
        reply = client.ask("publish", user="ana", channel="dev", message=f"é {number}")
        assert reply["status"] == "OK"
    written = {f"é {number}" for number in range(60)}

    def all_have_all():
        return all({one["message"] for one in server.records()} >= written for server in ours)

    until("all have everything", all_have_all)
    origins = {record["origin"] for record in ours[0].records()}
    assert origins == {"original-1", "server-001", "server-002"}, "each took some"
    until("our histories are equal", lambda: contents(ours[0].records()) == contents(ours[1].records()))
    # An original that was there from the beginning misses nothing and takes nothing twice.
    until("the original has everything", lambda: {one["message"] for one in original.publications} >= written)
    assert len(contents(original.publications)) == len(original.publications)
    assert original.is_alive() and original.coordinator == "original-1"
    assert "sync-digest" in original.unknown, "it passes over what it does not know"

    # What originals wrote comes to a server that is late.
    late = system.our_server(3)
    until("the late one has everything", lambda: contents(late.records()) == contents(ours[0].records()))
    late.says("recuperou")


def test_our_servers_with_a_reference_and_proxies_of_others(system):
    reference = system.their_proxies().their_reference()
    first, second = system.our_server(1), None
    first.says("rank obtido: 1", "coordenador inicial: server-001")
    second = system.our_server(2)
    second.says("rank obtido: 2", "coordenador inicial: server-001")
    bot = system.our_bot("user4821")
    bot.says("[user4821] <- (#", "auto-msg 3 de user4821")
    second.says("sincronizou clock com ref (time=", "replicou registro de server-001 (publish)")
    assert reference.asked.keys() == {"rank", "heartbeat", "list", "clock"}
    # This reference never takes anybody off its list: the dead one is known by its last heartbeat.
    first.kill()
    second.says("novo coordenador eleito: server-002")
    assert "server-001" in reference.servers
    first.start()
    second.says("novo coordenador eleito: server-001")
    bot.stop()
    until("the histories are equal", lambda: contents(first.records()) == contents(second.records()))
    assert len(first.records()) > 10


def test_our_bot_with_a_server_of_others(system, node_with):
    system.our_node(node_with).our_reference()
    original = system.their_server("original-1")
    bot = system.our_bot("user1", "--count", 30)
    until("the bot ends by itself", lambda: bot.process.poll() is not None)
    assert bot.process.returncode == 0, bot.output()
    assert "<- (#" in bot.output()
    assert [one["message"] for one in original.publications][:3] == [f"auto-msg {n} de user1" for n in (1, 2, 3)]
    clocks = [one["clock"] for one in original.publications]
    assert clocks == sorted(set(clocks))


def test_a_dead_server_leaves_the_list_and_keeps_its_rank(system, node_with):
    system.our_node(node_with)
    reference = system.our_reference()
    servers = [system.our_server(1)]
    servers[0].says("rank obtido: 1")
    servers.append(system.our_server(2))
    servers[1].says("rank obtido: 2", "coordenador inicial: server-001")

    def ask(service, **data):
        with chat.socket(system.context, zmq.REQ, system.ref) as asking:
            data |= {"timestamp": chat.now(), "clock": 1}
            asking.send(json.dumps({"service": service, "data": data}).encode())
            return json.loads(asking.recv())["data"]

    assert ask("list")["list"].keys() == {"server-001", "server-002"}
    servers[0].kill()
    until("it leaves the list", lambda: ask("list")["list"].keys() == {"server-002"})
    servers[1].says("novo coordenador eleito: server-002")
    reference.kill()
    reference.start()
    assert ask("list")["list"]["server-002"]["rank"] == 2
    assert abs(ask("clock")["time"] - time.time()) < 60
    servers[0].start()
    until("it comes back", lambda: ask("list")["list"].keys() == {"server-001", "server-002"})
    assert ask("list")["list"]["server-001"]["rank"] == 1
    servers[1].says("novo coordenador eleito: server-001")


def test_the_clocks_of_our_servers_meet_in_the_middle(system, node_with):
    system.our_node(node_with)
    # Without the reference's time there is nothing but the servers' own clocks.
    reference = system.their_reference()
    tell = reference.answer
    reference.answer = lambda request: tell(request) if request["service"] != "clock" else tell({**request, "service": "?"})
    servers = [system.our_server(1), system.our_server(2, "--clock-error-ms", 2000)]
    for server in servers:
        server.says("ajustou o relógio à média dos servidores: ")
    steps = [int(server.output().split("servidores: ")[1].split(" ")[0]) for server in servers]
    assert 500 < steps[0] <= 1500 and -1500 <= steps[1] < -500, steps
    assert abs(steps[0] - steps[1] - 2000) < 500, steps
