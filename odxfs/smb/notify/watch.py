"""One directory that a client watches: what happened since it last asked, and whoever waits for more (MS-FSA 2.1.1.6)."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag

import trio

from odxfs.ntstatus import Status
from odxfs.smb.request import SmbError
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume import Inode
from odxfs.wire.fscc.notify import NotifyAction


class Filter(IntFlag):
    """CompletionFilter (MS-SMB2 2.2.35): the kinds of change a client wants to hear of."""

    FILE_NAME = 0x001
    DIR_NAME = 0x002
    ATTRIBUTES = 0x004
    SIZE = 0x008
    LAST_WRITE = 0x010
    LAST_ACCESS = 0x020
    CREATION = 0x040
    EA = 0x080
    SECURITY = 0x100
    STREAM_NAME = 0x200
    STREAM_SIZE = 0x400
    STREAM_WRITE = 0x800


ALL_FILTERS = 0xFFF
MAX_GATHERED_BYTES = 64 * 1024
"""What one watch keeps between two requests, as Windows does; past it the client is told to list the directory."""

_ENTRY_BYTES = 12


@dataclass(frozen=True, slots=True)
class Event:
    """One change; `name` is relative to the watched directory, separated by backslashes."""

    action: NotifyAction
    name: str


def packed_bytes(event: Event) -> int:
    """What `event` takes up in an answer."""
    return _ENTRY_BYTES + (len(event.name.encode("utf-16-le", "replace")) + 3 & ~3)


class _Waiter:
    """One request that waits: it is handed its events the moment they come, so that later ones are another answer's."""

    __slots__ = ("arrived", "capacity_bytes", "events", "order", "status")

    def __init__(self, capacity_bytes: int, order: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.order = order
        self.arrived = trio.Event()
        self.events: list[Event] = []
        self.status: Status | None = None


class Watch:
    """Owned by its open from the first CHANGE_NOTIFY until the close; filter, depth and size are the first request's.

    `capacity_bytes` is the OutputBufferLength of that request. `may_see` says of a folder below `directory`, whose descriptor has
    been looked for, whether the user may know what is in it. After `end` every waiter and every later request gets the
    given status.
    """

    __slots__ = (
        "_bytes",
        "_end",
        "_events",
        "_overflowed",
        "_waiters",
        "capacity_bytes",
        "directory",
        "filter",
        "may_see",
        "tree",
        "volume",
    )

    def __init__(
        self,
        volume: VolumeId,
        directory: InodeNumber,
        wanted: Filter,
        capacity_bytes: int,
        *,
        tree: bool,
        may_see: Callable[[Inode], bool] = lambda _: True,
    ) -> None:
        self.volume = volume
        self.directory = directory
        self.filter = wanted
        self.tree = tree
        self.may_see = may_see
        self.capacity_bytes = min(capacity_bytes, MAX_GATHERED_BYTES)
        self._events: list[Event] = []
        self._bytes = 0
        self._overflowed = False
        self._end: Status | None = None
        self._waiters: list[_Waiter] = []

    @property
    def ready(self) -> bool:
        """Whether a request can be answered at once."""
        return bool(self._events) or self._overflowed or self._end is not None

    def add(self, events: list[Event]) -> None:
        """Gather `events`, in order, or hand them to who has waited longest. A repeated MODIFIED is told once."""
        for event in events:
            if event.action is NotifyAction.MODIFIED and self._events and self._events[-1] == event:
                continue
            self._events.append(event)
            self._bytes += packed_bytes(event)
        if self._bytes > self.capacity_bytes:
            self.overflow()
        else:
            self._hand_over()

    def overflow(self) -> None:
        """More happened than can be told: the next answer is NOTIFY_ENUM_DIR."""
        self._overflowed = True
        self._events = []
        self._bytes = 0
        self._hand_over()

    def refuse_waiting(self, status: Status) -> None:
        """Answer every waiter with `status`; what happens goes on being gathered."""
        while self._waiters:
            waiter = self._waiters.pop(0)
            waiter.status = status
            waiter.arrived.set()

    def end(self, status: Status) -> None:
        """Answer every waiter, and every later request, with `status` (NOTIFY_CLEANUP at close, DELETE_PENDING)."""
        if self._end is None:
            self._end = status
            self.refuse_waiting(status)

    async def next(self, capacity_bytes: int, order: int) -> list[Event]:
        """What happened since the last call, at least one event, waiting for it if need be.

        Of several that wait the one with the lowest `order` is served first: the order in which the client asked.
        Raises SmbError: NOTIFY_ENUM_DIR when it does not fit into `capacity_bytes` or was too much to gather, or the status
        that the watch ended with.
        """
        waiter = _Waiter(capacity_bytes, order)
        insort(self._waiters, waiter, key=lambda each: each.order)
        self._hand_over()
        try:
            await waiter.arrived.wait()
        except BaseException:
            self._withdraw(waiter)
            raise
        if waiter.status is not None:
            raise SmbError(waiter.status)
        return waiter.events

    def _hand_over(self) -> None:
        if not self.ready or not self._waiters:
            return
        waiter = self._waiters.pop(0)
        waiter.status, waiter.events = self._take(waiter.capacity_bytes)
        waiter.arrived.set()

    def _take(self, capacity_bytes: int) -> tuple[Status | None, list[Event]]:
        if self._end is not None:
            return self._end, []
        events, too_much = self._events, self._overflowed or self._bytes > capacity_bytes
        self._events, self._bytes, self._overflowed = [], 0, False
        return (Status.NOTIFY_ENUM_DIR, []) if too_much else (None, events)

    def _withdraw(self, waiter: _Waiter) -> None:
        """A request is cancelled; what it was handed but could not tell is for the next one."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.status is Status.NOTIFY_ENUM_DIR:
            self.overflow()
        elif waiter.events:
            later, self._events, self._bytes = self._events, [], 0
            self.add(waiter.events + later)
