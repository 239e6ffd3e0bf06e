"""The node's ZeroMQ proxies beside libzmq's zmq_proxy, in one run, interleaved.

    python3 benches/zeromq/run.py [--rounds N] [--seconds S] [--node PROGRAM] [--only rr|ps] [--sizes N,N] [--peers N,N]
                                  [--curve | --lean WINDOW]

Needs a C compiler and libzmq's headers (Debian: libzmq3-dev). The load is the same for both: load.c, on libzmq, or, with
--lean, lean.c, which costs next to nothing, with so many requests of each client in flight. With --curve everything is
encrypted: the node then knows the key of its one user, and the proxy takes any key.
"""

import argparse
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SIZES = (64, 1024, 65536)
PEERS = (1, 8)


def ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def listens(port):
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"nothing listens on port {port}")


class Keys:
    """The node's pair, or the proxy's, and one of all peers."""

    def __init__(self, load):
        self.server, self.peer = ([*subprocess.check_output([load, "keys"], text=True).split()] for _ in range(2))

    def environment(self, pair):
        public, secret = pair
        return os.environ | {"CURVE_SERVER": self.server[0], "CURVE_PUBLIC": public, "CURVE_SECRET": secret}

    def configuration(self, folder):
        """More keys of an endpoint, and the user."""
        secret = folder / "node.key"
        secret.touch(mode=0o600)
        secret.write_text(self.server[1])
        user = f'security: {{ users: [{{ name: load, curve_public_key: "{self.peer[0]}" }}] }}'
        return f', mechanisms: [curve], curve_secret_key_file: "{secret}"', user


class Libzmq:
    name = "zmq_proxy"

    def __init__(self, folder, load, kind, node, keys=None):
        front, back = ports(2)
        self.front, self.back = f"tcp://127.0.0.1:{front}", f"tcp://127.0.0.1:{back}"
        environment = keys.environment(keys.server) if keys else None
        self.process = subprocess.Popen([load, "proxy", kind, self.front, self.back], env=environment)
        listens(front)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Ours:
    name = "swarmmq"

    def __init__(self, folder, load, kind, node, keys=None):
        front, back, native, http = ports(4)
        self.front, self.back = f"tcp://127.0.0.1:{front}", f"tcp://127.0.0.1:{back}"
        kind = {"rr": "request-reply", "ps": "pub-sub", "mdp": "service"}[kind]
        curve, user = keys.configuration(folder) if keys else ("", "")
        backend = "" if kind == "service" else f', backend: "{self.back}"'
        config = folder / "node.yaml"
        config.write_text(
            f"""node: {{ data_dir: "{folder / 'data'}" }}
listen: {{ native: "127.0.0.1:{native}", http: "127.0.0.1:{http}" }}
telemetry: {{ log_level: warn }}
zeromq:
  endpoints:
    - {{ name: bench, kind: {kind}, bind: "{self.front}"{backend}{curve} }}
{user}
"""
        )
        self.process = subprocess.Popen(
            [node, "--quiet", "node", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        listens(front)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measure(contender, load, kind, peers, size, seconds, node, keys=None, lean=None):
    with tempfile.TemporaryDirectory() as folder:
        running = contender(pathlib.Path(folder), load, kind, node, keys)
        try:
            command = [load, kind, running.front, running.back, str(peers), str(size), str(seconds)]
            if lean:
                command = [lean.program, *command[1:], str(lean.window)]
            environment = keys.environment(keys.peer) if keys else None
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout.split()
        finally:
            running.stop()
    return [float(one) for one in out]


class Lean:
    """The load that costs next to nothing."""

    def __init__(self, window):
        self.program, self.window = built("lean"), window


def built(name="load"):
    program = str(pathlib.Path(tempfile.mkdtemp()) / name)
    subprocess.run(["cc", "-O2", "-o", program, str(HERE / f"{name}.c"), "-lzmq", "-lpthread"], check=True)
    return program


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--node", default=str(ROOT / "target/release/swarmmq"))
    parser.add_argument("--only", choices=("rr", "ps"))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="bytes of a message")
    parser.add_argument("--peers", default=",".join(map(str, PEERS)), help="peers a side")
    load_kind = parser.add_mutually_exclusive_group()
    load_kind.add_argument("--curve", action="store_true")
    load_kind.add_argument("--lean", type=int, metavar="WINDOW", help="requests of a client in flight")
    given = parser.parse_args()
    load = built()
    keys = Keys(load) if given.curve else None
    lean = Lean(given.lean) if given.lean else None
    print("| pattern | peers a side | bytes | zmq_proxy /s | swarmmq /s | ratio (spread) | p50 µs | p99 µs |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, name in (("rr", "request-reply"), ("ps", "pub-sub")):
        if given.only not in (None, kind):
            continue
        for peers in map(int, given.peers.split(",")):
            for size in map(int, given.sizes.split(",")):
                rows = {Libzmq: [], Ours: []}
                for _ in range(given.rounds):
                    for contender in rows:
                        row = measure(contender, load, kind, peers, size, given.seconds, given.node, keys, lean)
                        rows[contender].append(row)
                theirs, ours = ([row[2] for row in rows[one]] for one in (Libzmq, Ours))
                ratios = [mine / max(other, 1) for mine, other in zip(ours, theirs)]
                latency = ["-", "-"]
                if kind == "rr" and not lean:
                    latency = [
                        f"{statistics.median(row[nth] for row in rows[Ours]):.0f} against "
                        f"{statistics.median(row[nth] for row in rows[Libzmq]):.0f}"
                        for nth in (0, 1)
                    ]
                print(
                    f"| {name} | {peers} | {size} | {statistics.median(theirs):,.0f} | {statistics.median(ours):,.0f} "
                    f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {latency[0]} | {latency[1]} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
