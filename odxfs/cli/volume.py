"""Volumes of a pool: what there are, and how much the files of each may allocate.

A quota counts the blocks that a volume's files name; a block that two files share counts for both, what only snapshots and
tokens hold for nobody. Set below what is allocated already it takes nothing away: writes that need no new block go on, and
so does deleting. Works on a pool that is served, and on one that nobody uses.
"""

import argparse
import re
from typing import Any

from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.control.client import NotServed, ask
from odxfs.errors import ExitCode, NotFound, UserError

_SIZE = re.compile(r"(\d+)(?:([KMGTP])(?:i?B)?)?", re.IGNORECASE)
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


def run(arguments: argparse.Namespace) -> int:
    """Ask for the volumes, with a quota changed first where one is given, and print."""
    directory = require_pool(arguments.directory)
    name = arguments.name if arguments.verb == "quota" else None
    size = arguments.size if arguments.verb == "quota" else None
    if size is None:
        command, words = "volumes", {}
    else:
        command, words = "quota", {"volume": name, "bytes": size}
    try:
        volumes = ask(directory, command, words)["volumes"]
    except NotServed:
        volumes = _on_a_pool_of_our_own(arguments, name, size)
    _print([volume for volume in volumes if name in (None, volume["name"])], arguments, name)
    return 0


def parse_quota(text: str) -> int:
    """A size in bytes, with a unit or without; 0 for `none`."""
    if text == _NO_QUOTA:
        return 0
    found = _SIZE.fullmatch(text)
    size = int(found[1]) << 10 * (" KMGTP".index(found[2].upper()) if found[2] else 0) if found else 0
    if not 0 < size <= _LARGEST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 500M or 20G, nor {_NO_QUOTA!r}")
    return size


def _on_a_pool_of_our_own(
    arguments: argparse.Namespace, name: str | None, size: int | None
) -> list[dict[str, Any]]:
    import trio

    from odxfs.observe.status import volumes_as_json
    from odxfs.serving import single_errors
    from odxfs.volume import open_pool

    async def work() -> list[dict[str, Any]]:
        with single_errors():
            async with open_pool(arguments.directory, owner="odxfs volume") as pool:
                if name is not None and size is not None:
                    await pool.volumes.set_quota(name, size)
                return volumes_as_json(pool)

    try:
        return trio.run(work)
    except NotFound as error:
        raise UserError(str(error), ExitCode.NOT_FOUND) from error


def _print(volumes: list[dict[str, Any]], arguments: argparse.Namespace, name: str | None) -> None:
    if name is not None and not volumes:
        raise UserError(f"the pool has no volume {name!r}", ExitCode.NOT_FOUND)
    if arguments.json:
        print_json(volumes if name is None else volumes[0])
    elif name is None:
        print_table(["volume", "files", "allocated", "quota"], [_row(volume) for volume in volumes])
    else:
        _, _, allocated, quota = _row(volumes[0])
        say(f"volume {name}: {allocated} allocated, quota {quota}")


def _row(volume: dict[str, Any]) -> tuple[str, str, str, str]:
    quota = volume["quota_bytes"]
    return (
        volume["name"],
        str(volume["inodes"]),
        format_bytes(volume["allocated_bytes"]),
        _NO_QUOTA if quota is None else format_bytes(quota),
    )
