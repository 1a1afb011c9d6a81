"""What a request does to others' caching, and the wait until they have given it up (MS-FSA 2.1.4.12)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import trio

from odxfs.ntstatus import Status
from odxfs.opens import Grant, Use, when_all_settled
from odxfs.opens.caching import MAX_ROUNDS
from odxfs.smb.information.write_times import kept_write_time
from odxfs.smb.request import SmbError

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.types import InodeNumber


async def break_caching(context: RequestContext, opened: SmbOpen, use: Use, *, told: bool = True) -> None:
    """Make others give up what `use` of this open's file ends. SmbError(FILE_CLOSED) when it is closed meanwhile.

    With `told` the client hears that it takes longer, and may cancel.
    """
    opens = context.server.opens
    if not opens.cached or opened.entry is None:
        return
    for _ in range(MAX_ROUNDS):
        waited_for = opens.grants.contend(opened.entry.number, use, opened.grant)
        if not waited_for:
            return
        await settled(context, waited_for, told=told)
        if opened.closed:
            raise SmbError(Status.FILE_CLOSED)


@contextmanager
def changing(context: RequestContext, opened: SmbOpen) -> Iterator[None]:
    """Around a change of bytes or of the size through an open, behind `break_caching`. SmbError(FILE_CLOSED).

    Who caches the file is told, the open's client keeps the LastWriteTime that it has set, and the open ends only behind it.
    """
    if opened.closed:
        raise SmbError(Status.FILE_CLOSED)
    changes = context.server.opens.changing(opened.inode.number, opened.entry)
    with opened.at_work(), changes, kept_write_time(opened):
        yield


async def break_caching_of(context: RequestContext, numbers: Collection[InodeNumber], use: Use) -> None:
    """The same for inodes that the request has not open."""
    grants = context.server.opens.grants
    for _ in range(MAX_ROUNDS):
        waited_for = [grant for number in numbers for grant in grants.contend(number, use)]
        if not waited_for:
            return
        await settled(context, waited_for)


def must_wait(context: RequestContext, opened: SmbOpen, use: Use) -> bool:
    """Whether `break_caching` would wait; if not, it has nothing left to do."""
    entry = opened.entry
    assert entry is not None, "pipes are not cached"
    return bool(context.server.opens.grants.contend(entry.number, use, entry.grant))


async def settled(context: RequestContext, grants: Iterable[Grant], *, told: bool = True) -> None:
    """Wait until no acknowledgement of these is due; in the middle of a compound without an interim answer."""
    event = trio.Event()
    withdraw = when_all_settled(grants, event.set)
    try:
        async with context.waiting() if told and context.may_pend else nullcontext():
            await event.wait()
    finally:
        withdraw()
