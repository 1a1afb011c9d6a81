"""Holes: sparse marking, zeroing, trimming, and where the data is (MS-FSA 2.1.5.10.6, .22, .24, .38, .39).

A volume frees the blocks of a zeroed or trimmed range whether the file is marked sparse or not; the mark only decides what
a client is told. A file that nobody marked is never shown as sparse: Hyper-V refuses such disks (MS-HVRS C0008).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.offload.zeroing import write_zeros
from odxfs.opens import Use
from odxfs.smb.access import (
    FILE_APPEND_DATA,
    FILE_READ_DATA,
    FILE_WRITE_ATTRIBUTES,
    FILE_WRITE_DATA,
    require,
)
from odxfs.smb.caching.folders import entry_changed
from odxfs.smb.caching.waiting import break_caching, changing
from odxfs.smb.fsctl.call import MAX_OFFSET, FsctlAnswer, check_range, check_write_locks, file_of
from odxfs.smb.request import SmbError
from odxfs.types import BLOCK_BYTES
from odxfs.volume import AttributeChange

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.ioctl import IoctlRequest

from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fsctl.file_regions import FileRegion, FileRegionInput, FileRegionOutput, RegionUsage
from odxfs.wire.fsctl.sparse import (
    RANGE_BYTES,
    FileAllocatedRange,
    FileSetSparseBuffer,
    FileZeroDataInformation,
    pack_allocated_ranges,
)
from odxfs.wire.fsctl.trim import FileLevelTrim, FileLevelTrimOutput

_USAGES = RegionUsage.VALID_CACHED_DATA | RegionUsage.VALID_NONCACHED_DATA
MAX_RANGES = 4096
"""Ranges of one QUERY_ALLOCATED_RANGES answer (64 KiB) and of one trim; the client asks again from where it was cut."""


async def set_sparse(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SET_SPARSE: no input means TRUE, a zero byte FALSE; more input is ignored (MS-FSCC 2.3.83)."""
    found, inode = file_of(opened)
    require(found.granted_access, FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | FILE_APPEND_DATA)
    sparse = FileSetSparseBuffer.unpack(request.input_buffer).set_sparse
    attributes = (
        inode.dos_attributes | FileAttributes.SPARSE_FILE
        if sparse
        else inode.dos_attributes & ~FileAttributes.SPARSE_FILE
    )
    if attributes != inode.dos_attributes:
        await found.volume.set_attributes(inode, AttributeChange(dos_attributes=attributes))
        entry_changed(context.server, found)
    return b""


async def set_zero_data(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SET_ZERO_DATA: zeros up to the end of the file, which never moves."""
    found, inode = file_of(opened)
    require(found.granted_access, FILE_WRITE_DATA)
    call = FileZeroDataInformation.unpack(request.input_buffer)
    start, beyond = call.file_offset, call.beyond_final_zero
    if start < 0 or beyond < 0 or start > beyond:
        raise SmbError(Status.INVALID_PARAMETER)
    await break_caching(context, found, Use.CHANGE)
    length = min(beyond, inode.size) - start
    if length <= 0:
        return b""
    check_write_locks(context, found, start, length)
    await _zero(context, found, start, length)
    return b""


async def _zero(context: RequestContext, opened: SmbOpen, start: int, length: int) -> None:
    """Zeros for a range inside the file, as long as the open stands and nobody locks what is left.

    Raises SmbError(FILE_CLOSED, FILE_LOCK_CONFLICT), VolumeError.
    """
    done, permit = 0, partial(check_write_locks, context, opened)
    with changing(context, opened):
        while done < length:
            if opened.closed:
                raise SmbError(Status.FILE_CLOSED)
            done += await write_zeros(
                opened.volume, opened.inode, start + done, length - done, lambda: opened.closed, permit
            )


async def query_allocated_ranges(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_QUERY_ALLOCATED_RANGES; BUFFER_OVERFLOW with what fits, and with MAX_RANGES where there are more."""
    found, inode = file_of(opened)
    require(found.granted_access, FILE_READ_DATA)
    asked = FileAllocatedRange.unpack(request.input_buffer)
    check_range(asked.file_offset, asked.length)
    if asked.length == 0:
        return b""
    ranges = await _allocated(found, inode, asked)
    if not ranges:
        return b""
    room = min(request.max_output_response // RANGE_BYTES, MAX_RANGES)
    if room == 0:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    packed = pack_allocated_ranges(ranges[:room])
    if len(ranges) > room:
        raise FsctlAnswer(Status.BUFFER_OVERFLOW, packed)
    return packed


async def _allocated(opened: SmbOpen, inode: Inode, asked: FileAllocatedRange) -> list[tuple[int, int]]:
    """The data in the range asked for; a file that is not marked sparse has data everywhere up to its end."""
    length = min(asked.length, inode.size - asked.file_offset)
    if length <= 0:
        return []
    if not inode.dos_attributes & FileAttributes.SPARSE_FILE:
        return [(asked.file_offset, length)]
    return await opened.volume.allocated_ranges(inode, asked.file_offset, length, MAX_RANGES + 1)


async def file_level_trim(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_FILE_LEVEL_TRIM: whole blocks of each range are freed and read as zeros (MS-FSCC 2.3.13, MS-SMB2 3.3.5.15.14)."""
    found, inode = file_of(opened)
    require(found.granted_access, FILE_WRITE_DATA)
    call = FileLevelTrim.unpack(request.input_buffer)
    if call.key or not call.ranges or len(call.ranges) > MAX_RANGES:
        raise SmbError(Status.INVALID_PARAMETER)
    if 0 < request.max_output_response < FileLevelTrimOutput.LAYOUT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    await break_caching(context, found, Use.CHANGE)
    processed = 0
    for part in call.ranges:
        if part.offset + part.length >= 2**64:
            raise SmbError(Status.INTEGER_OVERFLOW)
        start = -(-part.offset // BLOCK_BYTES) * BLOCK_BYTES
        end = min(part.offset + part.length, inode.size) // BLOCK_BYTES * BLOCK_BYTES
        if start < end:
            check_write_locks(context, found, start, end - start)
            await _zero(context, found, start, end - start)
            processed += 1
    if not processed:
        raise SmbError(Status.NO_RANGES_PROCESSED)
    return FileLevelTrimOutput(processed).pack() if request.max_output_response else b""


async def query_file_regions(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_QUERY_FILE_REGIONS: valid data ends at the end of the file, so there is at most one region (MS-FSCC 2.3.56)."""
    found, inode = file_of(opened)
    require(found.granted_access, FILE_READ_DATA)
    if request.input_buffer:
        asked = FileRegionInput.unpack(request.input_buffer)
    else:
        asked = FileRegionInput(0, MAX_OFFSET, RegionUsage.VALID_CACHED_DATA)
    check_range(asked.file_offset, asked.length)
    if asked.length == 0 or asked.desired_usage & ~_USAGES or not asked.desired_usage:
        raise SmbError(Status.INVALID_PARAMETER)
    length = min(asked.length, inode.size - asked.file_offset)
    if length <= 0:
        return b""
    return FileRegionOutput((FileRegion(asked.file_offset, length, asked.desired_usage),), 1).pack()
