"""LOCK: take and give up byte-range locks (MS-SMB2 3.3.5.14, MS-FSA 2.1.5.8, 2.1.5.9)."""

from __future__ import annotations

import trio

from odxfs.errors import VolumeError
from odxfs.ntstatus import Status
from odxfs.opens import OpenEntry, OpenTable, Use
from odxfs.smb.access import FILE_READ_DATA, FILE_WRITE_DATA, require
from odxfs.smb.caching.waiting import break_caching
from odxfs.smb.durable.lock_sequence import is_replayed, note_done
from odxfs.smb.durable.persistence import keep_record
from odxfs.smb.limits import FEW_LOCKS, MAX_LOCKS_PER_OPEN, MAX_LOCKS_PER_SESSION
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.sessions import SessionState
from odxfs.wire.lock import LockElement, LockFlags, LockRequest, LockResponse

MAX_LOCK_END = 2**64
_LOCKING = frozenset(
    kind | wait
    for kind in (LockFlags.SHARED_LOCK, LockFlags.EXCLUSIVE_LOCK)
    for wait in (0, LockFlags.FAIL_IMMEDIATELY)
)


async def lock(context: RequestContext) -> LockResponse:
    """Lock or unlock, by the first element's kind; a lone lock without FAIL_IMMEDIATELY waits for its turn."""
    request = LockRequest.unpack(context.pdu)
    opened = context.find_open(request.file_id)
    if opened.entry is None or opened.is_directory:
        raise SmbError(Status.INVALID_PARAMETER)
    require(opened.granted_access, FILE_READ_DATA | FILE_WRITE_DATA)
    if is_replayed(opened, request, context.connection):
        return LockResponse()
    if request.locks[0].flags & LockFlags.UNLOCK:
        try:
            _unlock_all(context.server.opens, opened.entry, request.locks)
        except SmbError:
            await keep_record(context.server, opened)  # without what was given up before the failure
            raise
    elif context.session.state is SessionState.EXPIRED:
        raise SmbError(Status.NETWORK_SESSION_EXPIRED, "an expired session gives up locks and takes none")
    else:
        await _lock_all(context, opened, opened.entry, request.locks)
    note_done(opened, request, context.connection)
    return LockResponse()


def _unlock_all(opens: OpenTable, entry: OpenEntry, locks: tuple[LockElement, ...]) -> None:
    """Give up one range after the other; what was given up before a failure stays given up (3.3.5.14.1)."""
    for element in locks:
        if element.flags != LockFlags.UNLOCK:
            raise SmbError(Status.INVALID_PARAMETER)
        if not opens.unlock(entry, element.offset, element.length):
            raise SmbError(Status.RANGE_NOT_LOCKED)


def _check_bounds(context: RequestContext, entry: OpenEntry, more: int) -> None:
    """INSUFFICIENT_RESOURCES when `more` locks would be too many of one open or of a session."""
    if entry.lock_count + more > MAX_LOCKS_PER_OPEN:
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many locks on one open")
    if entry.lock_count + more > FEW_LOCKS:
        held = sum(other.entry.lock_count for other in context.session.opens.values() if other.entry)
        if held + more > MAX_LOCKS_PER_SESSION:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many locks in one session")


async def _lock_all(
    context: RequestContext, opened: SmbOpen, entry: OpenEntry, locks: tuple[LockElement, ...]
) -> None:
    """Take all of the ranges or none (3.3.5.14.2)."""
    opens = context.server.opens
    if any(element.flags not in _LOCKING for element in locks):
        raise SmbError(Status.INVALID_PARAMETER)
    if len(locks) > 1 and any(not element.flags & LockFlags.FAIL_IMMEDIATELY for element in locks):
        raise SmbError(Status.INVALID_PARAMETER)
    _check_bounds(context, entry, len(locks))
    await break_caching(context, opened, Use.CHANGE)
    taken: list[LockElement] = []
    try:
        for element in locks:
            await _lock_one(context, opened, entry, element)
            taken.append(element)
    except (SmbError, VolumeError):
        for element in taken:
            opens.unlock(entry, element.offset, element.length)
        raise


async def _lock_one(context: RequestContext, opened: SmbOpen, entry: OpenEntry, element: LockElement) -> None:
    if element.offset + element.length > MAX_LOCK_END:
        raise SmbError(Status.INVALID_LOCK_RANGE)
    exclusive = bool(element.flags & LockFlags.EXCLUSIVE_LOCK)
    opens, has_waited = context.server.opens, False
    while not opens.lock(entry, element.offset, element.length, exclusive=exclusive):
        if element.flags & LockFlags.FAIL_IMMEDIATELY:
            raise SmbError(Status.LOCK_NOT_GRANTED)
        await _wait_for_release(context, entry)
        if opened.closed:
            raise SmbError(Status.RANGE_NOT_LOCKED)
        has_waited = True
    if has_waited and opens.cached:  # who has come to cache the file since the lock in the way was given up
        opens.grants.contend(entry.number, Use.CHANGE, opened.grant)


async def _wait_for_release(context: RequestContext, entry: OpenEntry) -> None:
    """Wait until some lock of the file is given up; the first time the client is told that it takes longer."""
    released = trio.Event()
    withdraw = context.server.opens.when_released(entry.number, released.set)
    try:
        async with context.waiting():
            await released.wait()
    finally:
        withdraw()
