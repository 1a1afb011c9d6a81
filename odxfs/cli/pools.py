"""What several commands do with the pool directory they are given."""

import argparse
from pathlib import Path

from odxfs.errors import UserError
from odxfs.pool_file import read_pool_uuid

MAX_NAME_CHARACTERS = 64


def add_directory(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The DIR argument."""
    count = "?" if optional else None
    parser.add_argument("directory", metavar="DIR", type=_named, nargs=count, help="the pool's directory")


def _named(text: str) -> Path:
    """A path that somebody has named: the empty one, of a variable that is not set, would be the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return Path(text)


def require_pool(directory: Path) -> Path:
    """The real path of a pool directory. Raises UserError when it is none or of a newer format, without opening it."""
    read_pool_uuid(directory)
    return directory.resolve()


def check_volume_name(name: str) -> str:
    """A new volume's name, which people type and tables show. Raises UserError."""
    if (
        not name.isprintable()
        or name.strip() != name
        or "/" in name
        or not 1 <= len(name) <= MAX_NAME_CHARACTERS
    ):
        raise UserError(f"{name!r} cannot be the name of a volume")
    return name
