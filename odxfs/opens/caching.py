"""What clients may cache of a file, and who must give that up for whom (MS-FSA 2.1.1.10, 2.1.4.12, 2.1.5.18).

A caching state is a combination of READ, HANDLE and WRITE. HANDLE and WRITE are worth nothing without READ, so there are five.
A `Grant` is an oplock, which belongs to one open and may be broken to READ or to nothing, or a lease, which belongs to every
open of its holder and may lose each kind by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from odxfs.opens.table import OpenEntry
    from odxfs.types import InodeNumber

READ, HANDLE, WRITE = 1, 2, 4
ALL = READ | HANDLE | WRITE

MAX_ROUNDS = 8
"""How often one who waits for a break waits once more for what was granted to others meanwhile, before he goes on without."""

FILE_READ_ATTRIBUTES = 0x0080
FILE_WRITE_ATTRIBUTES = 0x0100
READ_CONTROL = 0x00020000
SYNCHRONIZE = 0x00100000
_ATTRIBUTES_ONLY = FILE_READ_ATTRIBUTES | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE


class Use(Enum):
    """What is done to a file, as far as others' caching is concerned: what it breaks, and what it waits for.

    Whoever reads or overwrites waits for bytes that are only written at the holder; a rename or an open that sharing forbids
    waits for opens that the holder has only kept for itself.
    """

    OPEN = ("open", WRITE, WRITE)
    OVERWRITE = ("overwrite", ALL, WRITE)
    OPEN_UNSHARED = ("open what sharing forbids", HANDLE, HANDLE)
    READ = ("read", WRITE, WRITE)
    CHANGE = ("write, lock, cut or zero", ALL, WRITE)
    RENAME = ("rename, link or mark for deletion", HANDLE, HANDLE)
    CHANGE_FOLDER = ("change what a folder shows", ALL, 0)

    def __init__(self, text: str, breaks: int, waits_for: int) -> None:
        self.text = text
        self.breaks = breaks
        self.waits_for = waits_for


@dataclass(frozen=True, slots=True)
class Break:
    """What a holder is told: from now on `after`. With `acknowledged` the state stays `before` until it agrees.

    `first` is false for what follows from an acknowledgement that did not go far enough: further uses had come meanwhile.
    """

    before: int
    after: int
    acknowledged: bool
    first: bool = True


class Holder(Protocol):
    """Whoever has a grant. Both are called while the table is in order, and change nothing in it."""

    def broken(self, grant: Grant, change: Break) -> None:
        """The grant's state changes, or is to change once the holder agrees."""

    def ended(self, grant: Grant) -> None:
        """The last open of the grant is closed."""


class NotAccepted(Exception):
    """An acknowledgement that keeps more than it was asked to."""


class NotBreaking(Exception):
    """An acknowledgement that nobody waits for."""


@dataclass(slots=True, eq=False)
class Grant:
    """What its opens, `entries`, may cache.

    `breaking` says that an acknowledgement is due: the holder was asked to keep no more than `asked`, and after that no more than
    `required`.
    """

    number: InodeNumber
    is_lease: bool
    holder: Holder
    state: int = 0
    breaking: bool = False
    asked: int = 0
    required: int = 0
    entries: dict[OpenEntry, None] = field(default_factory=dict)
    _settled: list[Callable[[], None]] = field(default_factory=list)

    @property
    def caches_handle(self) -> bool:
        """Whether the holder may keep the file open on its own, asked by nobody to stop: a batch oplock, a lease with HANDLE."""
        return bool(self.state & HANDLE) and not self.breaking

    @property
    def is_oplock(self) -> bool:
        """Whether it belongs to one open."""
        return not self.is_lease

    def when_settled(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` once, when no acknowledgement is due any more. Returns what withdraws it."""
        self._settled.append(callback)

        def withdraw() -> None:
            if callback in self._settled:
                self._settled.remove(callback)

        return withdraw

    def contend(self, use: Use) -> bool:
        """Break what `use` by somebody else breaks; whether `use` has to wait until that is settled."""
        kept = self._kept(self.state & ~use.breaks)
        if kept == self.state:
            return False
        waits = bool(self.state & use.waits_for)
        if self.breaking:
            self.required &= kept
        else:
            self.required = kept
            self._ask(kept, first=True)
        return waits

    def acknowledge(self, state: int) -> None:
        """The holder keeps `state`. Raises NotBreaking when nothing was asked, NotAccepted for more than that."""
        if not self.breaking:
            raise NotBreaking
        if state & ~self.asked:
            raise NotAccepted
        self.state, self.breaking = state, False
        if state & ~self.required:
            # A lease gives up one kind at a time: READ last, which needs no acknowledgement.
            self._ask(self.required | (state & READ if state != READ else 0), first=False)
        if not self.breaking:
            self._settle()

    def expire(self) -> None:
        """No acknowledgement came in time: everything is lost. Harmless when none is due."""
        if self.breaking:
            self.state, self.breaking = 0, False
            self._settle()

    def end(self) -> None:
        """The last open is closed."""
        self.state, self.breaking = 0, False
        self.holder.ended(self)
        self._settle()

    def _kept(self, state: int) -> int:
        if self.is_oplock and state != self.state:
            state &= READ
        return state if state & READ else 0

    def _ask(self, after: int, *, first: bool) -> None:
        before = self.state
        self.breaking = bool(before & (HANDLE | WRITE))
        self.asked = after
        if not self.breaking:
            self.state = after
        self.holder.broken(self, Break(before, after, self.breaking, first))

    def _settle(self) -> None:
        waiting, self._settled = self._settled, []
        for callback in waiting:
            callback()


def when_all_settled(grants: Iterable[Grant], callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback` once, when an acknowledgement was due on none of these any more; at once where none is.

    Returns what withdraws it.
    """
    waiting = {grant for grant in grants if grant.breaking}
    if not waiting:
        callback()

    def settled(grant: Grant) -> None:
        waiting.discard(grant)
        if not waiting:
            callback()

    withdrawals = [grant.when_settled(partial(settled, grant)) for grant in waiting]

    def withdraw() -> None:
        for each in withdrawals:
            each()

    return withdraw


def is_unnoticed(access: int, grant: Grant | None = None) -> bool:
    """Whether an open with `access` neither reads nor writes, so that nobody's caching ends for it (MS-FSA 2.1.4.12).

    Leases also disregard one that reads the security descriptor.
    """
    allowed = _ATTRIBUTES_ONLY | (READ_CONTROL if grant is None or grant.is_lease else 0)
    return not access & ~allowed
