"""Speed and size of odxfs beside others in the same run: medians and ratios, never a pass or fail.

Usage: scripts/bench/run [--only WORD] [--long] [--list] [--rounds N] [--seconds S] [--work DIR] [--pictures DIR]
    [--no-history]
WORD is a set ("engine") or a part of a row's label ("random write"). Every measurement of one side is followed by the same
of the other, round after round, so that a noisy neighbour hits both. Sets marked "long" run when named or with --long.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aging
import big_file
import copies
import engine
import fragmentation
import fuse
import many_files
import sizes
import smb
from rows import HERE, Row, Settings, append_history, show
from work_directory import work_directory


@dataclass(frozen=True)
class Set:
    """Rows that are measured together."""

    title: str
    measure: Callable[[Settings], Iterator[Row]]
    labels: tuple[str, ...]
    is_long: bool = False


SETS = {
    "smb": Set("the share beside Samba on the same disk", smb.measure, smb.LABELS),
    "copies": Set("copies by token of disks", copies.measure, copies.LABELS, is_long=True),
    "engine": Set("the volume without front end, one thread", engine.measure, engine.LABELS),
    "mount": Set("the mount beside pyfuse3 serving memory", fuse.measure, fuse.LABELS),
    "aging": Set(
        "a disk under random writes, minute after minute", aging.measure, aging.LABELS, is_long=True
    ),
    "fragmentation": Set(
        "a disk in pieces, and re-packed", fragmentation.measure, fragmentation.LABELS, is_long=True
    ),
    "big_file": Set(
        "1 TB in one file, cut up at every 4 KiB", big_file.measure, big_file.LABELS, is_long=True
    ),
    "many_files": Set("1,000,000 files", many_files.measure, many_files.LABELS, is_long=True),
    "sizes": Set(
        "what a request costs beside many opens, files and tokens", sizes.measure, sizes.LABELS, is_long=True
    ),
}


def main() -> int:
    """Run what is asked for and print a table for each set."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # its servers and its disk go with it
    arguments = _arguments()
    if arguments.list:
        for name, entry in SETS.items():
            print(f"{name}{' (long)' if entry.is_long else ''}: {entry.title}")
            print(*(f"  {label}" for label in entry.labels), sep="\n")
        return 0
    for name, entry in SETS.items():
        labels = _wanted_labels(name, entry, arguments)
        if labels:
            _run(name, entry, labels, arguments)
    return 0


def _wanted_labels(name: str, entry: Set, arguments: argparse.Namespace) -> frozenset[str]:
    if arguments.only == name:
        return frozenset(entry.labels)
    if entry.is_long and not arguments.long:
        return frozenset()
    return frozenset(label for label in entry.labels if arguments.only in label)


def _run(name: str, entry: Set, labels: frozenset[str], arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix=".odxfs-bench-", dir=arguments.work) as work:
        settings = Settings(
            Path(work), arguments.rounds, arguments.seconds, labels.__contains__, arguments.pictures
        )
        rows = []
        for row in entry.measure(settings):
            print(f"{row.label}: {row.plain()}", file=sys.stderr)
            rows.append(row)
    show(f"{name}: {entry.title}", rows)
    if not arguments.no_history:
        append_history(name, rows, settings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench/run", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="one set, or rows whose label holds this word"
    )
    parser.add_argument("--long", action="store_true", help="the long sets too")
    parser.add_argument("--list", action="store_true", help="show sets and rows and measure nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--work", type=work_directory, default=Path(tempfile.gettempdir()))
    parser.add_argument(
        "--pictures", type=Path, default=HERE, metavar="DIR", help="where sets that draw put their pictures"
    )
    parser.add_argument("--no-history", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
