"""Judges the share with tests and clients that others wrote. Started by `run`; see --help."""

import argparse
import queue
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from environments import PLAIN, SIGNED, TICKETS, Place, environment, place_of
from expectations import Known, known_failures, samba_results, surprises
from report import put_table, suite_rows
from servers import make_pool
from smbtorture import Outcome, group_of, run_group

WORKERS = (PLAIN, PLAIN, TICKETS, SIGNED)
"""Suites at a time, each of these on a server of its own: most suites wait for timers, and their files have the same names."""

LONG_FIRST = (
    "smb2.multichannel.leases", "smb2.multichannel.oplocks", "smb2.replay", "smb2.lease", "smb2.oplock", "smb2.session",
    "smb2.durable-v2-open", "smb2.notify", "smb2.maxfid", "smb2.scan",
)  # fmt: skip

QUICK = (
    "smb2.acls", "smb2.charset", "smb2.compound", "smb2.compound_find", "smb2.connect", "smb2.create", "smb2.credits",
    "smb2.delete-on-close-perms", "smb2.deny", "smb2.dir", "smb2.durable-open", "smb2.fileid", "smb2.getinfo",
    "smb2.ioctl", "smb2.lock", "smb2.mkdir", "smb2.read", "smb2.rename", "smb2.rw", "smb2.session-require-signing",
    "smb2.setinfo", "smb2.sharemode", "smb2.streams", "smb2.tcon", "smb2.winattr",
)  # fmt: skip
"""Suites that hold most of the list and take well under three minutes together."""


@dataclass(frozen=True)
class Job:
    """Tests of one group at one place. `whole`: the group has no others."""

    place: Place
    group: str
    tests: Sequence[str]
    whole: bool


def main() -> int:
    arguments = _arguments()
    known, samba = known_failures(), samba_results()
    wanted = set(_wanted(arguments, samba))
    tests = [test for test in samba if group_of(test) in wanted and not _left_out(known.get(test))]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="odxfs-conformance-") as base:
        outcomes, complaints = _run_all(Path(base), tests)
    if arguments.results:
        _write_results(arguments.results, outcomes)
    if arguments.write:
        put_table("suite", suite_rows(outcomes, samba))
    found = [*surprises(outcomes, known), *complaints]
    print(*found, sep="\n", end="\n" if found else "")
    _print_total(outcomes, samba, time.monotonic() - began)
    return 1 if found else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/conformance/run",
        description="Run smbtorture's smb2.* list against a server of this tree, and compare with known_failures.tsv and with "
        "Samba. Ends with 1 when a test fails that is not known to, when one passes that is known to fail, and when "
        "the server complains.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--quick", action="store_true", help="the suites that take under three minutes together"
    )
    what.add_argument("--suites", help="these alone, by commas: smb2.lock,smb2.multichannel.leases")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write test, result, reason to FILE")
    parser.add_argument(
        "--write", action="store_true", help="write the table of the guide (of a run of everything)"
    )
    arguments = parser.parse_args()
    if arguments.write and (arguments.quick or arguments.suites):
        parser.error("--write is for a run of everything")
    return arguments


def _wanted(arguments: argparse.Namespace, samba: Mapping[str, str]) -> Iterable[str]:
    groups = {group_of(test) for test in samba}
    if arguments.quick:
        return QUICK
    if not arguments.suites:
        return groups
    wanted = arguments.suites.split(",")
    if missing := [name for name in wanted if name not in groups]:
        raise SystemExit(f"no such suites: {', '.join(missing)}")
    return wanted


def _left_out(known: Known | None) -> bool:
    return known is not None and known.kind == "not-run"


def _run_all(base: Path, tests: Sequence[str]) -> tuple[dict[str, Outcome], list[str]]:
    """The outcomes of the tests, and what the servers had to complain about."""
    waiting: dict[str, queue.SimpleQueue[Job]] = {}
    for job in _jobs(tests):
        waiting.setdefault(job.place.kind, queue.SimpleQueue()).put(job)
    outcomes: dict[str, Outcome] = {}
    complaints: list[str] = []
    make_pool(base / "template")
    with ThreadPoolExecutor(len(WORKERS)) as workers:
        done = [
            workers.submit(_work, kind, base / f"{kind}-{number}", waiting[kind], outcomes)
            for number, kind in enumerate(WORKERS)
            if kind in waiting
        ]
        for worker in done:
            complaints += worker.result()
    return outcomes, complaints


def _jobs(tests: Iterable[str]) -> Sequence[Job]:
    groups: dict[str, dict[Place, list[str]]] = {}
    for test in tests:
        groups.setdefault(group_of(test), {}).setdefault(place_of(test), []).append(test)
    rank = {name: number for number, name in enumerate(LONG_FIRST)}
    return [
        Job(place, group, there, whole=len(groups[group]) == 1)
        for group in sorted(groups, key=lambda name: (rank.get(name, len(rank)), name))
        for place, there in groups[group].items()
    ]


def _work(
    kind: str, base: Path, waiting: "queue.SimpleQueue[Job]", outcomes: dict[str, Outcome]
) -> list[str]:
    """Work through jobs on a server of its own; what that had to complain about. Runs in a thread of its own, once."""
    with environment(kind, base, base.with_name("template")) as where:
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return where.server.complaints()
            began = time.monotonic()
            found = run_group(where, job.place, job.group, job.tests, whole=job.whole)
            outcomes.update(found)
            passed = sum(outcome.kind == "pass" for outcome in found.values())
            name = f"{job.group} ({job.place.share})"
            print(
                f"{name:38} {passed:3} of {len(job.tests):3} pass  {time.monotonic() - began:6.1f} s",
                flush=True,
            )


def _write_results(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    lines = [f"{test}\t{outcome.kind}\t{outcome.reason}\n" for test, outcome in sorted(outcomes.items())]
    path.write_text("".join(lines), encoding="utf-8")


def _print_total(outcomes: Mapping[str, Outcome], samba: Mapping[str, str], seconds: float) -> None:
    ours = sum(outcome.kind == "pass" for outcome in outcomes.values())
    theirs = sum(samba[test] == "pass" for test in outcomes)
    print(f"{ours} of {len(outcomes)} pass, of Samba's {theirs}; {seconds:.0f} s")


if __name__ == "__main__":
    raise SystemExit(main())
