"""Rename and hard link: FileRenameInformation(Ex), FileLinkInformation(Ex) (MS-FSA 2.1.5.15.11 and .7).

A path is relative to the share, whatever the open's own directory; a RootDirectory is refused as MS-FSCC 2.4.42 says.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import (
    DELETE,
    FILE_ADD_FILE,
    FILE_ATTRIBUTE_READONLY,
    may_change_entries,
    may_link,
    may_remove,
    require,
)
from odxfs.smb.paths import SEPARATOR, ResolvedPath, resolve, stored_name, wire_name
from odxfs.smb.previous_versions import names_previous_version
from odxfs.smb.request import SmbError
from odxfs.volume import Inode, RenameFlags

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

FILE_SHARE_READ, FILE_SHARE_WRITE = 1, 2


async def rename(context: RequestContext, opened: SmbOpen, path: str, *, replace: bool) -> None:
    """Give what `opened` names the name `path`. SmbError as MS-FSA has it; the opens' paths follow."""
    require(opened.granted_access, DELETE)
    if opened.parent is None:
        raise SmbError(Status.ACCESS_DENIED, "the root of a share has no name to change")
    target = await _target(context, path)
    _check_children_closed(context, opened)
    if target.inode is not None and not _is_itself(opened, target):
        await _check_replaceable(context, target, replace=replace)
    assert target.parent is not None
    await _check_directories(context, opened, target.parent)
    await _move(opened, target, path)
    _follow(context, opened, target, path)


async def link(context: RequestContext, opened: SmbOpen, path: str, *, replace: bool) -> None:
    """Give the open file the further name `path`. No right of the open stands for that: file and directory modes decide."""
    if opened.tree.share.read_only:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    if opened.is_directory:
        raise SmbError(Status.FILE_IS_A_DIRECTORY)
    if opened.entry is not None and context.server.opens.is_delete_pending(opened.inode.number):
        raise SmbError(Status.ACCESS_DENIED)
    if not may_link(opened.inode, context.session.uid, context.session.gid):
        raise SmbError(Status.ACCESS_DENIED)
    target = await _target(context, path)
    assert target.parent is not None
    if not may_change_entries(target.parent, context.session.uid, context.session.gid):
        raise SmbError(Status.ACCESS_DENIED)
    if target.inode is not None:
        if target.inode is opened.inode:
            return
        await _check_replaceable(context, target, replace=replace)
        await opened.volume.unlink(target.parent.number, target.name)
    await opened.volume.link(opened.inode, target.parent.number, _wanted_name(path))


async def _target(context: RequestContext, path: str) -> ResolvedPath:
    """Where `path` leads; a leading separator is forgiven, as Windows and Samba do."""
    wanted = path.removeprefix(SEPARATOR)
    if not wanted:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if ":" in wanted:
        raise SmbError(Status.NOT_SUPPORTED, "there are no named streams")
    if names_previous_version(wanted):
        raise SmbError(Status.MEDIA_WRITE_PROTECTED, "nothing gets a name in a previous version")
    target = await resolve(context.tree.view, wanted, context.session.uid, context.session.gid)
    if target.parent is None:
        raise SmbError(Status.ACCESS_DENIED, "the root of a share cannot be replaced")
    return target


def _wanted_name(path: str) -> bytes:
    return stored_name(path.rstrip(SEPARATOR).rpartition(SEPARATOR)[2])


def _is_itself(opened: SmbOpen, target: ResolvedPath) -> bool:
    """A rename that only changes the case of the name, or nothing."""
    assert target.parent is not None
    return opened.parent == target.parent.number and opened.name == target.name


async def _check_replaceable(context: RequestContext, target: ResolvedPath, *, replace: bool) -> None:
    victim = target.inode
    assert victim is not None
    if not replace:
        raise SmbError(Status.OBJECT_NAME_COLLISION)
    if stat.S_ISDIR(victim.mode) or victim.dos_attributes & FILE_ATTRIBUTE_READONLY:
        raise SmbError(Status.ACCESS_DENIED)
    if context.server.opens.is_open(victim.number):
        raise SmbError(Status.ACCESS_DENIED, "the target is open")
    assert target.parent is not None
    if not may_remove(target.parent, victim, context.session.uid, context.session.gid):
        raise SmbError(Status.ACCESS_DENIED)


async def _check_directories(context: RequestContext, opened: SmbOpen, new_parent: Inode) -> None:
    """The rights in both directories, and whether whoever has the new one open lets names be added to it."""
    uid, gid = context.session.uid, context.session.gid
    assert opened.parent is not None
    old_parent = await opened.volume.inode(opened.parent)
    if not may_remove(old_parent, opened.inode, uid, gid) or not may_change_entries(new_parent, uid, gid):
        raise SmbError(Status.ACCESS_DENIED)
    share = FILE_SHARE_READ | FILE_SHARE_WRITE
    if not context.server.opens.check(new_parent.number, FILE_ADD_FILE, share):
        raise SmbError(Status.SHARING_VIOLATION)


def _check_children_closed(context: RequestContext, opened: SmbOpen) -> None:
    """A directory is not renamed while a file below it is open through any share of the same volume."""
    if not opened.is_directory:
        return
    below = _absolute_path(opened) + SEPARATOR
    for other in context.server.registry:
        if (
            other is not opened
            and not other.is_pipe
            and not other.is_previous_version
            and other.volume.id == opened.volume.id
            and _absolute_path(other).startswith(below)
        ):
            raise SmbError(Status.ACCESS_DENIED, "something below the directory is open")


def _absolute_path(opened: SmbOpen) -> str:
    share = opened.tree.share.path.strip("/").replace("/", SEPARATOR)
    return SEPARATOR.join(part for part in (share, opened.path) if part).casefold()


async def _move(opened: SmbOpen, target: ResolvedPath, path: str) -> None:
    assert opened.parent is not None
    assert target.parent is not None
    flags = RenameFlags.NOREPLACE if target.inode is None else RenameFlags.NONE
    name = _wanted_name(path)
    if _is_itself(opened, target) and name == opened.name:
        return
    if target.inode is not None and target.name != name and not _is_itself(opened, target):
        await opened.volume.unlink(target.parent.number, target.name)
    if _is_itself(opened, target):
        flags = RenameFlags.NONE
    await opened.volume.rename(opened.parent, opened.name, target.parent.number, name, flags)


def _follow(context: RequestContext, opened: SmbOpen, target: ResolvedPath, path: str) -> None:
    """Every open of this name learns the new one."""
    assert target.parent is not None
    old_parent, old_name, inode = opened.parent, opened.name, opened.inode
    name = _wanted_name(path)
    directory = target.path.rpartition(SEPARATOR)[0]
    opens = context.server.opens
    if opens.name_to_delete(inode.number) == (old_parent, old_name):
        opens.set_delete_pending(inode.number, True, (target.parent.number, name))
    for other in context.server.registry:
        if other.attached_inode is inode and other.parent == old_parent and other.name == old_name:
            other.parent, other.name = target.parent.number, name
            if other.view.root == opened.view.root:
                other.path = SEPARATOR.join(part for part in (directory, wire_name(name)) if part)
