"""How files are stored: compression, integrity, object ids. A volume checksums every block and compresses none."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_READ_DATA, FILE_WRITE_DATA, require
from odxfs.smb.fsctl.call import file_of, needed
from odxfs.smb.request import SmbError
from odxfs.types import BLOCK_BYTES
from odxfs.wire.fsctl.integrity import (
    ChecksumAlgorithm,
    GetIntegrityInformationBuffer,
    SetIntegrityInformationBuffer,
)

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest

_COMPRESSION = struct.Struct("<H")
COMPRESSION_NONE = 0
_IDENTITY = struct.Struct("<QQ")
_OBJECT_ID_BYTES = 64


async def get_compression(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_GET_COMPRESSION: not compressed (MS-FSCC 2.3.18)."""
    if needed(opened).is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if request.max_output_response < _COMPRESSION.size:
        raise SmbError(Status.INVALID_PARAMETER)
    return _COMPRESSION.pack(COMPRESSION_NONE)


async def set_compression(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_SET_COMPRESSION: off is accepted, anything else is NOT_SUPPORTED (MS-FSCC 2.3.69)."""
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    require(found.granted_access, FILE_WRITE_DATA)
    if len(request.input_buffer) < _COMPRESSION.size:
        raise SmbError(Status.INVALID_PARAMETER)
    if _COMPRESSION.unpack_from(request.input_buffer)[0] != COMPRESSION_NONE:
        raise SmbError(Status.NOT_SUPPORTED)
    return b""


async def get_integrity_information(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_GET_INTEGRITY_INFORMATION: no integrity stream, the cluster is a block (MS-FSCC 2.3.20)."""
    found, _ = file_of(opened)
    require(found.granted_access, FILE_READ_DATA)
    if request.max_output_response < GetIntegrityInformationBuffer.LAYOUT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    return GetIntegrityInformationBuffer(ChecksumAlgorithm.NONE, 0, BLOCK_BYTES, BLOCK_BYTES).pack()


async def set_integrity_information(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """FSCTL_SET_INTEGRITY_INFORMATION: none and unchanged are accepted; the volume's own checksums stay on."""
    found, _ = file_of(opened)
    require(found.granted_access, FILE_WRITE_DATA)
    wanted = SetIntegrityInformationBuffer.unpack(request.input_buffer)
    if wanted.checksum_algorithm not in (ChecksumAlgorithm.NONE, ChecksumAlgorithm.UNCHANGED):
        raise SmbError(Status.NOT_SUPPORTED)
    return b""


async def object_id(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """FSCTL_CREATE_OR_GET_OBJECT_ID: an id that follows from pool, volume and inode, never stored (MS-FSCC 2.3.1, 2.1.3.1)."""
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if request.max_output_response < _OBJECT_ID_BYTES:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    identity = _IDENTITY.pack(found.volume.id, found.inode.number)
    return identity + context.server.pool.uuid.bytes_le + identity + bytes(16)
