"""Small files that commands write and running servers read: replaced whole and durably, never changed in place."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from odxfs.access_times import read_quietly
from odxfs.errors import ExitCode, UserError
from odxfs.file_owner import give_as, give_to_owner_of

PRIVATE = 0o600
"""For secrets, and for what names people."""


def replace_durably(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Make `content` the whole of the file, durable on return; at every moment it is the old or the new one.

    It is whose the old one was; root's in another's directory is that one's. Two writers at a time are for the caller to keep
    apart. Raises OSError, which names a file.
    """
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(unfinished, flags, PRIVATE), "wb") as file:
            file.write(content)
            file.flush()
            _settle_owner(path, file.fileno())
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of what failed on a descriptor
            error.filename = str(path)
        raise
    with _opened_directory(path.parent) as directory:
        os.fsync(directory)


def _settle_owner(path: Path, descriptor: int) -> None:
    try:
        replaced = path.stat()
    except FileNotFoundError:
        give_to_owner_of(path.parent, descriptor)
    else:
        give_as(replaced, path.parent, descriptor)


class RecordFile:
    """A JSON object in a file, and an owner who keeps what is in it.

    `load` is given the object when the file was found changed, None when there is no file, and raises ValueError, KeyError,
    TypeError, AttributeError or OverflowError for what makes no sense; `dump` returns what is to be written.
    """

    def __init__(
        self,
        path: Path,
        load: Callable[[dict[str, Any] | None], None],
        dump: Callable[[], dict[str, Any]],
        mode: int = PRIVATE,
    ) -> None:
        self.path = path
        self._load = load
        self._dump = dump
        self._mode = mode
        self._stamp: tuple[int, int, int] | None = None

    def refresh(self) -> None:
        """Load the file again if somebody changed it. Raises UserError(CONFIG) when it is damaged or cannot be read."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            self._stamp = None
            self._load(None)
            return
        except OSError as error:
            raise UserError(f"{self.path} cannot be looked at: {error.strerror}", ExitCode.CONFIG) from error
        stamp = (now.st_ino, now.st_mtime_ns, now.st_size)
        if stamp == self._stamp:
            return
        try:
            self._load(json.loads(read_quietly(self.path)))
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}", ExitCode.CONFIG) from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{self.path} is damaged: {error}", ExitCode.CONFIG) from error
        self._stamp = stamp

    @contextmanager
    def changing(self, *, is_locked: bool = False) -> Iterator[None]:
        """The owner changes what he keeps inside the block, and it is written when that ends well; one process at a time.

        With `is_locked` the caller has locked the directory, in which he changes another file, too.
        """
        with nullcontext() if is_locked else locked_directory(self.path.parent):
            try:
                self._stamp = None
                self.refresh()
                yield
                replace_durably(self.path, json.dumps(self._dump(), indent=1).encode() + b"\n", self._mode)
            finally:
                self._stamp = None

    def require_format(self, content: dict[str, Any], *known: int) -> None:
        """Raise UserError(FORMAT) for a file of a version that this program does not read."""
        if content["version"] not in known:
            raise UserError(
                f"{self.path} has format {content['version']!r}, this program reads {known[-1]}",
                ExitCode.FORMAT,
            )


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Let nobody else change files of the directory meanwhile, so that two commands at a time do not undo each other."""
    with _opened_directory(directory) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened_directory(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
