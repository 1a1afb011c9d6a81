"""Copy the catalog of a pool, also of one in use, or put a copy back.

The copy is what the last commit left: names, attributes and maps, not the data, which stays in the segments. Users and
shares are in users.json and shares.json beside it; copy these as files.

A copy is for the day on which catalog.db is damaged. With --restore it takes the catalog's place (which is kept beside it).
What was written since the copy was made is lost then, and so is what was in blocks that have been used again since:
these fail their checksums, so they are errors and never other people's data. 'odxfs fsck --repair --data' says which
files that concerns. So a copy is worth the more the younger it is.
"""

import argparse
from pathlib import Path

from odxfs.cli.output import say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode, UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="the copy; must not be there yet")
    parser.add_argument("--restore", action="store_true", help="put FILE back as the catalog of the pool")


def run(arguments: argparse.Namespace) -> int:
    """Copy in one direction or the other."""
    from odxfs.volume.checking.backup import back_up, restore
    from odxfs.volume.directory import PoolDirectory

    directory = require_pool(arguments.directory)
    if not arguments.restore:
        place = PoolDirectory(directory)
        back_up(place.catalog, arguments.file, place.read_identity())
        say(f"{arguments.file} is a copy of the catalog of {directory}")
        return ExitCode.OK
    if not arguments.file.is_file():
        raise UserError(f"{arguments.file} does not exist", ExitCode.NOT_FOUND)
    kept = restore(directory, arguments.file)
    say(f"{directory} has the catalog of {arguments.file}{f'; what was there is {kept}' if kept else ''}")
    say(f"now run: odxfs fsck --repair --data {directory}")
    return ExitCode.OK
