"""Hours of mixed load on one pool that is mounted and shared at once; exit code 0 says that nothing was wrong.

Usage: scripts/soak/run [--hours H | --minutes M] [--share-of-time PART] [--port PORT] [--work DIR] [--seed N] [--without-kernel]

Clients of eight kinds (smbclient, smbprotocol, programs on the mount, git, tokens, odxfs cp, snapshots, the Linux kernel's in a
virtual machine) check all they read against what they know to have written, are killed at random and come back. At the end:
nothing of them is left in the server, its memory is flat, its log without a warning, fsck --data finds nothing, and every file is
what it must be, also after the pool was mounted anew. Writes report.txt, samples.jsonl and soak.svg into DIR, whose other content
it deletes when all is well. Where there can be no virtual machine it does not begin, unless it is told --without-kernel.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import judging
import served
from chart import Chart, write_charts
from crowd import Crowd
from kernel_guest import make_guests_machine
from machine import GuestMissing, accelerator
from place import CLIENTS, KERNEL, CommandFailed, open_counts
from sampling import Sample, append, take_sample
from work_directory import work_directory

SAMPLE_SECONDS = 10.0
LOOK_SECONDS = 1.0
MOST_POOL_MIB = 10 * 1024
LEAST_FREE_BYTES = 20 * 1024**3
MOST_FINDINGS = 10
"""Past so many there is no point in going on."""


class Soak:
    """One run in a directory."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.work: Path = arguments.work
        self.seconds: float = arguments.hours * 3600 + arguments.minutes * 60
        self.port: int = arguments.port
        self.samples: list[Sample] = []
        self.findings: list[str] = []
        self.began = time.monotonic()
        clients = [name for name in CLIENTS if name != KERNEL or not arguments.without_kernel]
        self.crowd = Crowd(
            clients, self.work, self.port, arguments.share_of_time, random.Random(arguments.seed)
        )

    def prepare(self) -> None:
        """Say first whether the kernel's client takes part; make what it boots from. Raises GuestMissing."""
        if KERNEL not in self.crowd.clients:
            self._say("WITHOUT the Linux kernel's client, as --without-kernel asks")
            return
        version = make_guests_machine(self.work).version
        self._say(f"the Linux kernel's client is that of {version}, in a guest that runs by {accelerator()}")

    def run(self) -> None:
        """From the empty pool to the report."""
        self.began = time.monotonic()
        server = served.start(self.work, self.port)
        self._say(f"serving {server.pool} by process {server.pid} on port {self.port}")
        try:
            self._load_with_clients(server)
        except (KeyboardInterrupt, SystemExit):
            server.stop()
            raise
        self._say("all clients have been killed")
        self._note(judging.judge_growth(self.samples))
        self._note(judging.judge_rest(server, self.began))
        self.samples.append(take_sample(server, self.began))
        self._note(judging.judge_files(self.work, self.port))
        server.stop()
        self._note(finding for finding in [served.check_pool(server.pool)] if finding)
        again = served.start(self.work, self.port)
        self._note(f"after mounting anew: {finding}" for finding in judging.judge_files(self.work, self.port))
        again.stop()
        self._note(f"log: {line}" for line in server.alarms())

    def _load_with_clients(self, server: served.Server) -> None:
        self.crowd.start()
        try:
            self._load(server)
        finally:
            self.crowd.stop()

    def _load(self, server: served.Server) -> None:
        next_sample = time.monotonic()
        while time.monotonic() < self.began + self.seconds and len(self.findings) < MOST_FINDINGS:
            self._note(self.crowd.look())
            self.crowd.kill_some()
            if time.monotonic() >= next_sample:
                next_sample += SAMPLE_SECONDS
                self.samples.append(take_sample(server, self.began))
                append(self.work / "samples.jsonl", self.samples[-1])
                if (
                    self.samples[-1].pool_mib > MOST_POOL_MIB
                    or served.free_bytes(self.work) < LEAST_FREE_BYTES
                ):
                    self._note(["the pool takes more of the disk than it may"])
                    return
                if len(self.samples) % 30 == 0:
                    self._say(_sentence(self.samples[-1]))
                    self.draw()
            time.sleep(LOOK_SECONDS)

    def _note(self, findings: Iterator[str] | list[str]) -> None:
        for finding in findings:
            self._say(f"FINDING: {finding}")
            self.findings.append(finding)

    def _say(self, words: str) -> None:
        print(f"{datetime.now(UTC):%H:%M:%S} {words}", flush=True)

    def report(self) -> str:
        """What was done, what was seen and what was wrong."""
        used = [sample.resident_mib for sample in self.samples] or [0.0]
        lines = [
            f"soak of {(time.monotonic() - self.began) / 3600:.2f} hours, {self.crowd.kills.total()} clients killed and back",
            f"{'client':13} {'operations':>11} {'written GiB':>12} {'verified GiB':>13} {'killed':>7}",
        ]
        for client in self.crowd.clients:
            operations, written, verified = (int(count) for count in open_counts(self.work, client))
            lines.append(
                f"{client:13} {operations:11,} {written / 2**30:12.2f} {verified / 2**30:13.2f} {self.crowd.kills[client]:7}"
            )
        if KERNEL not in self.crowd.clients:
            lines.append(f"{KERNEL:13} left out by --without-kernel")
        most = {
            name: max((getattr(sample, name) for sample in self.samples), default=0)
            for name in (
                "descriptors",
                "threads",
                "connections",
                "sessions",
                "opens",
                "parked_opens",
                "tokens",
                "pins",
            )
        }
        lines.append(f"memory {min(used):.0f} to {max(used):.0f} MiB; at most {most}")
        if self.samples:
            last = self.samples[-1]
            lines.append(
                f"processor {last.processor_seconds / max(1, last.seconds):.0%} of one core; {_sentence(last)}"
            )
        judged = "" if judging.is_judged(self.samples) else "NOT JUDGED, the run was too short for it: "
        lines.append(f"memory's rule: {judged}{judging.RULE}")
        lines += [f"FINDING: {finding}" for finding in self.findings] or ["nothing was wrong"]
        return "\n".join(lines) + "\n"

    def draw(self) -> None:
        """The numbers over time."""

        def over_time(*names: str) -> dict[str, list[tuple[float, float]]]:
            return {
                name.replace("_", " "): [(each.seconds / 60, getattr(each, name)) for each in self.samples]
                for name in names
            }

        charts = [
            Chart("Resident memory of the server", "minutes", "MiB", over_time("resident_mib")),
            Chart("What clients hold", "minutes", "", over_time("connections", "sessions", "opens", "parked_opens", "tokens")),
            Chart("Descriptors, threads, pins", "minutes", "", over_time("descriptors", "threads", "pins")),
            Chart("Pool on the disk", "minutes", "MiB", over_time("pool_mib")),
        ]  # fmt: skip
        write_charts(self.work / "soak.svg", charts)


def _sentence(sample: Sample) -> str:
    return (
        f"{sample.resident_mib:.0f} MiB, {sample.descriptors} descriptors, {sample.threads} threads, "
        f"{sample.sessions} sessions, {sample.opens} opens ({sample.parked_opens} parked), {sample.tokens} tokens, "
        f"{sample.pins} pins, pool {sample.pool_mib:,.0f} MiB"
    )


def main() -> int:
    """Run, report, clean up."""
    arguments = _arguments()
    if any(arguments.work.iterdir()):
        raise SystemExit(f"{arguments.work} is not empty")
    # kill(1) ends it as an interrupt does: no client and no mount stays behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    soak = Soak(arguments)
    try:
        soak.prepare()
        soak.run()
    except KeyboardInterrupt:
        soak.findings.append("the soak was interrupted")
    except GuestMissing as error:
        arguments.work.rmdir()
        raise SystemExit(
            f"soak: no guest for the Linux kernel's client (--without-kernel goes on without it): {error}"
        ) from error
    except (CommandFailed, OSError) as error:
        soak.findings.append(f"the soak could not go on: {error}")
    report = soak.report()
    (arguments.work / "report.txt").write_text(report)
    soak.draw()
    print(report, end="")
    if soak.findings:
        print(f"all is kept in {arguments.work}")
        return 1
    for path in arguments.work.iterdir():
        if path.name not in {"report.txt", "samples.jsonl", "soak.svg"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument(
        "--share-of-time",
        type=float,
        default=0.15,
        metavar="PART",
        help="of each client that it works and does not rest",
    )
    parser.add_argument("--port", type=int, default=4480)
    parser.add_argument(
        "--work", type=work_directory, default=None, help="an empty directory on a real disk with 12 GiB free"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the kills")
    parser.add_argument(
        "--without-kernel", action="store_true", help="leave out the client that needs a virtual machine"
    )
    arguments = parser.parse_args()
    if not arguments.hours and not arguments.minutes:
        arguments.minutes = 3.0
    if arguments.work is None:
        arguments.work = Path(tempfile.mkdtemp(prefix="odxfs-soak-"))
    return arguments


if __name__ == "__main__":
    sys.exit(main())
