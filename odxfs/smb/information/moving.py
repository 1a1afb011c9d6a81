"""Rename and hard link: FileRenameInformation(Ex), FileLinkInformation(Ex) (MS-FSA 2.1.5.15.11 and .7).

A path is relative to the share, whatever the open's own directory; a RootDirectory is refused as MS-FSCC 2.4.42 says.
"""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.opens import Use
from odxfs.smb.access import (
    DELETE,
    FILE_ADD_FILE,
    FILE_ADD_SUBDIRECTORY,
    FILE_ATTRIBUTE_READONLY,
    FILE_WRITE_ATTRIBUTES,
    may_change_entries,
    may_delete,
    may_link,
    may_remove,
    require,
    rights,
)
from odxfs.smb.caching.folders import folder_changed
from odxfs.smb.caching.waiting import break_caching, break_caching_of
from odxfs.smb.information.open_below import Ways, load_ways, opens_below
from odxfs.smb.information.stream_moving import rename_stream
from odxfs.smb.paths import SEPARATOR, ResolvedPath, resolve, stored_name, wire_name
from odxfs.smb.previous_versions import names_previous_version
from odxfs.smb.request import SmbError
from odxfs.smb.streams import open_streams
from odxfs.volume import Inode, RenameFlags

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext

FILE_SHARE_READ, FILE_SHARE_WRITE = 1, 2


async def rename(
    context: RequestContext, opened: SmbOpen, path: str, *, replace: bool, ignore_read_only: bool = False
) -> None:
    """Give what `opened` names the name `path`. SmbError as MS-FSA has it; the opens' paths follow.

    With `ignore_read_only` a READONLY file is replaced by who may write its attributes.

    Returns when the kernel has forgotten the old name, if it knew it: it would go on leading a local program to what has moved.
    """
    require(opened.granted_access, DELETE)
    if path.startswith(":"):
        await rename_stream(context, opened, path, replace=replace)
        return
    if opened.is_stream or ":" in path:
        raise SmbError(Status.SHARING_VIOLATION, "a stream stays with its file")
    if opened.parent is None:
        raise SmbError(Status.ACCESS_DENIED, "the root of a share has no name to change")
    _require_kept(context, opened)
    await break_caching(context, opened, Use.RENAME)
    target = await _target(context, path)
    _ways = await _check_children_closed(context, opened)  # kept for when that is asked again
    if target.inode is opened.inode and not _is_itself(opened, target):
        _check_mergeable(context, target, replace=replace)
    elif target.inode is not None and not _is_itself(opened, target):
        await _check_replaceable(context, target, replace=replace, ignore_read_only=ignore_read_only)
    assert target.parent is not None
    _require_lasting(context, target)
    await _check_directories(context, opened, target.parent)
    old_parent = opened.parent
    await _move(context, opened, target, path)
    folder_changed(context.server, old_parent, opened)
    folder_changed(context.server, target.parent.number, opened)
    await opened.volume.pool.followed(old_parent, target.parent.number)


async def link(context: RequestContext, opened: SmbOpen, path: str, *, replace: bool) -> None:
    """Give the open file the further name `path`. No right of the open stands for that: file and directory modes decide."""
    if opened.tree.share.read_only:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    if opened.is_directory:
        raise SmbError(Status.FILE_IS_A_DIRECTORY)
    if opened.is_stream:
        raise SmbError(Status.INVALID_PARAMETER, "a stream has one name")
    _require_kept(context, opened)
    await opened.volume.security(opened.inode)
    if not may_link(opened.inode, context.token):
        raise SmbError(Status.ACCESS_DENIED)
    await break_caching(context, opened, Use.RENAME)
    target = await _target(context, path)
    assert target.parent is not None
    _require_lasting(context, target)
    if not may_change_entries(target.parent, context.token):
        raise SmbError(Status.ACCESS_DENIED)
    if target.inode is not None:
        if target.inode is opened.inode:
            return
        await _check_replaceable(context, target, replace=replace)
    instead_of = target.name if target.inode is not None else None
    await opened.volume.link(
        opened.inode,
        target.parent.number,
        _wanted_name(path),
        instead_of,
        partial(_permit, context, target),
        ignoring_case=True,
    )
    folder_changed(context.server, target.parent.number, opened)
    if target.inode is not None:
        await opened.volume.pool.followed(target.parent.number)


def _require_kept(context: RequestContext, opened: SmbOpen) -> None:
    """What is to be deleted with its last close gets no other name, nor a further one (MS-FSA, Open.Link.IsDeleted)."""
    if context.server.opens.is_delete_pending(opened.inode.number, opened.entry_name):
        raise SmbError(Status.ACCESS_DENIED, "it is to be deleted")


async def _target(context: RequestContext, path: str) -> ResolvedPath:
    """Where `path` leads; a leading separator is forgiven, as Windows and Samba do."""
    wanted = path.removeprefix(SEPARATOR)
    if not wanted:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if ":" in wanted:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if names_previous_version(wanted):
        raise SmbError(Status.MEDIA_WRITE_PROTECTED, "nothing gets a name in a previous version")
    target = await resolve(context.tree.view, wanted, context.token)
    if target.parent is None:
        raise SmbError(Status.ACCESS_DENIED, "the root of a share cannot be replaced")
    return target


def _wanted_name(path: str) -> bytes:
    return stored_name(path.rstrip(SEPARATOR).rpartition(SEPARATOR)[2])


def _is_itself(opened: SmbOpen, target: ResolvedPath) -> bool:
    """A rename that only changes the case of the name, or nothing."""
    assert target.parent is not None
    return opened.parent == target.parent.number and opened.name == target.name


async def _check_replaceable(
    context: RequestContext, target: ResolvedPath, *, replace: bool, ignore_read_only: bool = False
) -> None:
    victim = target.inode
    assert victim is not None
    if not replace:
        raise SmbError(Status.OBJECT_NAME_COLLISION)
    protected = victim.dos_attributes & FILE_ATTRIBUTE_READONLY
    if protected and ignore_read_only:
        protected = FILE_WRITE_ATTRIBUTES & ~rights(victim, context.token)
    if stat.S_ISDIR(victim.mode) or protected:
        raise SmbError(Status.ACCESS_DENIED)
    await break_caching_of(context, {victim.number}, Use.RENAME)
    _permit(context, target, victim)
    assert target.parent is not None
    if not may_remove(target.parent, victim, context.token):
        raise SmbError(Status.ACCESS_DENIED)


def _check_mergeable(context: RequestContext, target: ResolvedPath, *, replace: bool) -> None:
    """The target is another name of the open file: that stays, with all that is open by it, and the old name goes."""
    assert target.inode is not None
    if not replace:
        raise SmbError(Status.OBJECT_NAME_COLLISION)
    if context.server.opens.is_delete_pending(target.inode.number, target.entry_name):
        raise SmbError(Status.ACCESS_DENIED, "the target is to be deleted")


def _permit(context: RequestContext, target: ResolvedPath, found: Inode) -> None:
    """What has the name now loses it if it is what was judged and no client has it open. Asked again when nothing waits."""
    if found is not target.inode:
        raise SmbError(Status.OBJECT_NAME_COLLISION, "the name is another file's by now")
    if context.server.opens.name_is_kept(found.number):
        raise SmbError(Status.ACCESS_DENIED, "the target is open")


def _require_lasting(context: RequestContext, target: ResolvedPath) -> None:
    """A directory that is to be deleted gets no further names: it would stay for them."""
    assert target.parent is not None
    if context.server.opens.is_delete_pending(target.parent.number):
        raise SmbError(Status.DELETE_PENDING)


async def _check_directories(context: RequestContext, opened: SmbOpen, new_parent: Inode) -> None:
    """The rights in both directories, and whether whoever has the new one open lets names be added to it.

    By an access list DELETE of the open is enough to take a name away, by a mode the w bit of the folder counts as well.
    """
    token = context.token
    assert opened.parent is not None
    volume = opened.volume
    old_parent = await volume.inode(opened.parent)
    for each in (old_parent, new_parent, opened.inode):
        await volume.security(each)
    right = FILE_ADD_SUBDIRECTORY if opened.is_directory else FILE_ADD_FILE
    if not may_delete(old_parent, opened.inode, token) or not may_change_entries(new_parent, token, right):
        raise SmbError(Status.ACCESS_DENIED)
    share = FILE_SHARE_READ | FILE_SHARE_WRITE
    if not context.server.opens.check(new_parent.number, FILE_ADD_FILE, share):
        await break_caching_of(context, {new_parent.number}, Use.OPEN_UNSHARED)
    if not context.server.opens.check(new_parent.number, FILE_ADD_FILE, share):
        raise SmbError(Status.SHARING_VIOLATION)


async def _check_children_closed(context: RequestContext, opened: SmbOpen) -> Ways:
    """A file is not renamed while a stream of it is open, nor a directory while a file below it is open through any share.

    Clients that only keep such a file open because they cache it are asked to close it first (MS-FSA 2.1.4.2). Returns the ways
    that were looked at: while they are kept `_require_children_closed` can be asked when nothing waits.
    """
    if not opened.is_directory:
        _require_children_closed(context, opened)
        return {}
    ways = await load_ways(context.server, opened)
    if context.server.opens.cached:
        numbers = {other.inode.number for other in opens_below(context.server, opened)}
        await break_caching_of(context, numbers, Use.RENAME)
    _require_children_closed(context, opened)
    return ways


def _require_children_closed(context: RequestContext, opened: SmbOpen) -> None:
    if open_streams(context.server.opens, opened.inode.number):
        raise SmbError(Status.ACCESS_DENIED, "a stream is open")
    if opened.is_directory and opens_below(context.server, opened):
        raise SmbError(Status.ACCESS_DENIED, "something below the directory is open")


async def _move(context: RequestContext, opened: SmbOpen, target: ResolvedPath, path: str) -> None:
    def permit(moved: Inode, replaced: Inode | None) -> None:
        if moved is not opened.inode:
            raise SmbError(Status.FILE_DELETED, "the name is another file's by now")
        _require_kept(context, opened)
        _require_lasting(context, target)
        if replaced is not None:
            _permit(context, target, replaced)
        elif target.inode is opened.inode and not _is_itself(opened, target):
            _check_mergeable(context, target, replace=True)
        _require_children_closed(context, opened)

    assert target.parent is not None
    volume, parent, name = opened.volume, target.parent.number, _wanted_name(path)
    if _is_itself(opened, target) and name == opened.name:
        return
    is_new, replaces = target.inode is None, target.inode is not None and not _is_itself(opened, target)
    # What replaces gets the name as it is spelt, in one step, and then its own spelling: one of the two always has the name.
    for each in (target.name, name) if replaces and target.name != name else (name,):
        assert opened.parent is not None
        flags = RenameFlags.MERGE if replaces else RenameFlags.NOREPLACE
        await volume.rename(opened.parent, opened.name, parent, each, flags, permit, ignoring_case=is_new)
        _follow(context, opened, target, each)
        replaces = False


def _follow(context: RequestContext, opened: SmbOpen, target: ResolvedPath, name: bytes) -> None:
    """Every open of this name learns the new one."""
    assert target.parent is not None
    inode, old, new = opened.inode, opened.entry_name, (target.parent.number, name)
    assert old is not None
    directory = target.path.rpartition(SEPARATOR)[0]
    context.server.opens.renamed(inode.number, old, new)
    for other in context.server.registry:
        if other.attached_inode is inode and other.entry_name in (old, new):
            other.parent, other.name = new
            if other.view.root == opened.view.root:
                other.path = SEPARATOR.join(part for part in (directory, wire_name(name)) if part)
