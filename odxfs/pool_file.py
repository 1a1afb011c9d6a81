"""pool.json, which makes a directory a pool: its format and uuid.

Apart from odxfs.volume, because most commands ask for nothing else of a pool: they start in a fifth of the time that the volume's
libraries take.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from odxfs.access_times import read_quietly
from odxfs.errors import ExitCode, UserError

POOL_FILE = "pool.json"

POOL_FORMAT = 1
"""The layout of the directory. A larger one was written by a newer odxfs; this one must not touch it."""


def is_pool(directory: Path) -> bool:
    """Whether the directory holds a pool of whatever format."""
    return (directory / POOL_FILE).is_file()


def pack_pool_file(uuid: UUID, created_ns: int) -> bytes:
    """The content of a new pool's file."""
    content = json.dumps({"format": POOL_FORMAT, "uuid": str(uuid), "created_ns": created_ns}, indent=2)
    return content.encode() + b"\n"


def read_pool_uuid(directory: Path) -> UUID:
    """The pool's uuid. Raises UserError: NOT_A_POOL, or FORMAT for one of a newer odxfs."""
    try:
        content: Any = json.loads(read_quietly(directory / POOL_FILE))
        number, uuid = int(content["format"]), UUID(content["uuid"])
    except FileNotFoundError as error:
        what = "is not a pool; 'odxfs mkfs' makes one" if directory.is_dir() else "does not exist"
        raise UserError(f"{directory} {what}", ExitCode.NOT_A_POOL) from error
    except NotADirectoryError as error:
        raise UserError(f"{directory} is not a directory", ExitCode.NOT_A_POOL) from error
    except OSError as error:
        what = f"{directory / POOL_FILE} cannot be read: {error.strerror}"
        raise UserError(what, ExitCode.NOT_A_POOL) from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{directory / POOL_FILE} does not describe a pool", ExitCode.NOT_A_POOL) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{directory / POOL_FILE} cannot be read: {error}", ExitCode.NOT_A_POOL) from error
    if number > POOL_FORMAT:
        raise UserError(
            f"{directory} has pool format {number}, this odxfs knows {POOL_FORMAT}: use a newer odxfs",
            ExitCode.FORMAT,
        )
    return uuid
