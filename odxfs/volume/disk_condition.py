"""What is wrong with the disk below a pool: for `odxfs status`, and for the log, which is told once and not a request.

No clock, no disk: whoever meets something says so here.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import trio

from odxfs.volume.blocks.threads import HANG_SECONDS, SLOW_SECONDS, DiskThreads

_QUIET_NS = 60 * 1_000_000_000
"""A read that fails so long after the last one that did is news again."""

_log = logging.getLogger(__name__)


class Condition(Enum):
    """What can be wrong, with what is to be done about it. The member's name in lower case is what JSON says."""

    READ_ONLY = (
        "Nothing more is written; reads go on. What was acknowledged as durable is safe, what was not may be lost. "
        "Look at the kernel's log (dmesg), copy away what you need, mend or replace the disk; then `odxfs umount`, "
        "`odxfs fsck --data` and mount again."
    )
    FULL = (
        "What needs room is refused; reads and deletions go on. Delete something in the volume, or make room on the file "
        "system that the pool lies on: writing goes on by itself then."
    )
    UNREADABLE = (
        "Requests for other data go on. Look at the kernel's log (dmesg); `odxfs scrub` names all files with data that "
        "cannot be read. Copy away the rest, replace the disk, restore those files from a backup."
    )
    SILENT = (
        "Requests that need the disk wait and go on by themselves when it answers; nothing is lost by waiting. Look at the "
        "kernel's log (dmesg) and at the storage. Stopping the server waits, too; a second SIGTERM ends it without a commit."
    )

    def __init__(self, advice: str) -> None:
        self.advice = advice

    @property
    def label(self) -> str:
        """The name for JSON."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong now, or was met since the pool was opened."""

    condition: Condition
    error: str
    """The first error, in words."""
    since_ns: int
    """Nanoseconds since 1970."""
    last_ns: int
    """When it was met last."""
    count: int
    """How often it was met."""


class DiskCondition:
    """Of one open pool. `clock` gives nanoseconds since 1970."""

    def __init__(self, threads: DiskThreads, clock: Callable[[], int]) -> None:
        self.threads = threads
        self._clock = clock
        self.failure: str | None = None
        """Why the pool has latched itself read-only, or None."""
        self._met: dict[Condition, Trouble] = {}

    def latch(self, reason: str) -> None:
        """Refuse every further change: what the disk holds can no longer be told. Reads go on."""
        if self.failure is None:
            self.failure = f"the pool is read-only: {reason}"
            _log.error("%s", self.failure)
            self._meet(Condition.READ_ONLY, reason)

    def note_unreadable(self, error: str) -> None:
        """A read has failed, which costs the one request that wanted it."""
        before = self._met.get(Condition.UNREADABLE)
        now = self._meet(Condition.UNREADABLE, error)
        if before is None or now.last_ns - before.last_ns > _QUIET_NS:
            _log.error("the disk cannot be read: %s (further ones are counted in `odxfs status`)", error)

    def note_full(self, error: str) -> None:
        """Something was refused for want of room."""
        if Condition.FULL not in self._met:
            _log.warning("the disk is full: what needs room is refused until there is some")
        self._meet(Condition.FULL, error)

    def note_room(self) -> None:
        """There is room again."""
        if self._met.pop(Condition.FULL, None) is not None:
            _log.info("the disk has room again")

    def troubles(self) -> list[Trouble]:
        """What is wrong, the worst first."""
        found = dict(self._met)
        if self.threads.is_hanging:
            found[Condition.SILENT] = self._silence()
        return [found[condition] for condition in Condition if condition in found]

    async def watch(self) -> None:
        """Say once in the log that the disk does not answer, and once that it does again; until cancelled."""
        while True:
            await self.threads.has_jobs()
            await trio.sleep(SLOW_SECONDS)
            if not self.threads.is_hanging:
                continue
            _log.error(
                "the disk does not answer: %s takes more than %.0f seconds", self.threads.doing, HANG_SECONDS
            )
            while self.threads.is_slow:
                await trio.sleep(SLOW_SECONDS)
            _log.warning("the disk answers again")

    def _silence(self) -> Trouble:
        now, seconds = self._clock(), self.threads.seconds
        error = f"{self.threads.doing} has taken {seconds:.0f} seconds so far"
        return Trouble(Condition.SILENT, error, now - round(seconds * 1e9), now, 1)

    def _meet(self, condition: Condition, error: str) -> Trouble:
        now, before = self._clock(), self._met.get(condition)
        if before is None:
            met = Trouble(condition, error, now, now, 1)
        else:
            met = Trouble(condition, before.error, before.since_ns, now, before.count + 1)
        self._met[condition] = met
        return met
