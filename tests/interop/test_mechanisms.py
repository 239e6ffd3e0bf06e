"""Every kind of endpoint over NULL, PLAIN and CURVE: who may use it does, and who may not does not."""

import hashlib
import json

import pytest
import zmq

from conftest import PATIENCE, until
from majordomo import COMMANDS

USERS = ("ada", "worker", "eve")


class Mechanism:
    """How the peers of a test show who they are. Over NULL nobody does, and everybody may do everything."""

    def __init__(self, name, context, folder):
        self.name, self.context, self.sockets = name, context, []
        self.keys = {who: zmq.curve_keypair() for who in ("node", "stranger", *USERS)}
        self.secret_file = folder / "node.key"
        self.secret_file.write_bytes(self.keys["node"][1])
        self.secret_file.chmod(0o600)

    @property
    def knows_users(self):
        return self.name != "null"

    def endpoint(self, **keys):
        keys["mechanisms"] = [self.name]
        if self.name == "curve":
            keys["curve_secret_key_file"] = str(self.secret_file)
        return keys

    def security(self, *rules):
        if not self.knows_users:
            return ""

        def user(name):
            if self.name == "curve":
                return {"name": name, "curve_public_key": self.keys[name][0].decode()}
            return {"name": name, "password_sha256": hashlib.sha256(f"secret-of-{name}".encode()).hexdigest()}

        # The ingest endpoint that every node of these tests has must be of use to somebody.
        rules = [*rules, {"who": "anybody", "destinations": "events", "allow": ["produce"]}]
        users = [user(name) for name in USERS]
        return f"security:\n  users: {json.dumps(users)}\n  permissions: {json.dumps(rules)}\n"

    def socket(self, kind, address, who, **options):
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
        if self.name == "plain":
            socket.plain_username, socket.plain_password = who.encode(), f"secret-of-{who}".encode()
        elif self.name == "curve":
            socket.curve_publickey, socket.curve_secretkey = self.keys[who]
            socket.curve_serverkey = self.keys["node"][0]
        for name, value in options.items():
            setattr(socket, name, value)
        socket.connect(address)
        self.sockets.append(socket)
        return socket

    def refuses_strangers(self, node, endpoint, kind):
        if self.knows_users:
            self.socket(kind, node.front[endpoint], "stranger")
            until("a stranger is refused", lambda: node.drops(endpoint).get("credentials"))


@pytest.fixture(params=["null", "plain", "curve"])
def mechanism(request, context, tmp_path):
    return Mechanism(request.param, context, tmp_path)


def forbidden(node, endpoint):
    until("eve's is dropped", lambda: node.drops(endpoint).get("forbidden"))


def test_durable(node_with, mechanism):
    node = node_with(
        ("safe", "durable", mechanism.endpoint()),
        more=mechanism.security({"who": "ada", "destinations": "orders", "allow": ["produce", "consume"]}),
    )
    ada = mechanism.socket(zmq.DEALER, node.front["safe"], "ada")
    ada.send_multipart([b"SWMQ1", b"1", b"PUT", b"orders", b"hello"])
    assert ada.recv_multipart()[2] == b"OK"
    if mechanism.knows_users:
        eve = mechanism.socket(zmq.DEALER, node.front["safe"], "eve")
        eve.send_multipart([b"SWMQ1", b"1", b"PULL", b"orders"])
        assert eve.recv_multipart()[2:4] == [b"ERROR", b"FORBIDDEN"]
    mechanism.refuses_strangers(node, "safe", zmq.DEALER)


def test_ingest_and_egress(node_with, mechanism):
    node = node_with(
        ("take", "ingest", mechanism.endpoint(queue="jobs")),
        ("give", "egress", mechanism.endpoint(queue="jobs")),
        more=mechanism.security(
            {"who": "ada", "destinations": "jobs", "allow": ["produce"]},
            {"who": "worker", "destinations": "jobs", "allow": ["consume"]},
        ),
    )
    if mechanism.knows_users:
        mechanism.socket(zmq.PULL, node.front["give"], "eve")
        mechanism.socket(zmq.PUSH, node.front["take"], "eve")
        forbidden(node, "give")
        forbidden(node, "take")
    push = mechanism.socket(zmq.PUSH, node.front["take"], "ada")
    pull = mechanism.socket(zmq.PULL, node.front["give"], "worker")
    for nth in range(100):
        push.send(b"%d" % nth)
    assert [pull.recv() for _ in range(100)] == [b"%d" % nth for nth in range(100)]
    mechanism.refuses_strangers(node, "take", zmq.PUSH)
    mechanism.refuses_strangers(node, "give", zmq.PULL)


def test_request_reply(node_with, mechanism):
    node = node_with(
        ("rpc", "request-reply", mechanism.endpoint(backend=True)),
        more=mechanism.security(
            {"who": "ada", "services": "rpc", "allow": ["request"]},
            {"who": "worker", "services": "rpc", "allow": ["serve"]},
        ),
    )
    if mechanism.knows_users:
        mechanism.socket(zmq.REP, node.back["rpc"], "eve")
        forbidden(node, "rpc")
    worker = mechanism.socket(zmq.REP, node.back["rpc"], "worker")
    ada = mechanism.socket(zmq.REQ, node.front["rpc"], "ada")
    for body in (b"hello", b"x" * 300_000):
        ada.send(body)
        assert worker.recv() == body
        worker.send(body + b", ada")
        assert ada.recv() == body + b", ada"
    mechanism.refuses_strangers(node, "rpc", zmq.REQ)


def test_pub_sub(node_with, mechanism):
    node = node_with(
        ("feed", "pub-sub", mechanism.endpoint(backend=True, last_values=True)),
        more=mechanism.security(
            {"who": "ada", "topics": "prices.*", "allow": ["publish"]},
            {"who": "worker", "topics": "prices.*", "allow": ["subscribe"]},
        ),
    )
    publisher = mechanism.socket(zmq.PUB, node.front["feed"], "ada")
    first = mechanism.socket(zmq.SUB, node.back["feed"], "worker", subscribe=b"prices.")

    def heard():
        publisher.send_multipart([b"prices.gold", b"1"])
        return first.poll(5)

    until("the first price", heard)
    publisher.send_multipart([b"prices.gold", b"2"])
    while first.recv_multipart() != [b"prices.gold", b"2"]:
        pass
    late = mechanism.socket(zmq.SUB, node.back["feed"], "worker", subscribe=b"prices.")
    assert late.recv_multipart() == [b"prices.gold", b"2"]
    if mechanism.knows_users:
        eve = mechanism.socket(zmq.SUB, node.back["feed"], "eve", subscribe=b"prices.")
        forbidden(node, "feed")
        publisher.send_multipart([b"prices.gold", b"3"])
        assert late.recv_multipart() == [b"prices.gold", b"3"]
        assert not eve.poll(100)
    mechanism.refuses_strangers(node, "feed", zmq.PUB)


def test_subscribers_with_and_without_encryption_get_the_same(context, node_with, tmp_path):
    plain, curve = (Mechanism(name, context, tmp_path) for name in ("null", "curve"))
    keys = curve.endpoint(backend=True) | {"mechanisms": ["null", "curve"]}
    rules = [{"who": who, "topics": "*", "allow": ["publish", "subscribe"]} for who in ("anybody", "worker")]
    node = node_with(("feed", "pub-sub", keys), more=curve.security(*rules))
    publisher = plain.socket(zmq.PUB, node.front["feed"], "anybody")
    subscribers = [
        one.socket(zmq.SUB, node.back["feed"], "worker", subscribe=b"") for one in (curve, plain, curve, plain)
    ]

    def heard():
        publisher.send(b"begin")
        return all(subscriber.poll(5) for subscriber in subscribers)

    until("all subscribers hear", heard)
    sent = [[b"%d" % nth, b"x" * size] for nth, size in enumerate((0, 1, 50, 200, 1000, 2000, 100_000) * 20)]
    for message in sent:
        publisher.send_multipart(message)
    for subscriber in subscribers:
        got = []
        while len(got) < len(sent):
            message = subscriber.recv_multipart()
            got += [message] if message != [b"begin"] else []
        assert got == sent


@pytest.mark.parametrize("version", [1, 2])
def test_service(node_with, mechanism, version):
    node = node_with(
        ("mdp", "service", mechanism.endpoint()),
        more=mechanism.security(
            {"who": "ada", "services": "echo", "allow": ["request"]},
            {"who": "worker", "services": "echo", "allow": ["serve"]},
        ),
    )
    header, ready, request, _, final, beat, disconnect = COMMANDS[version]
    lead = [b""] if version == 1 else []

    def worker(who):
        socket = mechanism.socket(zmq.DEALER, node.front["mdp"], who)
        socket.send_multipart([*lead, header, ready, b"echo"])
        return socket

    def heard(socket, command):
        while (frames := socket.recv_multipart())[len(lead) + 1] != command:
            assert frames[len(lead) + 1] == beat, frames
        return frames

    def ask(who, body):
        socket = mechanism.socket(zmq.DEALER, node.front["mdp"], who)
        socket.send_multipart(
            [b"", b"MDPC01", b"echo", body] if version == 1 else [b"MDPC02", b"\x01", b"echo", body]
        )
        return socket

    if mechanism.knows_users:
        heard(worker("eve"), disconnect)
        ask("eve", b"let me in")
        forbidden(node, "mdp")
    serving = worker("worker")
    ada = ask("ada", b"hello")
    asked = heard(serving, request)
    assert asked[-1] == b"hello"
    serving.send_multipart([*lead, header, final, *asked[len(lead) + 2 : -1], b"hello, ada"])
    assert ada.recv_multipart()[-1] == b"hello, ada"
    mechanism.refuses_strangers(node, "mdp", zmq.DEALER)


def test_titanic(node_with, mechanism):
    node = node_with(
        ("later", "titanic", mechanism.endpoint()),
        more=mechanism.security(
            {"who": "ada", "services": "titanic.*", "allow": ["request"]},
            {"who": "eve", "services": "titanic.*", "allow": ["request"]},
            {"who": "ada", "services": "echo", "allow": ["request"]},
        ),
    )

    def ask(who, service, *body):
        socket = mechanism.socket(zmq.REQ, node.front["later"], who)
        socket.send_multipart([b"MDPC01", service, *body])
        return socket.recv_multipart()[2:]

    status, request_id = ask("ada", b"titanic.request", b"echo", b"hello")
    assert status == b"200" and len(request_id) == 32
    assert ask("ada", b"titanic.reply", request_id) == [b"300"]
    if mechanism.knows_users:
        # Eve may use Titanic, but not the service, and knows nothing of what others have asked.
        assert ask("eve", b"titanic.request", b"echo", b"hello")[0] != b"200"
        assert ask("eve", b"titanic.reply", request_id) == [b"400"]
        assert ask("eve", b"titanic.close", request_id) == [b"200"]
    assert ask("ada", b"titanic.reply", request_id) == [b"300"]
    assert ask("ada", b"titanic.close", request_id) == [b"200"]
    assert ask("ada", b"titanic.reply", request_id) == [b"400"]
    mechanism.refuses_strangers(node, "later", zmq.DEALER)


def test_workers(node_with, mechanism):
    node = node_with(
        ("pirates", "workers", mechanism.endpoint(backend=True)),
        more=mechanism.security(
            {"who": "ada", "services": "pirates", "allow": ["request"]},
            {"who": "worker", "services": "pirates", "allow": ["serve"]},
        ),
    )
    if mechanism.knows_users:
        mechanism.socket(zmq.DEALER, node.back["pirates"], "eve").send(b"\x01")
        forbidden(node, "pirates")
    worker = mechanism.socket(zmq.DEALER, node.back["pirates"], "worker")
    worker.send(b"\x01")
    ada = mechanism.socket(zmq.REQ, node.front["pirates"], "ada")
    ada.send(b"hello")
    while (asked := worker.recv_multipart()) == [b"\x02"]:
        worker.send(b"\x02")
    worker.send_multipart([*asked[:-1], asked[-1] + b", ada"])
    assert ada.recv() == b"hello, ada"
    mechanism.refuses_strangers(node, "pirates", zmq.REQ)


def test_tap(node_with, mechanism):
    node = node_with(
        ("rpc", "request-reply", mechanism.endpoint(backend=True)),
        ("watch", "tap", mechanism.endpoint(of="rpc")),
        more=mechanism.security(
            {"who": "ada", "services": "rpc", "allow": ["request", "serve"]},
            {"who": "worker", "topics": "rpc *", "allow": ["subscribe"]},
        ),
    )
    watcher = mechanism.socket(zmq.SUB, node.front["watch"], "worker", subscribe=b"rpc in")
    if mechanism.knows_users:
        mechanism.socket(zmq.SUB, node.front["watch"], "eve", subscribe=b"rpc in")
        forbidden(node, "watch")
    ada = mechanism.socket(zmq.REQ, node.front["rpc"], "ada")
    worker = mechanism.socket(zmq.REP, node.back["rpc"], "ada")

    def seen():
        ada.send(b"question")
        worker.recv()
        worker.send(b"answer")
        ada.recv()
        return watcher.poll(5)

    until("a mirrored message", seen)
    topic, about, *frames = watcher.recv_multipart()
    assert (topic, frames[-1]) in [(b"rpc in", b"question"), (b"rpc in", b"answer")]
    assert json.loads(about)["user"] == ("ada" if mechanism.knows_users else "anybody")
    mechanism.refuses_strangers(node, "watch", zmq.SUB)
