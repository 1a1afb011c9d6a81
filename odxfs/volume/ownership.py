"""Owning a pool: a lock that dies with its holder, and how a holder that lost it all the same is kept from writing.

flock(2) on the lock file ends with the process, so one who gets the lock knows that the last one is gone, if it is the same file.
A lock file that was removed or replaced proves nothing. Therefore the owner is noted in a second file, with what is needed to
tell whether it still runs, and looks before it writes whether the lock file is still its own.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odxfs.errors import ExitCode, StoreFailed, UserError
from odxfs.file_owner import open_or_create
from odxfs.volume.blocks.files import translated

CHECK_SECONDS = 0.05
"""How long an owner believes that the lock is its own. One that was stopped looks again before it writes."""

_PATIENCE = 2.0
"""A new owner whose lock file may not be the last one's waits so many times CHECK_SECONDS: until others have looked."""

_log = logging.getLogger(__name__)

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def make_lock(lock: Path) -> None:
    """The lock file of a new pool, which nobody owns. Raises StoreFailed or NoSpace."""
    try:
        descriptor = open_or_create(lock, os.O_WRONLY)
        try:
            _put(descriptor, {"owner": "nobody", "pid": 0})
        finally:
            os.close(descriptor)
    except OSError as error:
        raise translated(error, "making the lock file") from error


class Ownership:
    """A held lock. Made by `PoolDirectory.owned`, which holds the flock on `descriptor`."""

    def __init__(self, lock: Path, descriptor: int) -> None:
        self._lock = lock
        self._descriptor = descriptor
        self._record = _record_beside(lock)
        self._identity = _identity(os.fstat(descriptor))
        self._checked = 0.0

    def take(self, owner: str) -> None:
        """Note who owns the pool now. Raises UserError when the last owner still runs, or the lock file is gone again.

        Raises NoSpace or StoreFailed when nothing can be noted.
        """
        if not self._is_ours():
            raise UserError(f"{self._lock.parent} is being opened by another process", ExitCode.BUSY)
        last = _read(self._record)
        if (
            last is not None
            and last.get("lock") != self._identity
            and last.get("directory") == self._directory()
        ):
            if _is_running(last):
                raise UserError(
                    f"{self._lock.parent} is in use by {_in_words(last)}, "
                    "although its lock file was replaced",
                    ExitCode.BUSY,
                )
            time.sleep(CHECK_SECONDS * _PATIENCE)
        elif not os.fstat(
            self._descriptor
        ).st_size:  # every owner writes into its lock file, and so does mkfs
            time.sleep(CHECK_SECONDS * _PATIENCE)
        note = {"owner": owner, "pid": os.getpid()}
        try:
            _put(self._descriptor, note)
            self._note({**note, **_process(os.getpid())})
        except OSError as error:
            raise translated(error, "noting the pool's owner") from error

    def give_up(self) -> None:
        """Forget who owns the pool, unless it is somebody else."""
        if self._is_ours():
            try:
                self._record.unlink(missing_ok=True)
            except OSError as error:  # the next owner gets the same lock file, and so needs no note
                _log.info("%s cannot be removed: %s", self._record, error)

    def check(self) -> None:
        """Raise StoreFailed when the lock file is not ours any more. Cheap: looks every CHECK_SECONDS at most."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)  # goes on while the process, or the machine, is stopped
        if now - self._checked < CHECK_SECONDS:
            return
        if not self._is_ours():
            raise StoreFailed(f"{self._lock} was removed or replaced: the pool may have another owner")
        self._checked = now

    def _is_ours(self) -> bool:
        try:
            return _identity(os.stat(self._lock)) == self._identity
        except OSError:
            return False

    def _directory(self) -> list[int]:
        return _identity(os.stat(self._lock.parent))

    def _note(self, note: Mapping[str, object]) -> None:
        content = {**note, "lock": self._identity, "directory": self._directory()}
        descriptor = open_or_create(self._record, os.O_RDWR)
        try:
            _put(descriptor, content)
        finally:
            os.close(descriptor)


def running_owner(lock: Path) -> str | None:
    """Who owns the pool and still runs, for people: a look without the lock, which may be out of date at once."""
    record = _read(_record_beside(lock))
    return _in_words(record) if record is not None and _is_running(record) else None


def noted_owner(lock: Path) -> str:
    """Who holds a lock file that is held, for people: what its holder has written into it."""
    record = _read(lock)
    if record is None or not {"owner", "pid"} <= record.keys():
        return "another process"
    return _in_words(record)


def _in_words(record: Mapping[str, Any]) -> str:
    return f"{record.get('owner')} (process {record.get('pid')})"


def _record_beside(lock: Path) -> Path:
    return lock.with_name("owner.json")


def _put(descriptor: int, content: Mapping[str, object]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(content).encode() + b"\n", 0)


def _identity(found: os.stat_result) -> list[int]:
    return [found.st_dev, found.st_ino]


def _process(number: int) -> dict[str, str]:
    """What tells a process from a later one of the same number. Raises OSError when it is gone."""
    started = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    return {"started": started, "boot": _BOOT.read_text().strip()}


def _is_running(record: Mapping[str, Any]) -> bool:
    try:
        found = _process(int(record["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == {"started": record.get("started"), "boot": record.get("boot")}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
