"""How files are stored: compression, integrity, object ids. A volume checksums every block and compresses none."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_WRITE_DATA, require
from odxfs.smb.fsctl.call import needed
from odxfs.smb.request import SmbError
from odxfs.types import BLOCK_BYTES
from odxfs.wire.fsctl.integrity import (
    ChecksumAlgorithm,
    GetIntegrityInformationBuffer,
    SetIntegrityInformationBuffer,
    SetIntegrityInformationBufferEx,
)

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest

_COMPRESSION = struct.Struct("<H")
COMPRESSION_NONE, COMPRESSION_LZNT1 = 0, 2
_IDENTITY = struct.Struct("<QQ")
_OBJECT_ID_BYTES = 64


async def get_compression(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_GET_COMPRESSION: not compressed (MS-FSCC 2.3.18)."""
    _not_a_pipe(opened)
    if request.max_output_response < _COMPRESSION.size:
        raise SmbError(Status.INVALID_PARAMETER)
    return _COMPRESSION.pack(COMPRESSION_NONE)


async def set_compression(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SET_COMPRESSION: off is accepted, a way to compress is NOT_SUPPORTED (MS-FSCC 2.3.67, MS-FSA 2.1.5.10.30)."""
    require(_not_a_pipe(opened).granted_access, FILE_WRITE_DATA)
    if len(request.input_buffer) < _COMPRESSION.size:
        raise SmbError(Status.INVALID_PARAMETER)
    wanted = _COMPRESSION.unpack_from(request.input_buffer)[0]
    if wanted > COMPRESSION_LZNT1:
        raise SmbError(Status.INVALID_PARAMETER)
    if wanted != COMPRESSION_NONE:
        raise SmbError(Status.NOT_SUPPORTED)
    return b""


async def get_integrity_information(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_GET_INTEGRITY_INFORMATION of a file or folder: no integrity stream, the cluster is a block (MS-FSCC 2.3.20)."""
    _not_a_pipe(opened)
    if request.max_output_response < GetIntegrityInformationBuffer.LAYOUT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    return GetIntegrityInformationBuffer(ChecksumAlgorithm.NONE, 0, BLOCK_BYTES, BLOCK_BYTES).pack()


async def set_integrity_information(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_SET_INTEGRITY_INFORMATION: none and unchanged are accepted; the volume's own checksums stay on.

    SmbError: NOT_SUPPORTED for the algorithms there are, INVALID_PARAMETER for any other (MS-FSCC 2.3.74).
    """
    require(_not_a_pipe(opened).granted_access, FILE_WRITE_DATA)
    wanted = SetIntegrityInformationBuffer.unpack(request.input_buffer).checksum_algorithm
    if wanted not in (ChecksumAlgorithm.NONE, ChecksumAlgorithm.UNCHANGED):
        known = wanted in frozenset(ChecksumAlgorithm)
        raise SmbError(Status.NOT_SUPPORTED if known else Status.INVALID_PARAMETER)
    return b""


async def set_integrity_information_ex(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_SET_INTEGRITY_INFORMATION_EX: like the other; only off, or what it is, is accepted (MS-FSCC 2.3.75)."""
    require(_not_a_pipe(opened).granted_access, FILE_WRITE_DATA)
    wanted = SetIntegrityInformationBufferEx.unpack(request.input_buffer)
    if wanted.version != 1:
        raise SmbError(Status.INVALID_PARAMETER)
    if wanted.enable_integrity and not wanted.keep_integrity_state_unchanged:
        raise SmbError(Status.NOT_SUPPORTED)
    return b""


async def object_id(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_CREATE_OR_GET_OBJECT_ID: an id that follows from pool, volume and inode, never stored (MS-FSA 2.1.5.10.1)."""
    found = _not_a_pipe(opened)
    if request.max_output_response < _OBJECT_ID_BYTES:
        raise SmbError(Status.INVALID_PARAMETER)
    identity = _IDENTITY.pack(found.volume.id, found.file_inode.number)
    return identity + context.server.pool.uuid.bytes_le + identity + bytes(16)


def _not_a_pipe(opened: SmbOpen | None) -> SmbOpen:
    """The open of a file, a folder or a link; SmbError(INVALID_DEVICE_REQUEST) for pipes, which are not stored."""
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    return found
