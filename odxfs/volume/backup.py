"""Copies of the catalog: online, consistent, durable."""

import os
import sqlite3
from pathlib import Path

from odxfs.errors import ExitCode, NoSpace, StoreFailed, UserError

_PAGES = 1024
"""Pages copied before the catalog's owner may go on: 4 MiB."""


def back_up(catalog: Path, target: Path) -> None:
    """Copy a catalog, which may be in use, as its last commit left it. Blocking; durable on return.

    Raises UserError when `target` exists or cannot be made, NoSpace or StoreFailed; then there is no `target`.
    """
    partial = target.with_name(f"{target.name}.partial")
    if target.exists():
        raise UserError(f"{target} exists already", ExitCode.EXISTS)
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        _copy(catalog, partial)
        _sync(partial)
        os.link(partial, target)  # unlike a rename it does not replace what has come there meanwhile
        partial.unlink()
        _sync(target.parent)
    except FileExistsError as error:
        raise UserError(f"{target} exists already", ExitCode.EXISTS) from error
    except OSError as error:
        raise UserError(f"{target} cannot be made: {error.strerror}", ExitCode.CONFIG) from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    try:
        reading = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        try:
            writing = sqlite3.connect(target)
            try:
                reading.backup(writing, pages=_PAGES)
                writing.execute("PRAGMA journal_mode = DELETE")  # one file that holds everything
            finally:
                writing.close()
        finally:
            reading.close()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            raise NoSpace(f"there is no room for {target}") from error
        raise StoreFailed(f"the catalog cannot be copied: {error}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
