"""Snapshots of a volume: create, list, delete, restore. Works on a pool that is served and on one that is not.

A snapshot is the volume at one moment. It costs nothing to make; afterwards it holds what is changed or deleted. It is seen on
the mount as .snapshots/NAME and over SMB as a previous version.
"""

import argparse
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from odxfs.cli.administering import have_done
from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.control.client import understood
from odxfs.errors import ExitCode, UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = _verb(verbs, "create", "make a snapshot")
    create.add_argument("name", metavar="NAME", nargs="?", help="its name; without one, the time in UTC")
    listing = _verb(verbs, "list", "list the snapshots, and what deleting each would free")
    add_json_option(listing)
    delete = _verb(verbs, "delete", "delete snapshots")
    delete.add_argument("names", metavar="NAME", nargs="+")
    restore = _verb(verbs, "restore", "bring back a file or folder, or take the whole volume back")
    restore.add_argument("name", metavar="NAME")
    restore.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        help="a file or folder, from the volume's root, which is cloned without moving data; without PATH the whole volume "
        "goes back, which needs a pool that nobody serves",
    )
    restore.add_argument("--to", metavar="PATH", help="where PATH goes, if not where it was")
    restore.add_argument("--replace", action="store_true", help="replace what is there")
    restore.add_argument("--yes", action="store_true", help="do not ask before the whole volume goes back")


def _verb(verbs: Any, name: str, what: str) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's is private
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=f"{what.capitalize()}.")
    add_directory(parser)
    parser.add_argument("--volume", default="main", metavar="VOLUME", help="the volume (default main)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    directory = require_pool(arguments.directory)
    verbs = {"create": _create, "list": _list, "delete": _delete, "restore": _restore}
    verbs[arguments.verb](directory, arguments)
    return ExitCode.OK


def _create(directory: Path, arguments: argparse.Namespace) -> None:
    done = have_done(directory, "snapshot create", volume=arguments.volume, name=arguments.name)
    with understood(directory):
        say(f"snapshot {done['snapshot']['name']} of volume {arguments.volume} is made")


def _list(directory: Path, arguments: argparse.Namespace) -> None:
    found = have_done(directory, "snapshot list", volume=arguments.volume)
    columns = ["snapshot", "made", "age", "files and folders", "data", "only in snapshots"]
    with understood(directory):
        if arguments.json:
            print_json(found["snapshots"])
        else:
            print_table(columns, [_row(snapshot) for snapshot in found["snapshots"]])


def _local_time(snapshot: dict[str, Any]) -> str:
    made = datetime.fromtimestamp(snapshot["created_ns"] / 1e9).astimezone()
    return made.isoformat(" ", "seconds")


def _row(snapshot: dict[str, Any]) -> list[object]:
    return [
        snapshot["name"],
        _local_time(snapshot),
        _age(time.time() - snapshot["created_ns"] / 1e9),
        snapshot["inodes"],
        format_bytes(snapshot["allocated_bytes"]),
        format_bytes(snapshot["held_bytes"]),
    ]


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _delete(directory: Path, arguments: argparse.Namespace) -> None:
    for name in arguments.names:
        have_done(directory, "snapshot delete", volume=arguments.volume, name=name)
        say(f"snapshot {name} of volume {arguments.volume} is deleted")


def _restore(directory: Path, arguments: argparse.Namespace) -> None:
    if arguments.path is None:
        _restore_volume(directory, arguments)
        return
    done = have_done(
        directory,
        "snapshot restore path",
        volume=arguments.volume,
        name=arguments.name,
        path=arguments.path,
        to=arguments.to,
        replace=arguments.replace,
    )
    with understood(directory):
        files, data = done["inodes"], format_bytes(done["bytes"])
    say(
        f"{arguments.to or arguments.path} is back as of {arguments.name}: {files} files and folders, {data} shared"
    )


def _restore_volume(directory: Path, arguments: argparse.Namespace) -> None:
    if arguments.to is not None or arguments.replace:
        raise UserError("--to and --replace go with PATH", ExitCode.USAGE)
    if not arguments.yes:
        found = have_done(directory, "snapshot to restore", volume=arguments.volume, name=arguments.name)
        with understood(directory):
            made = _local_time(found["snapshot"])
        sys.stderr.write(
            f"Volume {arguments.volume} goes back to snapshot {arguments.name} of {made}; what was changed since stays only in"
            " later snapshots. Go on? [y/N] "
        )
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UserError("nothing was done", ExitCode.INTERRUPTED)
    have_done(directory, "snapshot restore", volume=arguments.volume, name=arguments.name)
    say(f"volume {arguments.volume} is as it was at snapshot {arguments.name}")
