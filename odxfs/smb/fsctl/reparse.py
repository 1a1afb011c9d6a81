"""FSCTL_GET_REPARSE_POINT: where a symbolic link leads (MS-FSCC 2.3.24, 2.1.2.4)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.fsctl.call import FsctlAnswer, needed
from odxfs.smb.information.attributes import reparse_tag
from odxfs.smb.request import SmbError
from odxfs.wire.cursor import encode_utf16
from odxfs.wire.fscc.classes import ReparseTag

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.ioctl import IoctlRequest

_HEAD = struct.Struct("<IHH")
_SYMLINK = struct.Struct("<HHHHI")
RELATIVE = 0x00000001


async def get_reparse_point(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """SmbError: NOT_A_REPARSE_POINT for files and directories; BUFFER_OVERFLOW with what fits."""
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    tag = reparse_tag(found.inode)
    if not tag:
        raise SmbError(Status.NOT_A_REPARSE_POINT)
    data = _symlink(found.inode) if tag == ReparseTag.SYMLINK else b""
    packed = _HEAD.pack(tag, len(data), 0) + data
    if request.max_output_response < _HEAD.size:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    if len(packed) > request.max_output_response:
        raise FsctlAnswer(Status.BUFFER_OVERFLOW, packed[: request.max_output_response])
    return packed


def _symlink(inode: Inode) -> bytes:
    """The target with backslashes, as substitute name and as print name; an absolute one is absolute on the server."""
    target = inode.target.decode("utf-8", "replace")
    name = encode_utf16(target.replace("/", "\\"))
    flags = 0 if target.startswith("/") else RELATIVE
    return _SYMLINK.pack(0, len(name), len(name), len(name), flags) + name + name
