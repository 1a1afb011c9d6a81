"""What several commands do with the pool directory they are given."""

import argparse
import json
from pathlib import Path
from typing import Any

from odxfs.access_times import read_quietly
from odxfs.errors import ExitCode, UserError

POOL_FILE = "pool.json"
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
    from odxfs.volume.directory import POOL_FORMAT

    found = read_identity(directory)["format"]
    if found > POOL_FORMAT:
        raise UserError(
            f"{directory} has pool format {found}, this odxfs knows {POOL_FORMAT}: use a newer odxfs",
            ExitCode.FORMAT,
        )
    return directory.resolve()


def is_pool(directory: Path) -> bool:
    """Whether the directory holds a pool of whatever format."""
    return (directory / POOL_FILE).is_file()


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


def read_identity(directory: Path) -> dict[str, Any]:
    """The pool's pool.json. Raises UserError(NOT_A_POOL)."""
    try:
        content = json.loads(read_quietly(directory / POOL_FILE))
    except FileNotFoundError as error:
        what = "is not a pool; 'odxfs mkfs' makes one" if directory.is_dir() else "does not exist"
        raise UserError(f"{directory} {what}", ExitCode.NOT_A_POOL) from error
    except NotADirectoryError as error:
        raise UserError(f"{directory} is not a directory", ExitCode.NOT_A_POOL) from error
    except OSError as error:
        what = f"{directory / POOL_FILE} cannot be read: {error.strerror}"
        raise UserError(what, ExitCode.NOT_A_POOL) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{directory / POOL_FILE} cannot be read: {error}", ExitCode.NOT_A_POOL) from error
    if not (
        isinstance(content, dict)
        and isinstance(content.get("format"), int)
        and isinstance(content.get("uuid"), str)
    ):
        raise UserError(f"{directory / POOL_FILE} does not describe a pool", ExitCode.NOT_A_POOL)
    return content
