"""The programs of the ZeroMQ Guide against the node, and the client library against the brokers of the Guide.

    python3 tests/guide/run.py --programs DIR [--node PROGRAM] [--patterns PROGRAM] [--only WORD]

README.md says where the programs come from. They have their ports in them (5555 to 5563), so those have to be free. Says for
each pair whether it worked, and after a crash of the node how long it took from its being up to the next answer.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORTS = (5555, 5556, 5557, 5558, 5559, 5560, 5563)
# Where the node listens instead of a port that a program of the Guide binds, which is made to connect there.
OTHER = 15555
PATIENCE = 90.0


class Failed(Exception):
    """What went wrong, for the line that says so."""


class Skipped(Exception):
    """Why a pair cannot be run."""


def until(what, is_so, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (found := is_so()):
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds:.0f} s")
        # sleep: between two looks at the condition, with a deadline.
        time.sleep(0.01)
    return found


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Program:
    """A process and what it wrote, line by line."""

    def __init__(self, stage, command, connect="", typed=None):
        self.name = pathlib.Path(command[0]).name
        self.path = stage.folder / f"{self.name}-{len(stage.programs)}.log"
        self.stage, self.command, self.connect, self.typed = stage, command, connect, typed
        self.start()

    def start(self):
        environment = dict(os.environ)
        if pathlib.Path(self.command[0]).parent == self.stage.programs_folder:
            environment |= {"LD_PRELOAD": str(self.stage.programs_folder / "ports.so"), "GUIDE_CONNECT": self.connect}
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE if self.typed else subprocess.DEVNULL,
            stdout=open(self.path, "ab"),
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=self.stage.folder,
        )
        if self.typed:
            self.process.stdin.write(self.typed)
            self.process.stdin.flush()

    def text(self):
        return self.path.read_text(errors="replace")

    def said(self, words, times=1, seconds=PATIENCE):
        """Waits until it wrote the words so often; fails at once if it ends before."""

        def is_so():
            ended = self.process.poll() is not None
            if self.text().count(words) >= times:
                return True
            if ended:
                raise Failed(f"{self.name} ended without {words!r}: {self.text()[-200:]!r}")
            return False

        until(f"{self.name} writes {words!r} {times} times", is_so, seconds)
        return self

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Stage:
    """A folder, a node if endpoints are given, and the programs of one pair, all of which end with it."""

    def __init__(self, given, *endpoints):
        self.given, self.programs_folder, self.programs = given, pathlib.Path(given.programs).resolve(), []
        self.endpoints = endpoints

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        until("the ports of the Guide are free", lambda: not any(map(listens, PORTS)), 30)
        if self.endpoints:
            lines = "\n".join(f"    - {{ {one} }}" for one in self.endpoints)
            (self.folder / "node.yaml").write_text(f"""\
node: {{ data_dir: "{self.folder / 'data'}" }}
listen: {{ native: "127.0.0.1:15540", http: "127.0.0.1:15541" }}
zeromq:
  endpoints:
{lines}
""")
            self.start_node()
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.stop()
        self.stack.close()

    def start_node(self):
        """Returns when it is up: its HTTP port listens last."""
        self.node = self.start([self.given.node, "node", "--config", str(self.folder / "node.yaml")])

        def is_up():
            if self.node.process.poll() is None:
                return listens(15541)
            if "is not a kind of endpoint" in self.node.text():
                raise Skipped("this node has no such kind of endpoint")
            raise Failed(f"the node ended: {self.node.text()[-200:]!r}")

        until("the node listens", is_up, 30)

    def crash_node(self):
        self.node.process.send_signal(signal.SIGKILL)
        self.node.process.wait()

    def start(self, command, **more):
        program = Program(self, command, **more)
        self.programs.append(program)
        return program

    def guide(self, name, *arguments, **more):
        return self.start([str(self.programs_folder / name), *arguments], **more)

    def patterns(self, *arguments):
        return self.start([str(self.given.patterns), *arguments])

    def kept_running(self, servers, client, replies):
        """Until the client has so many replies, starts again those who end, as the Guide has a person do with servers that
        crash on purpose, and with a client that gave up after three times without a reply."""

        def is_so():
            for program in (*servers, client):
                if program.process.poll() is not None:
                    program.start()
            return client.text().count("replied OK") >= replies

        until("all is answered", is_so)
        text = client.text()
        return f"{text.count('retrying')} retries of the client, and {text.count('abandoning')} times it gave up"


SERVICE = 'name: mdp, kind: service, bind: "tcp://127.0.0.1:5555"'
TITANIC = 'name: tsp, kind: titanic, bind: "tcp://127.0.0.1:5555"'
WORKERS = 'name: ppp, kind: workers, bind: "tcp://127.0.0.1:5555", backend: "tcp://127.0.0.1:5556"'


def request_reply(front, back):
    return f'name: rr, kind: request-reply, bind: "tcp://127.0.0.1:{front}", backend: "tcp://127.0.0.1:{back}"'


def pub_sub(front, back, last_values="false"):
    return (
        f'name: ps, kind: pub-sub, bind: "tcp://127.0.0.1:{front}", backend: "tcp://127.0.0.1:{back}", '
        f"last_values: {last_values}"
    )


def instead(port, node=OTHER):
    return f"{port}=tcp://127.0.0.1:{node}"


def majordomo(given):
    """service: mdworker, mdclient"""
    with Stage(given, SERVICE) as stage:
        stage.guide("mdworker")
        stage.guide("mdclient").said("100000 requests/replies processed")


def majordomo_asynchronous(given):
    """service: mdworker, mdclient2"""
    with Stage(given, SERVICE) as stage:
        stage.guide("mdworker")
        stage.guide("mdclient2").said("100000 replies received")


def majordomo_management(given):
    """service: mmiecho, without a worker and with one"""
    with Stage(given, SERVICE) as stage:
        stage.guide("mmiecho").said("Lookup echo service: 404")
        stage.guide("mdworker")

        def found():
            return "200" in stage.guide("mmiecho").said("Lookup echo service: ").text()

        until("the worker is found", found, 10)


def majordomo_crash(given):
    """service: mdworker, mdclient, over a crash of the node"""
    with Stage(given, SERVICE) as stage:
        stage.guide("mdworker")
        client = stage.guide("mdclient", "-v").said("I: received reply:", 100)
        stage.crash_node()
        before = client.text().count("I: received reply:")
        stage.start_node()
        up = time.monotonic()
        client.said("I: received reply:", before + 1)
        took = time.monotonic() - up
        client.said("I: received reply:", before + 100)
        if took > 2 * 3 * 2.5:
            raise Failed(f"the first answer took {took:.1f} s, more than two times the liveness of 7.5 s")
        return f"the first answer {took:.2f} s after the node was up"


def paranoid_pirate(given):
    """workers: three ppworker, lpclient"""
    with Stage(given, WORKERS) as stage:
        workers = [stage.guide("ppworker") for _ in range(3)]
        client = stage.guide("lpclient")
        return stage.kept_running(workers, client, 20)


def paranoid_pirate_crash(given):
    """workers: three ppworker, lpclient, over a crash of the node"""
    with Stage(given, WORKERS) as stage:
        workers = [stage.guide("ppworker") for _ in range(3)]
        client = stage.guide("lpclient").said("server replied OK", 3)
        stage.crash_node()
        before = client.text().count("replied OK")
        stage.start_node()
        up = time.monotonic()
        stage.kept_running(workers, client, before + 1)
        took = time.monotonic() - up
        # The worker itself sleeps a second after each reply, and another before it connects again.
        if took > 2 * 3 * 1.0 + 2:
            raise Failed(f"the first answer took {took:.1f} s, more than two times the liveness of 3 s and 2 s")
        return f"the first answer {took:.2f} s after the node was up"


def broker(given):
    """request-reply: rrworker, rrclient"""
    with Stage(given, request_reply(5559, 5560)) as stage:
        stage.guide("rrworker")
        stage.guide("rrclient").said("Received reply 9 [World]")


def hello_world(given):
    """request-reply: hwserver, hwclient"""
    with Stage(given, request_reply(5555, OTHER)) as stage:
        stage.guide("hwserver", connect=instead(5555))
        stage.guide("hwclient").said("Received World 9")


def lazy_pirate(given):
    """request-reply: lpserver, lpclient"""
    with Stage(given, request_reply(5555, OTHER)) as stage:
        server = stage.guide("lpserver", connect=instead(5555))
        client = stage.guide("lpclient")
        return stage.kept_running([server], client, 8)


def weather(given):
    """pub-sub: wuserver, wuclient"""
    with Stage(given, pub_sub(OTHER, 5556)) as stage:
        stage.guide("wuserver", connect=instead(5556))
        # Each update is about one code of 100,000, and the client wants 100 of its own: of those that begin so.
        stage.guide("wuclient", "1").said("Average temperature for zipcode '1' was")


def envelopes(given):
    """pub-sub: psenvpub, psenvsub"""
    with Stage(given, pub_sub(OTHER, 5563)) as stage:
        stage.guide("psenvpub", connect=instead(5563))
        subscriber = stage.guide("psenvsub").said("[B] We would like to see this", 2)
        if "[A]" in subscriber.text():
            raise Failed("it got what it did not subscribe to")


def last_values(given):
    """pub-sub with last values: pathopub, pathosub that come later"""
    with Stage(given, pub_sub(5557, 5558, "true")) as stage:
        publisher = stage.guide("pathopub", "tcp://*:5556", connect=instead(5556, 5557))
        # The first comes before anything is published, so that what it gets is no last value.
        first = stage.guide("pathosub", "tcp://localhost:5558")
        until("all is published", lambda: first.text().splitlines())
        for _ in range(5):
            # sleep: pathosub chooses its topic, one of a thousand, by the second in which it starts.
            time.sleep(1.1)
            # What was said of a topic is either of two things.
            subscriber = stage.guide("pathosub", "tcp://localhost:5558")
            until("a last value", lambda one=subscriber: one.text().splitlines())
            if subscriber.text().splitlines()[0] not in ("Save Roger", "Off with his head!"):
                raise Failed(f"it got {subscriber.text()!r}")
        if publisher.process.poll() is not None:
            raise Failed(f"the publisher ended: {publisher.text()!r}")


def parallel_tasks(given):
    """ingest and egress: taskvent, two taskwork, tasksink"""
    with Stage(
        given,
        f'name: tasks-in, kind: ingest, bind: "tcp://127.0.0.1:{OTHER}", queue: tasks',
        'name: tasks-out, kind: egress, bind: "tcp://127.0.0.1:5557", queue: tasks, prefetch: 1',
        'name: results-in, kind: ingest, bind: "tcp://127.0.0.1:5558", queue: results',
        f'name: results-out, kind: egress, bind: "tcp://127.0.0.1:{OTHER + 1}", queue: results',
    ) as stage:
        sink = stage.guide("tasksink", connect=instead(5558, OTHER + 1))
        for _ in range(2):
            stage.guide("taskwork")
        stage.guide("taskvent", connect=instead(5557), typed=b"\n").said("Total expected cost")
        sink.said("Total elapsed time")


def titanic(given):
    """titanic: mdworker, ticlient"""
    with Stage(given, TITANIC) as stage:
        stage.guide("mdworker")
        stage.guide("ticlient").said("Reply: Hello world")


def titanic_crash(given):
    """titanic: ticlient, over a crash of the node, and mdworker that comes after it"""
    with Stage(given, TITANIC) as stage:
        client = stage.guide("ticlient").said("no reply yet")
        stage.crash_node()
        stage.start_node()
        up = time.monotonic()
        stage.guide("mdworker")
        client.said("Reply: Hello world")
        # The client itself asks every 5 s.
        return f"the reply {time.monotonic() - up:.2f} s after the node was up"


def library_calls(given):
    """mdbroker, mdworker: the library's call"""
    with Stage(given) as stage:
        stage.guide("mdbroker").said("is active")
        stage.guide("mdworker")
        stage.patterns("call", "1", "tcp://127.0.0.1:5555", "echo", "hello").said("reply hello")


def library_works(given):
    """mdbroker, mdclient: the library's worker"""
    with Stage(given) as stage:
        stage.guide("mdbroker").said("is active")
        stage.patterns("work", "1", "tcp://127.0.0.1:5555", "echo")
        # The patterns are a debug build: 100,000 requests took them a minute.
        stage.guide("mdclient").said("100000 requests/replies processed", seconds=3 * PATIENCE)


def library_behind_queue(given):
    """ppqueue, lpclient: the library's worker"""
    with Stage(given) as stage:
        stage.guide("ppqueue")
        stage.patterns("work-behind-queue", "tcp://127.0.0.1:5556")
        stage.guide("lpclient").said("server replied OK (100)")


def library_asks_queue(given):
    """ppqueue, ppworker: the library's request"""
    with Stage(given) as stage:
        stage.guide("ppqueue")
        stage.guide("ppworker")
        stage.patterns("request", "tcp://127.0.0.1:5555", "hello").said("reply hello")


def library_asks_server(given):
    """lpserver: the library's request"""
    with Stage(given) as stage:
        stage.guide("lpserver")
        stage.patterns("request", "tcp://127.0.0.1:5555", "hello").said("reply hello")


def library_stores(given):
    """mdbroker, titanic, mdworker: the library's store"""
    with Stage(given) as stage:
        stage.guide("mdbroker").said("is active")
        stage.guide("mdworker")
        stage.guide("titanic")
        stage.patterns("store", "tcp://127.0.0.1:5555", "echo", "hello").said("reply hello")


def library_subscribes(given):
    """lvcache, pathopub: the library's subscriber"""
    with Stage(given) as stage:
        stage.guide("lvcache")
        stage.guide("pathopub", "tcp://*:5556", connect=instead(5556, 5557))
        for topic in ("000", "042", "999"):
            subscriber = stage.patterns("watch", "tcp://127.0.0.1:5558", topic)
            until("a last value", lambda one=subscriber: one.text().startswith(f"{topic} "))


PAIRS = (
    majordomo,
    majordomo_asynchronous,
    majordomo_management,
    majordomo_crash,
    paranoid_pirate,
    paranoid_pirate_crash,
    broker,
    hello_world,
    lazy_pirate,
    weather,
    envelopes,
    last_values,
    parallel_tasks,
    titanic,
    titanic_crash,
    library_calls,
    library_works,
    library_behind_queue,
    library_asks_queue,
    library_asks_server,
    library_stores,
    library_subscribes,
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="the folder that build.sh filled")
    parser.add_argument("--node", default=str(ROOT / "target/release/swarmmq"))
    parser.add_argument("--patterns", default=str(ROOT / "target/debug/examples/patterns"))
    parser.add_argument("--only", default="", help="pairs whose name or line has this in it")
    given = parser.parse_args()
    failed = 0
    for pair in PAIRS:
        if given.only not in pair.__name__ and given.only not in pair.__doc__:
            continue
        began = time.monotonic()
        try:
            found = pair(given)
            said = f"ok ({found})" if found else "ok"
        except Skipped as why:
            said = f"skipped: {why}"
        except Failed as error:
            failed += 1
            said = f"FAILED: {error}"
        print(f"{pair.__doc__}: {said} [{time.monotonic() - began:.1f} s]", flush=True)
    sys.exit(failed > 0)


main()
