"""READ (MS-SMB2 3.3.5.12, MS-FSA 2.1.5.3)."""

from __future__ import annotations

from odxfs.errors import LockConflict
from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import FILE_EXECUTE, FILE_READ_DATA
from odxfs.smb.caching.waiting import break_caching, must_wait
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import Answer, RequestContext, SmbError
from odxfs.types import Buffer
from odxfs.wire.read import Channel, ReadRequest, ReadResponse

MAX_OFFSET = 2**63 - 1
"""Offsets are signed 64-bit numbers to a file system (MS-FSA 2.1.5.3)."""


def read_now(context: RequestContext) -> ReadResponse | None:
    """The answer without waiting when the data is in memory; None for everything else, refusals included."""
    request = ReadRequest.unpack(context.pdu)
    opened = _check(context, request)
    if opened.is_pipe or request.length == 0:
        return None
    if context.server.opens.cached and must_wait(context, opened, Use.READ):
        return None
    data = opened.volume.read_nowait(opened.inode, request.offset, request.length)
    return _respond(opened, request, data) if data is not None else None


async def read(context: RequestContext) -> ReadResponse | Answer:
    """Read from a file or a pipe. SmbError: END_OF_FILE, ACCESS_DENIED, INVALID_PARAMETER; LockConflict."""
    request = ReadRequest.unpack(context.pdu)
    opened = _check(context, request)
    if opened.pipe is not None:
        data, more = opened.pipe.read(request.length)
        return Answer(Status.BUFFER_OVERFLOW, ReadResponse(data)) if more else ReadResponse(data)
    if context.server.opens.cached:
        await break_caching(context, opened, Use.READ)
        opened = _check(context, request)
    if request.length == 0 and request.minimum_count == 0:
        return ReadResponse(b"")
    return _respond(opened, request, await opened.volume.read(opened.inode, request.offset, request.length))


def _check(context: RequestContext, request: ReadRequest) -> SmbOpen:
    """The open, when it may be read at that place."""
    opened = context.find_open(request.file_id)
    if request.length > context.server.settings.max_read_bytes or request.channel != Channel.NONE:
        raise SmbError(Status.INVALID_PARAMETER)
    is_pipe = opened.is_pipe
    if not (is_pipe or opened.inode.is_file):
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if not opened.granted_access & (FILE_READ_DATA | FILE_EXECUTE):
        raise SmbError(Status.ACCESS_DENIED)
    if is_pipe:
        return opened
    if request.offset + request.length > MAX_OFFSET:
        raise SmbError(Status.INVALID_PARAMETER)
    inode = opened.inode
    if context.server.opens.read_conflicts(inode.number, request.offset, request.length, opened.entry):
        raise LockConflict("a byte-range lock of another open")
    if request.length and request.offset >= inode.size:
        raise SmbError(Status.END_OF_FILE)
    return opened


def _respond(opened: SmbOpen, request: ReadRequest, data: Buffer) -> ReadResponse:
    if not data or len(data) < request.minimum_count:
        raise SmbError(Status.END_OF_FILE)
    opened.position = request.offset + len(data)
    return ReadResponse(data)
