"""Each call of any mechanism is counted once and told once, however it ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from odxfs.errors import (
    Corrupt,
    FileTooBig,
    LockConflict,
    NoSpace,
    OdxfsError,
    OffloadRefused,
    QuotaExceeded,
    ReadOnly,
    Refusal,
    Stale,
    StoreFailed,
)
from odxfs.ntstatus import Status
from odxfs.offload.counters import Mechanism, OffloadCounters
from odxfs.offload.events import OffloadEvent

Observer = Callable[[OffloadEvent], None]

CANCELLED = "cancelled"
"""The reason of a call that its client, or the end of the server, cut short."""

_REFUSALS: dict[type[OdxfsError], Refusal] = {
    NoSpace: Refusal.NO_SPACE,
    QuotaExceeded: Refusal.QUOTA_EXCEEDED,
    ReadOnly: Refusal.VOLUME_READ_ONLY,
    Stale: Refusal.FILE_DELETED,
    Corrupt: Refusal.DAMAGED,
    StoreFailed: Refusal.STORE_FAILED,
    LockConflict: Refusal.LOCKED,
    FileTooBig: Refusal.RANGE_OVERFLOW,
}
"""What the volume's errors are called here; any other error goes by the name of its NTSTATUS."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call, and where; `svm` and `share` are empty on the mount. `path` is the file's in its volume, if known."""

    svm: str = ""
    share: str = ""
    owner: str = ""
    client: str = ""
    path: str = ""


@dataclass(slots=True)
class CallRecord:
    """A call under way: what was asked for, and what has come of it so far. Fields as in OffloadEvent."""

    mechanism: Mechanism
    call: str
    caller: Caller
    volume: str
    inode: int
    offset: int
    length: int
    source: str = ""
    token: str = ""
    logical_bytes: int = 0
    moved_bytes: int = 0
    peer: str = ""

    def copied(self, logical_bytes: int, shared_bytes: int) -> None:
        """So much more has appeared, so much of it without moving a byte."""
        self.logical_bytes += logical_bytes
        self.moved_bytes += max(0, logical_bytes - shared_bytes)


class Recorder:
    """`observe` hears of each call when it has ended; `clock` gives seconds."""

    def __init__(self, counters: OffloadCounters, clock: Callable[[], float], observe: Observer) -> None:
        self._counters = counters
        self._clock = clock
        self._observe = observe

    @contextmanager
    def recorded(self, record: CallRecord) -> Iterator[CallRecord]:
        """Around one call. What it raises is told as its reason and goes on."""
        began = self._clock()
        try:
            yield record
        except OdxfsError as error:
            reason, status = reason_of(error)
            self._end(record, began, status, reason)
            raise
        except trio.Cancelled:
            self._end(record, began, Status.CANCELLED, CANCELLED)
            raise
        self._end(record, began, Status.SUCCESS, "")

    def _end(self, record: CallRecord, began: float, status: Status, reason: str) -> None:
        counter = self._counters.mechanisms[record.mechanism]
        if reason:
            counter.refusals[reason] += 1
        elif record.call == "read":
            counter.tokens += 1
        if record.call == "write" and (record.logical_bytes or not reason):
            shared = max(0, record.logical_bytes - record.moved_bytes)
            self._counters.copied(record.mechanism, record.logical_bytes, shared)
        caller = record.caller
        self._observe(
            OffloadEvent(
                mechanism=record.mechanism,
                call=record.call,
                svm=caller.svm,
                share=caller.share,
                owner=caller.owner,
                client=caller.client,
                volume=record.volume,
                inode=record.inode,
                offset=record.offset,
                length=record.length,
                source=record.source,
                token=record.token,
                logical_bytes=record.logical_bytes,
                moved_bytes=record.moved_bytes,
                status=int(status),
                reason=reason,
                seconds=self._clock() - began,
                peer=record.peer,
                path=caller.path,
            )
        )


def reason_of(error: OdxfsError) -> tuple[str, Status]:
    """What a refusal or failure is called in counters and traces, and the NTSTATUS it becomes."""
    if isinstance(error, OffloadRefused):
        return error.reason.label, error.status
    status: Status = getattr(error, "status", Status.UNEXPECTED_IO_ERROR)
    known = _REFUSALS.get(type(error))
    return (known.label if known is not None else status.name.lower()), status


def file_text(volume: str, path: str, number: int) -> str:
    """A file as traces name it: by its path, if that is known."""
    return f"{volume}:{path or f'inode {number}'}"
