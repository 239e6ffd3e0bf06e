"""The node's `service` endpoint beside another Majordomo broker, in one run, interleaved.

    python3 benches/zeromq/majordomo.py --broker PROGRAM [--rounds N] [--seconds S] [--node PROGRAM]

The broker is the Guide's in C, mdbroker, or another that binds tcp://*:5555 (tests/guide/README.md says how to build it). The
load, load.c, speaks Majordomo 0.1: DEALER clients with 64 requests in flight each, workers that echo, and one REQ client for
the round trips.
"""

import argparse
import statistics
import subprocess
import sys

from run import PEERS, ROOT, Ours, built, listens, measure

SIZES = (64, 1024)


class Other:
    program = None

    def __init__(self, folder, load, kind, node, keys=None):
        self.front = self.back = "tcp://127.0.0.1:5555"
        self.process = subprocess.Popen([self.program], stdout=subprocess.DEVNULL)
        listens(5555)
        if self.process.poll() is not None:
            sys.exit("the broker ended: is port 5555 free?")

    def stop(self):
        self.process.kill()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--node", default=str(ROOT / "target/release/swarmmq"))
    given = parser.parse_args()
    Other.program = given.broker
    load = built()
    print("| clients, workers | bytes | broker /s | swarmmq /s | ratio (spread) | p50 µs | p99 µs |")
    print("|---|---|---|---|---|---|---|")
    for peers in PEERS:
        for size in SIZES:
            rows = {Other: [], Ours: []}
            for _ in range(given.rounds):
                for contender in rows:
                    row = measure(contender, load, "mdp", peers, size, given.seconds, given.node)
                    rows[contender].append(row)
            theirs, ours = ([row[2] for row in rows[one]] for one in (Other, Ours))
            ratios = [mine / max(other, 1) for mine, other in zip(ours, theirs)]
            p50, p99 = (
                f"{statistics.median(row[nth] for row in rows[Ours]):.0f} against "
                f"{statistics.median(row[nth] for row in rows[Other]):.0f}"
                for nth in (0, 1)
            )
            print(
                f"| {peers} | {size} | {statistics.median(theirs):,.0f} | {statistics.median(ours):,.0f} "
                f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | {p50} | {p99} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
