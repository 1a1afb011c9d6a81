"""Volumes of a pool: what there are, how much the files of each may allocate, new ones and clones of snapshots.

A quota counts the blocks that a volume's files name; a block that two files share counts for both, what only snapshots and
tokens hold for nobody. Set below what is allocated already it takes nothing away: writes that need no new block go on, and
so does deleting. Works on a pool that is served, and on one that nobody uses.
"""

import argparse
import re
from pathlib import Path
from typing import Any

from odxfs.cli.administering import find_volume, have_done
from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table, say
from odxfs.cli.pools import add_directory, check_volume_name, require_pool
from odxfs.control.client import understood
from odxfs.errors import ExitCode

_SIZE = re.compile(r"(\d{1,18})(?:([KMGTP])(?:i?B)?)?", re.IGNORECASE)
_NO_QUOTA = "none"
_LARGEST_BYTES = 1 << 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="list the volumes", description="List the volumes.")
    add_directory(listing)
    add_json_option(listing)
    quota = verbs.add_parser("quota", help="show or set a quota", description="Show or set a volume's quota.")
    add_directory(quota)
    quota.add_argument("name", metavar="NAME", help="the volume's name")
    quota.add_argument(
        "size",
        metavar="SIZE",
        nargs="?",
        type=parse_quota,
        help="bytes, or with K, M, G or T; 'none' for no quota",
    )
    add_json_option(quota)
    create = _verb(verbs, "create", "make an empty volume")
    create.add_argument("name", metavar="NAME", help="the new volume's name")
    clone = _verb(verbs, "clone", "make a volume out of a snapshot, sharing all of its data")
    clone.add_argument("name", metavar="NAME", help="the new volume's name")
    clone.add_argument("--of", dest="snapshot", metavar="SNAPSHOT", required=True, help="what it begins as")
    clone.add_argument("--volume", default="main", metavar="VOLUME", help="whose snapshot (default main)")
    delete = _verb(verbs, "delete", "delete a volume without snapshots; needs a pool that nobody serves")
    delete.add_argument("name", metavar="NAME", help="the volume's name")


def _verb(verbs: Any, name: str, what: str) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's is private
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=f"{what.capitalize()}.")
    add_directory(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Have it done and print."""
    directory = require_pool(arguments.directory)
    verbs = {"list": _list, "quota": _quota, "create": _create, "clone": _clone, "delete": _delete}
    verbs[arguments.verb](directory, arguments)
    return ExitCode.OK


def _list(directory: Path, arguments: argparse.Namespace) -> None:
    listed = have_done(directory, "volume list")
    with understood(directory):
        _print_all(listed["volumes"], arguments)


def _quota(directory: Path, arguments: argparse.Namespace) -> None:
    name, size = arguments.name, arguments.size
    if size is None:
        volume = find_volume(directory, name)
        with understood(directory):
            _print_one(volume, arguments)
        return
    done = have_done(directory, "volume quota", name=name, bytes=size)
    with understood(directory):
        _print_one(done["volume"], arguments)


def _create(directory: Path, arguments: argparse.Namespace) -> None:
    have_done(directory, "volume create", name=check_volume_name(arguments.name))
    say(f"volume {arguments.name} is made")


def _clone(directory: Path, arguments: argparse.Namespace) -> None:
    name, source, snapshot = check_volume_name(arguments.name), arguments.volume, arguments.snapshot
    done = have_done(directory, "volume clone", name=name, volume=source, snapshot=snapshot)
    with understood(directory):
        files, shared = done["volume"]["inodes"], format_bytes(done["volume"]["allocated_bytes"])
    say(f"volume {name} is made out of {source} at {snapshot}: {files} files and folders, {shared} shared")


def _delete(directory: Path, arguments: argparse.Namespace) -> None:
    have_done(directory, "volume delete", name=arguments.name)
    say(f"volume {arguments.name} is deleted")


def parse_quota(text: str) -> int:
    """A size in bytes, with a unit or without; 0 for `none`."""
    if text == _NO_QUOTA:
        return 0
    found = _SIZE.fullmatch(text)
    size = int(found[1]) << 10 * (" KMGTP".index(found[2].upper()) if found[2] else 0) if found else 0
    if not 0 < size <= _LARGEST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 500M or 20G, nor {_NO_QUOTA!r}")
    return size


def _print_all(volumes: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(volumes)
    else:
        print_table(["volume", "files", "allocated", "quota"], [_row(volume) for volume in volumes])


def _print_one(volume: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(volume)
    else:
        name, _, allocated, quota = _row(volume)
        say(f"volume {name}: {allocated} allocated, quota {quota}")


def _row(volume: dict[str, Any]) -> tuple[str, str, str, str]:
    quota = volume["quota_bytes"]
    return (
        volume["name"],
        str(volume["inodes"]),
        format_bytes(volume["allocated_bytes"]),
        _NO_QUOTA if quota is None else format_bytes(quota),
    )
