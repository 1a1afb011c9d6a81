"""Check a pool that nobody uses, and repair it if asked.

Walks everything that the catalog reaches and compares it with what is counted and allocated. Without --repair nothing is
changed, but that a pool of an older format is brought up to date. A pool needs no check after a crash; this is for
doubting the disk, or us.

With --repair, what can be told from the rest is made anew: counts, indexes, attributes. What is lost is named, file by file:
a range whose map is gone reads as zeros from then on; files without a name come to lost+found. The catalog is copied
to catalog.db.before-repair-N first. Data is never changed: a block that does not match its checksum stays an error.

Exits 0 when all is well, 20 when something is found (after --repair: when something is lost or left), 5 when the pool is
in use, 9 when the catalog cannot be read.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.cli.output import add_json_option, print_json, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode

if TYPE_CHECKING:
    from odxfs.volume import Finding, RepairReport


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument(
        "--data", action="store_true", help="also read every block and compare it with its checksum"
    )
    parser.add_argument("--repair", action="store_true", help="mend what is found, and say what is lost")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check, repair if asked, and print what was found."""
    import trio

    from odxfs.volume import check_directory, repair_directory

    directory = require_pool(arguments.directory)
    if arguments.repair:
        report = trio.run(lambda: repair_directory(directory, read_data=arguments.data))
        return _tell_repair(directory, report, as_json=arguments.json)
    found = trio.run(lambda: check_directory(directory, read_data=arguments.data))
    if arguments.json:
        print_json({"directory": str(directory), "clean": not found, "found": _as_json(found)})
    else:
        _say_all(found)
        say(f"{directory}: {len(found)} found" if found else f"{directory} is clean")
    return ExitCode.FSCK_FOUND if found else ExitCode.OK


def _tell_repair(directory: Path, report: "RepairReport", *, as_json: bool) -> int:
    backup = str(report.backup) if report.backup is not None else None
    if as_json:
        lists = {"found": report.found, "lost": report.lost, "left": report.left}
        print_json(
            {
                "directory": str(directory),
                "clean": not report.left,
                "backup": backup,
                **{name: _as_json(findings) for name, findings in lists.items()},
            }
        )
    else:
        _say_all(report.found)
        if backup is not None:
            say(f"{directory} is repaired; the catalog as it was is {backup}")
        _say_all(report.lost, "lost: ")
        _say_all(report.left if backup is not None else [], "left: ")
        if not report.found:
            say(f"{directory} is clean")
    return ExitCode.FSCK_FOUND if report.lost or report.left else ExitCode.OK


def _say_all(findings: "list[Finding]", before: str = "") -> None:
    for finding in findings:
        say(before + finding.sentence)


def _as_json(findings: "list[Finding]") -> list[dict[str, str]]:
    return [asdict(finding) for finding in findings]
