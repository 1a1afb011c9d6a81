"""FSCTL_GET, _SET and _DELETE_REPARSE_POINT (MS-FSA 2.1.5.10.17, .37, .5): symbolic links and special files.

A symbolic link of the mount and a reparse point SYMLINK are one and the same. A client makes one by making an empty file or
folder first, which becomes the link; Linux' clients make fifos and sockets in the same way. Devices are only made on the mount,
other tags mean nothing here. Whether a link was made of a folder is kept as the attribute DIRECTORY.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from odxfs.errors import NotEmpty, NotPermitted
from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_WRITE_ATTRIBUTES, FILE_WRITE_DATA, may_remove, require, stored_security
from odxfs.smb.caching.folders import entry_changed
from odxfs.smb.fsctl.call import FsctlAnswer, needed
from odxfs.smb.information.attributes import reparse_tag
from odxfs.smb.request import SmbError
from odxfs.smb.security.posix import mode_of
from odxfs.volume import AttributeChange, encode_name
from odxfs.wire.fscc.classes import FileAttributes, ReparseTag
from odxfs.wire.fscc.security_descriptor import SecurityDescriptor
from odxfs.wire.fsctl.reparse import (
    HEAD,
    RELATIVE,
    NfsType,
    ReparseData,
    SymbolicLinkData,
    unpack_lx_symlink,
    unpack_nfs,
)

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.ioctl import IoctlRequest

_KINDS = {ReparseTag.LX_FIFO: stat.S_IFIFO, ReparseTag.AF_UNIX: stat.S_IFSOCK}
_NFS_KINDS = {NfsType.FIFO: stat.S_IFIFO, NfsType.SOCKET: stat.S_IFSOCK}


async def get_reparse_point(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """SmbError: NOT_A_REPARSE_POINT for files and directories; BUFFER_OVERFLOW with what fits."""
    found = _file_of(opened)
    tag = reparse_tag(found.inode)
    if not tag:
        raise SmbError(Status.NOT_A_REPARSE_POINT)
    packed = ReparseData(tag, _symlink(found.inode) if tag == ReparseTag.SYMLINK else b"").pack()
    if request.max_output_response < HEAD.size:
        raise SmbError(Status.BUFFER_TOO_SMALL)
    if len(packed) > request.max_output_response:
        raise FsctlAnswer(Status.BUFFER_OVERFLOW, packed[: request.max_output_response])
    return packed


async def set_reparse_point(context: RequestContext, opened: SmbOpen | None, request: IoctlRequest) -> bytes:
    """Make a link or a special file of an empty file or folder; or give a link another target.

    SmbError: IO_REPARSE_DATA_INVALID, IO_REPARSE_TAG_MISMATCH, DIRECTORY_NOT_EMPTY, NOT_SUPPORTED for tags that mean nothing
    here, ACCESS_DENIED for a file with several names, SHARING_VIOLATION where somebody else has it open.
    """
    found = await _changeable(context, opened)
    wanted = ReparseData.unpack(request.input_buffer)
    kind, target = _meaning(wanted)
    present = reparse_tag(found.inode)
    if present and present != wanted.tag:
        raise SmbError(Status.IO_REPARSE_TAG_MISMATCH)
    was_directory = found.is_directory
    await _change(context, found, kind, target)
    if was_directory:
        marked = found.inode.dos_attributes | FileAttributes.DIRECTORY
        await found.volume.set_attributes(found.inode, AttributeChange(dos_attributes=marked))
    entry_changed(context.server, found)
    return b""


async def delete_reparse_point(
    context: RequestContext, opened: SmbOpen | None, request: IoctlRequest
) -> bytes:
    """Make an empty file, or folder, of a link or a special file."""
    found = await _changeable(context, opened)
    wanted = ReparseData.unpack(request.input_buffer)
    present = reparse_tag(found.inode)
    if not present:
        raise SmbError(Status.NOT_A_REPARSE_POINT)
    if wanted.tag != present:
        raise SmbError(Status.IO_REPARSE_TAG_MISMATCH)
    is_folder = found.inode.dos_attributes & FileAttributes.DIRECTORY
    await _change(context, found, stat.S_IFDIR if is_folder else stat.S_IFREG, b"")
    if is_folder:
        plain = found.inode.dos_attributes & ~FileAttributes.DIRECTORY
        await found.volume.set_attributes(found.inode, AttributeChange(dos_attributes=plain))
    entry_changed(context.server, found)
    return b""


def _file_of(opened: SmbOpen | None) -> SmbOpen:
    found = needed(opened)
    if found.is_pipe:
        raise SmbError(Status.INVALID_DEVICE_REQUEST)
    if found.is_stream:
        raise SmbError(Status.INVALID_PARAMETER, "a stream leads nowhere")
    return found


async def _changeable(context: RequestContext, opened: SmbOpen | None) -> SmbOpen:
    """The open of what may become something else.

    By a list the rights of the open say who may, as on Windows. By a mode they are those of the w bit, which does not mean that:
    it is for the owner, and for who could remove the inode and make what he likes in its place.
    """
    found = _file_of(opened)
    require(found.granted_access, FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES)
    if found.parent is None:
        raise SmbError(Status.ACCESS_DENIED, "the root of a share stays what it is")
    if found.inode.rdev:
        raise SmbError(Status.NOT_SUPPORTED, "devices belong to the mount")
    _check_alone(context, found)
    folder, inode, token = await found.volume.inode(found.parent), found.inode, context.token
    for each in (folder, inode):
        await found.volume.security(each)
    is_owner = token.uid in (0, inode.uid)
    if not stored_security(inode) and not is_owner and not may_remove(folder, inode, token):
        raise SmbError(Status.ACCESS_DENIED)
    return found


def _check_alone(context: RequestContext, opened: SmbOpen) -> None:
    """Nobody else may have it open: who does has been told what it is."""
    if opened.entry is None or not context.server.opens.is_last(opened.entry):
        raise SmbError(Status.SHARING_VIOLATION, "somebody else has it open")


def _meaning(wanted: ReparseData) -> tuple[int, bytes]:
    """The kind of inode (S_IFMT) and the target that a reparse point stands for."""
    if wanted.tag == ReparseTag.SYMLINK:
        link = SymbolicLinkData.unpack(wanted.data)
        return stat.S_IFLNK, _target(
            link.substitute_name.replace("\\", "/"), is_relative=bool(link.flags & RELATIVE)
        )
    if wanted.tag == ReparseTag.LX_SYMLINK:
        return stat.S_IFLNK, _checked(unpack_lx_symlink(wanted.data))
    if wanted.tag == ReparseTag.NFS:
        nfs_type, name = unpack_nfs(wanted.data)
        if nfs_type == NfsType.SYMLINK:
            return stat.S_IFLNK, _checked(encode_name(name))
        kind = _NFS_KINDS.get(nfs_type)
    else:
        kind = _KINDS.get(wanted.tag)  # type: ignore[call-overload]
    if kind is None:
        raise SmbError(Status.NOT_SUPPORTED, f"a reparse point of tag {wanted.tag:#x}")
    return kind, b""


def _target(name: str, *, is_relative: bool) -> bytes:
    """An absolute target keeps what a client's drive or server is called: it leads nowhere on the mount."""
    if is_relative == name.startswith("/"):
        raise SmbError(Status.IO_REPARSE_DATA_INVALID)
    return _checked(encode_name(name))


def _checked(target: bytes) -> bytes:
    if not target or b"\0" in target:
        raise SmbError(Status.IO_REPARSE_DATA_INVALID)
    return target


def _bits_of(context: RequestContext, inode: Inode, kind: int) -> int:
    """The permission bits of what is no link. What was one gets those that follow from its list, else it is its owner's alone."""
    if not inode.is_symlink:
        return stat.S_IMODE(inode.mode)
    stored = stored_security(inode)
    if stored:
        descriptor = SecurityDescriptor.unpack(stored)
        return mode_of(descriptor, kind, inode.gid, context.server.users)
    return 0o700 if kind == stat.S_IFDIR else 0o600


async def _change(context: RequestContext, opened: SmbOpen, kind: int, target: bytes) -> None:
    """Change what the open's inode is; the open is none of a directory from then on, or one."""

    def permit(_inode: Inode) -> None:
        _check_alone(context, opened)

    bits = 0o777 if kind == stat.S_IFLNK else _bits_of(context, opened.inode, kind)
    try:
        await opened.volume.change_kind(opened.inode, kind | bits, target, permit)
    except NotEmpty as error:
        empty = Status.DIRECTORY_NOT_EMPTY if opened.is_directory else Status.IO_REPARSE_DATA_INVALID
        raise SmbError(empty, str(error)) from error
    except NotPermitted as error:
        raise SmbError(Status.ACCESS_DENIED, str(error)) from error
    opened.is_directory = opened.inode.is_directory


def _symlink(inode: Inode) -> bytes:
    """The target with backslashes, as substitute name and as print name; an absolute one is absolute on the server."""
    target = inode.target.decode("utf-8", "replace")
    name = target.replace("/", "\\")
    return SymbolicLinkData(name, name, 0 if target.startswith("/") else RELATIVE).pack()
