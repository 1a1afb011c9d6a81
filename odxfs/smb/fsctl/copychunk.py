"""Server-side copy: FSCTL_SRV_REQUEST_RESUME_KEY and FSCTL_SRV_COPYCHUNK(_WRITE) (MS-SMB2 3.3.5.15.5 and .6).

Chunks share extents through the offload engine; only the edges that fill no whole block are copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from odxfs.errors import ProtocolError, VolumeError
from odxfs.ntstatus import Status
from odxfs.offload import CallRecord, Mechanism
from odxfs.opens import Use
from odxfs.smb.access import FILE_APPEND_DATA, FILE_EXECUTE, FILE_READ_DATA, FILE_WRITE_DATA, require
from odxfs.smb.caching.waiting import break_caching, changing
from odxfs.smb.fsctl.call import (
    MAX_OFFSET,
    FsctlAnswer,
    check_read_locks,
    check_write_locks,
    needed,
    recorded_copy,
    text_of,
)
from odxfs.smb.request import SmbError
from odxfs.wire.fsctl.copychunk import (
    LIMITS,
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_TOTAL_BYTES,
    SrvCopychunk,
    SrvCopychunkCopy,
    SrvCopychunkResponse,
)
from odxfs.wire.fsctl.resume_key import SrvRequestResumeKeyResponse

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest


@dataclass(frozen=True, slots=True)
class _Copy:
    source: SmbOpen
    destination: SmbOpen
    record: CallRecord


async def request_resume_key(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """The 24 bytes by which COPYCHUNK names this open as its source."""
    found = needed(opened)
    if request.max_output_response < SrvRequestResumeKeyResponse.LAYOUT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    return SrvRequestResumeKeyResponse(found.resume_key).pack()


async def copychunk(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SRV_COPYCHUNK: the destination must also be readable."""
    return await _copychunk(context, needed(opened), request, readable=True)


async def copychunk_write(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SRV_COPYCHUNK_WRITE: a destination that is only writable will do."""
    return await _copychunk(context, needed(opened), request, readable=False)


async def _copychunk(
    context: RequestContext, destination: SmbOpen, request: IoctlRequest, *, readable: bool
) -> bytes:
    with recorded_copy(context, Mechanism.COPYCHUNK, destination) as record:
        return await _recorded_copychunk(context, destination, request, record, readable=readable)


async def _recorded_copychunk(
    context: RequestContext,
    destination: SmbOpen,
    request: IoctlRequest,
    record: CallRecord,
    *,
    readable: bool,
) -> bytes:
    if request.max_output_response < SrvCopychunkResponse.LAYOUT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    try:
        call = SrvCopychunkCopy.unpack(request.input_buffer)
    except ProtocolError as error:
        raise FsctlAnswer(Status.INVALID_PARAMETER, LIMITS.pack()) from error
    record.offset = min((chunk.target_offset for chunk in call.chunks), default=0)
    record.length = sum(chunk.length for chunk in call.chunks)
    source = context.server.registry.find_resume_key(call.source_key)
    if source is None or source.session is not context.session or source.closed:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    record.source = text_of(source)
    _check_limits(source, destination, call.chunks)
    require(source.granted_access, FILE_READ_DATA | FILE_EXECUTE)
    require(destination.granted_access, FILE_WRITE_DATA | FILE_APPEND_DATA)
    if readable:
        require(destination.granted_access, FILE_READ_DATA)
    await break_caching(context, source, Use.READ)
    await break_caching(context, destination, Use.CHANGE)
    if source.closed:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return await _copy_chunks(context, _Copy(source, destination, record), call.chunks)


def _check_limits(source: SmbOpen, destination: SmbOpen, chunks: tuple[SrvCopychunk, ...]) -> None:
    """Past a limit the answer tells the limits (MS-SMB2 3.3.5.15.6.2)."""
    lengths = [chunk.length for chunk in chunks]
    if (
        len(chunks) > MAX_CHUNKS
        or any(not 0 < length <= MAX_CHUNK_BYTES for length in lengths)
        or sum(lengths) > MAX_TOTAL_BYTES
        or source.is_pipe
        or destination.is_pipe
        or not source.inode.is_file
        or not destination.inode.is_file
        or any(chunk.target_offset + chunk.length > MAX_OFFSET for chunk in chunks)
    ):
        raise FsctlAnswer(Status.INVALID_PARAMETER, LIMITS.pack())


async def _copy_chunks(context: RequestContext, copy: _Copy, chunks: tuple[SrvCopychunk, ...]) -> bytes:
    """Chunk by chunk, in order; a failure says how far it came (MS-SMB2 3.3.5.15.6.1)."""
    done = total = 0
    for chunk in chunks:
        try:
            with changing(context, copy.destination):
                await _copy_chunk(context, copy, chunk)
        except (SmbError, VolumeError) as error:
            raise FsctlAnswer(error.status, SrvCopychunkResponse(done, 0, total).pack()) from error
        done += 1
        total += chunk.length
        await trio.lowlevel.checkpoint()
    return SrvCopychunkResponse(done, 0, total).pack()


async def _copy_chunk(context: RequestContext, copy: _Copy, chunk: SrvCopychunk) -> None:
    source, destination = copy.source, copy.destination
    if source.closed:
        raise SmbError(Status.FILE_CLOSED)
    if chunk.source_offset + chunk.length > source.inode.size:
        raise SmbError(Status.INVALID_VIEW_SIZE, "the chunk reaches past the end of the source")
    check_read_locks(context, source, chunk.source_offset, chunk.length)

    def permit(offset: int, length: int) -> None:
        if not destination.granted_access & FILE_WRITE_DATA and offset < destination.inode.size:
            raise SmbError(Status.ACCESS_DENIED, "the open may only append")
        check_write_locks(context, destination, offset, length)

    permit(chunk.target_offset, chunk.length)
    volume = destination.volume
    if source.inode is destination.inode and abs(chunk.source_offset - chunk.target_offset) < chunk.length:
        data = await volume.read(source.inode, chunk.source_offset, chunk.length)
        await volume.write(destination.inode, chunk.target_offset, data, permit=permit)
        copy.record.copied(chunk.length, 0)
        return
    copied = await context.server.engine.copy(
        copy.record,
        volume,
        source.inode,
        chunk.source_offset,
        destination.inode,
        chunk.target_offset,
        chunk.length,
        permit=permit,
    )
    if copied < chunk.length:
        raise SmbError(Status.INVALID_VIEW_SIZE, "the source was cut off meanwhile")
