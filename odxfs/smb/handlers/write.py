"""WRITE (MS-SMB2 3.3.5.13, MS-FSA 2.1.5.4)."""

from __future__ import annotations

from functools import partial

from odxfs.errors import LockConflict
from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import FILE_APPEND_DATA, FILE_WRITE_DATA
from odxfs.smb.caching.waiting import break_caching, changing, must_wait
from odxfs.smb.handlers.read import MAX_OFFSET
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import AfterCommit, RequestContext, SmbError
from odxfs.wire.read import Channel
from odxfs.wire.write import WriteFlags, WriteRequest, WriteResponse

AT_END_OF_FILE = 2**64 - 1
"""The offset that means "append" (MS-FSA 2.1.5.4)."""


def write_now(context: RequestContext) -> WriteResponse | AfterCommit | None:
    """The answer without waiting when nothing must be read or waited for first; None for everything else.

    With write-through it is to leave when it is durable.
    """
    request = WriteRequest.unpack(context.pdu)
    opened, offset = _check(context, request)
    if opened.is_pipe or not request.data or opened.keeps_write_time:
        return None
    if context.server.opens.cached and must_wait(context, opened, Use.CHANGE):
        return None
    if not opened.volume.write_nowait(opened.inode, offset, request.data):
        return None
    opened.position = offset + len(request.data)
    response = WriteResponse(len(request.data))
    return AfterCommit(context, response, opened.volume) if _wants_durable(opened, request) else response


async def write(context: RequestContext) -> WriteResponse:
    """Write to a file or a pipe; with write-through the answer waits until it is durable."""
    request = WriteRequest.unpack(context.pdu)
    opened, offset = _check(context, request)
    if opened.pipe is not None:
        await context.server.call_turns.drive(opened.pipe.take(request.data))
        return WriteResponse(len(request.data))
    if context.server.opens.cached:
        # Without an interim answer: until its own has left, what it brings counts against the connection's bound.
        await break_caching(context, opened, Use.CHANGE, told=False)
        opened, offset = _check(context, request)
    volume = opened.volume
    if request.data:
        permit = partial(_permit, context, opened)
        with changing(context, opened):
            if request.offset == AT_END_OF_FILE:
                offset = await volume.append(opened.inode, request.data, permit)
            else:
                await volume.write(opened.inode, offset, request.data, permit=permit)
        opened.position = offset + len(request.data)
    if _wants_durable(opened, request):
        await volume.sync(opened.inode)
    return WriteResponse(len(request.data))


def _wants_durable(opened: SmbOpen, request: WriteRequest) -> bool:
    return bool(request.flags & WriteFlags.WRITE_THROUGH) or opened.writes_through


def _check(context: RequestContext, request: WriteRequest) -> tuple[SmbOpen, int]:
    """The open and the offset in bytes, when it may be written there as things are."""
    opened = context.find_open(request.file_id)
    length = len(request.data)
    if length > context.server.settings.max_write_bytes or request.channel != Channel.NONE:
        raise SmbError(Status.INVALID_PARAMETER)
    is_pipe = opened.is_pipe
    if not (is_pipe or opened.inode.is_file):
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if not opened.granted_access & (FILE_WRITE_DATA | FILE_APPEND_DATA):
        raise SmbError(Status.ACCESS_DENIED)
    if is_pipe:
        return opened, 0
    offset = opened.inode.size if request.offset == AT_END_OF_FILE else request.offset
    if offset + length > MAX_OFFSET:
        raise SmbError(Status.INVALID_PARAMETER)
    _permit(context, opened, offset, length)
    return opened, offset


def _permit(context: RequestContext, opened: SmbOpen, offset: int, length: int) -> None:
    """Raise what stands against changing these bytes now. Asked again in the step that does, behind whatever was waited for."""
    inode = opened.inode
    if not opened.granted_access & FILE_WRITE_DATA and offset < inode.size:
        raise SmbError(Status.ACCESS_DENIED, "the open may only append")
    if context.server.opens.write_conflicts(inode.number, offset, length, opened.entry):
        raise LockConflict("a byte-range lock of another open")
