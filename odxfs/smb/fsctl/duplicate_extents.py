"""Block cloning: FSCTL_DUPLICATE_EXTENTS_TO_FILE and _EX (MS-FSA 2.1.5.10.4 and .5, MS-SMB2 3.3.5.15.17 and .18).

The destination is never extended: what would lie past its end is left out, as Windows does. A source range may reach to the end
of the cluster that the source ends in (MS-FSCC 2.3.8), as programs ask that round a file's size up; what follows its end there
is zeros. It is pinned before the first byte appears, so SOURCE_ATOMIC holds, but for ranges of more than
MOST_OF_ONE_MOMENT, which are cloned in parts, with turns for others between them: there it is NOT_SUPPORTED.

Byte-range locks are not asked: MS-FSA says that a file system SHOULD, and that ReFS does not; programs know ReFS, and smbtorture
asserts that it is so. Unlike a copy by chunks, cloning passes the locks of other opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.offload import CallRecord, Mechanism
from odxfs.opens import Use
from odxfs.smb.access import FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_WRITE_DATA, require
from odxfs.smb.caching.waiting import break_caching, changing
from odxfs.smb.fsctl.call import (
    MAX_OFFSET,
    needed,
    recorded_copy,
    text_of,
)
from odxfs.smb.request import SmbError
from odxfs.types import BLOCK_BYTES
from odxfs.volume import MOST_OF_ONE_MOMENT
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fsctl.duplicate_extents import (
    EX_STRUCTURE_SIZE,
    SOURCE_ATOMIC,
    DuplicateExtentsData,
    DuplicateExtentsDataEx,
)

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.ioctl import IoctlRequest


async def duplicate_extents(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_DUPLICATE_EXTENTS_TO_FILE; no output."""
    await _duplicate(context, needed(opened), DuplicateExtentsData.unpack(request.input_buffer))
    return b""


async def duplicate_extents_ex(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_DUPLICATE_EXTENTS_TO_FILE_EX; no output."""
    call = DuplicateExtentsDataEx.unpack(request.input_buffer)
    if call.structure_size != EX_STRUCTURE_SIZE:
        raise SmbError(Status.NOT_SUPPORTED)
    if call.flags & SOURCE_ATOMIC and call.byte_count > MOST_OF_ONE_MOMENT:
        raise SmbError(Status.NOT_SUPPORTED)
    await _duplicate(context, needed(opened), call)
    return b""


async def _duplicate(
    context: RequestContext, destination: SmbOpen, call: DuplicateExtentsData | DuplicateExtentsDataEx
) -> None:
    with recorded_copy(context, Mechanism.DUPLICATE_EXTENTS, destination) as record:
        record.offset, record.length = call.target_file_offset, call.byte_count
        await _recorded_duplicate(context, destination, call, record)


async def _recorded_duplicate(
    context: RequestContext,
    destination: SmbOpen,
    call: DuplicateExtentsData | DuplicateExtentsDataEx,
    record: CallRecord,
) -> None:
    source = context.session.opens.get(call.source_file_id.volatile)
    if source is None or source.fid != call.source_file_id or source.closed:
        raise SmbError(Status.INVALID_HANDLE)
    record.source = text_of(source)
    _check_rights_and_ranges(source, destination, call)
    await break_caching(context, source, Use.READ)
    await break_caching(context, destination, Use.CHANGE)
    if source.closed:
        raise SmbError(Status.INVALID_HANDLE)
    count = min(call.byte_count, destination.inode.size - call.target_file_offset)
    if count <= 0:
        return
    volume, target = destination.volume, call.target_file_offset

    def permit(_offset: int, _length: int) -> None:
        if source.closed or destination.closed:
            raise SmbError(Status.FILE_CLOSED)

    with changing(context, destination):
        copied = await context.server.engine.copy(
            record,
            volume,
            source.inode,
            call.source_file_offset,
            destination.inode,
            target,
            count,
            may_grow=False,
            permit=permit,
        )
        if count - copied >= BLOCK_BYTES:
            raise SmbError(Status.NOT_SUPPORTED, "the source was cut off meanwhile")
        if copied < count:
            await volume.deallocate(destination.inode, target + copied, count - copied)


def _check_rights_and_ranges(
    source: SmbOpen, destination: SmbOpen, call: DuplicateExtentsData | DuplicateExtentsDataEx
) -> None:
    """The checks of MS-FSA 2.1.5.10.4 in their order."""
    if destination.is_pipe or source.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if destination.tree.share.read_only:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    require(destination.granted_access, FILE_WRITE_DATA)
    for value in (call.source_file_offset, call.target_file_offset, call.byte_count):
        if value < 0 or value % BLOCK_BYTES:
            raise SmbError(Status.INVALID_PARAMETER)
    if max(call.source_file_offset, call.target_file_offset) + call.byte_count > MAX_OFFSET:
        raise SmbError(Status.INVALID_PARAMETER)
    if not destination.inode.is_file or not source.inode.is_file:
        raise SmbError(Status.NOT_SUPPORTED)
    if source.granted_access & (FILE_READ_DATA | FILE_READ_ATTRIBUTES) == 0:
        raise SmbError(Status.INVALID_PARAMETER)
    require(source.granted_access, FILE_READ_DATA)
    if _end_of_last_block(source.inode) < call.source_file_offset + call.byte_count:
        raise SmbError(Status.NOT_SUPPORTED)
    if source.inode.volume != destination.inode.volume:
        raise SmbError(Status.INVALID_PARAMETER)
    if (
        source.inode.dos_attributes & FileAttributes.SPARSE_FILE
        and not destination.inode.dos_attributes & FileAttributes.SPARSE_FILE
    ):
        raise SmbError(Status.NOT_SUPPORTED)
    same = source.inode is destination.inode
    if same and abs(call.source_file_offset - call.target_file_offset) < call.byte_count:
        raise SmbError(Status.NOT_SUPPORTED)


def _end_of_last_block(inode: Inode) -> int:
    return -(-inode.size // BLOCK_BYTES) * BLOCK_BYTES
