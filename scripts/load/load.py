"""Many connections and opens at once on one server; exit code 0 says that nobody met an error and nothing was left behind.

Usage: scripts/load/run [--connections N] [--opens N] [--busy N] [--in-flight N] [--seconds S] [--rounds N]

All connections log in at the same moment. A few are busy, with many reads in flight; the others read a block a second. Every
block is compared. Memory is bounded when a second round needs no more than the first, at its peak and when all have gone.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import trio
from child import resident_mib
from crowds import crowd
from files import make_files
from peers import ODXFS, Peer, run, serve_pool
from work_directory import work_directory

PAUSE_SECONDS = 1.0
GONE_SECONDS = 20.0
GROWTH_PART, GROWTH_MIB = 0.1, 10.0
"""What a later round may need more than the first."""
FAIR_TIMES = 3.0
"""How many times as much as the slowest busy connection the quickest one may get done."""


def main() -> int:
    """All rounds, and the judgement."""
    arguments = _arguments()
    findings: list[str] = []
    with tempfile.TemporaryDirectory(prefix=".odxfs-load-", dir=arguments.work) as work:
        pool = Path(work, "pool")
        run(str(ODXFS), "mkfs", str(pool))
        with serve_pool(pool, arguments.port) as peer:
            trio.run(make_files, peer.port)
            pid = int(_status(peer)["pid"])
            print(f"{resident_mib(pid):.0f} MiB resident before the first connection")
            memory = [_round(arguments, peer, pid, findings) for _ in range(arguments.rounds)]
    for peak, after in memory[1:]:
        for name, found, first in (("at the peak", peak, memory[0][0]), ("afterwards", after, memory[0][1])):
            if found > first * (1 + GROWTH_PART) + GROWTH_MIB:
                findings.append(f"memory {name}: {found:.0f} MiB, in the first round {first:.0f} MiB")
    print(*(f"FINDING: {finding}" for finding in findings), sep="\n")
    return 1 if findings else 0


def _round(arguments: argparse.Namespace, peer: Peer, pid: int, findings: list[str]) -> tuple[float, float]:
    """Log in, work, leave; MiB resident at the peak and after it."""
    quiet = arguments.connections - arguments.busy
    each = arguments.opens // arguments.connections
    with ExitStack() as stack:
        crowds = {
            "quiet": stack.enter_context(crowd(peer.port, quiet, each, 1, PAUSE_SECONDS)),
            "busy": stack.enter_context(crowd(peer.port, arguments.busy, each, arguments.in_flight, 0.0)),
        }
        for name, each_crowd in crowds.items():
            told = each_crowd.answer()
            print(
                f"{told['arrived']} {name} connections are in after {told['seconds']:.1f} s, "
                f"the slowest login {told['slowest_login']:.2f} s"
            )
        status = _status(peer)["smb_server"]
        print(
            f"the server has {status['connections']} connections, {status['opens']} opens, {resident_mib(pid):.0f} MiB"
        )
        for each_crowd in crowds.values():
            each_crowd.tell(f"work {arguments.seconds}")
        peak = _watch(pid, arguments.seconds)
        for name, each_crowd in crowds.items():
            _judge(name, each_crowd.answer(), arguments, findings)
    left = _wait_until_gone(peer)
    if any(left.values()):
        findings.append(f"left behind: {left}")
    after = resident_mib(pid)
    peak = max(peak, after)
    print(f"{peak:.0f} MiB at the peak, {after:.0f} MiB after all have gone")
    return peak, after


def _judge(name: str, told: dict[str, Any], arguments: argparse.Namespace, findings: list[str]) -> None:
    done = told["done"] or [0]
    least, middle, most = min(done), statistics.median(done), max(done)
    print(
        f"{name}: {sum(done) / arguments.seconds:,.0f} reads/s; a connection {least:,} at least, {middle:,.0f} in the middle, "
        f"{most:,} at most; slowest answer {told['slowest']:.2f} s; {told['errors']} errors"
    )
    if told["errors"]:
        findings.append(f"{name}: {told['errors']} errors, such as {told['first_errors']}")
    if most > FAIR_TIMES * max(1, least):
        findings.append(f"{name}: one connection got {most:,} reads, another {least:,}")


def _watch(pid: int, seconds: float) -> float:
    peak, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        peak = max(peak, resident_mib(pid))
        time.sleep(0.5)
    return peak


def _wait_until_gone(peer: Peer) -> dict[str, int]:
    end = time.monotonic() + GONE_SECONDS
    while True:
        clients = _status(peer)["smb_server"]
        left = {name: clients[name] for name in ("connections", "sessions", "opens", "parked_opens")}
        if not any(left.values()) or time.monotonic() > end:
            return left
        time.sleep(0.2)


def _status(peer: Peer) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run(str(ODXFS), "status", "--json", peer.pool))
    return told


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/load/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--opens", type=int, default=10_000)
    parser.add_argument("--busy", type=int, default=8)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--port", type=int, default=4481)
    parser.add_argument("--work", type=work_directory, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
