"""The FSCTLs of named pipes: FSCTL_PIPE_TRANSCEIVE, _PEEK and _WAIT (MS-FSCC 2.3.45 to 2.3.49)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_READ_DATA, FILE_WRITE_DATA, require
from odxfs.smb.fsctl.call import FsctlAnswer, needed
from odxfs.smb.request import SmbError
from odxfs.smb.rpc.endpoints import PIPE_NAMES
from odxfs.smb.rpc.pipe import Pipe

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.wire.ioctl import IoctlRequest

_PEEK = struct.Struct("<IIII")
_PIPE_CONNECTED = 3
_WAIT = struct.Struct("<QIBx")


def _pipe(opened: SmbOpen | None, *rights: int) -> Pipe:
    """The pipe, of an open with each of the rights that the control code asks for (MS-FSCC 2.3)."""
    found = needed(opened)
    if found.pipe is None:
        raise SmbError(Status.INVALID_DEVICE_REQUEST, "not a pipe")
    for right in rights:
        require(found.granted_access, right)
    return found.pipe


async def pipe_transceive(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """Write a message, read the answer; BUFFER_OVERFLOW with what fits, the rest is for READ (MS-SMB2 3.3.5.15.3)."""
    pipe = _pipe(opened, FILE_READ_DATA, FILE_WRITE_DATA)
    await context.server.call_turns.drive(pipe.take_alone(request.input_buffer))
    answer, more = pipe.read(request.max_output_response)
    if more:
        raise FsctlAnswer(Status.BUFFER_OVERFLOW, answer)
    return answer


async def pipe_peek(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """How much there is to read; none of it is shown ahead (MS-FSCC 2.3.46)."""
    pipe = _pipe(opened, FILE_READ_DATA)
    if request.max_output_response < _PEEK.size:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    return _PEEK.pack(_PIPE_CONNECTED, pipe.waiting_bytes, pipe.messages, 0)


async def pipe_wait(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """Wait for a free instance: every pipe there is always has one (MS-FSCC 2.3.49)."""
    if len(request.input_buffer) < _WAIT.size:
        raise SmbError(Status.INVALID_PARAMETER)
    _, name_length, _ = _WAIT.unpack_from(request.input_buffer)
    name = request.input_buffer[_WAIT.size : _WAIT.size + name_length].decode("utf-16-le", "replace")
    if not context.tree.is_ipc or name.lower() not in PIPE_NAMES:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    return b""
