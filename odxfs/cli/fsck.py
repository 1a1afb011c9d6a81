"""Check a pool that nobody uses.

Walks everything that the catalog reaches and compares it with what is counted and allocated. Changes nothing that
the next mount would not change. Exits 0 when all is well, 20 when something is found, 5 when the pool is in use.
A pool needs no check after a crash; this is for doubting the disk, or us.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.cli.output import add_json_option, print_json, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode

if TYPE_CHECKING:
    from odxfs.volume import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument(
        "--data", action="store_true", help="also read every block and compare it with its checksum"
    )
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check and print what was found."""
    directory = require_pool(arguments.directory)
    found = _check(directory, read_data=arguments.data)
    if arguments.json:
        print_json(
            {"directory": str(directory), "clean": not found, "found": [asdict(finding) for finding in found]}
        )
    else:
        for finding in found:
            say(finding.sentence)
        say(f"{directory}: {len(found)} found" if found else f"{directory} is clean")
    return ExitCode.FSCK_FOUND if found else ExitCode.OK


def _check(directory: Path, *, read_data: bool) -> "list[Finding]":
    import trio

    from odxfs.serving import single_errors
    from odxfs.volume import open_pool

    async def check() -> "list[Finding]":
        with single_errors():
            async with open_pool(directory, owner="odxfs fsck") as pool:
                return await pool.check(read_data=read_data)

    return trio.run(check)
