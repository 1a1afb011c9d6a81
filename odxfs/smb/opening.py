"""Opening and creating files and directories for CREATE (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1)."""

from __future__ import annotations

import stat

import trio

from odxfs.errors import AlreadyExists
from odxfs.ntstatus import Status
from odxfs.opens import OpenEntry
from odxfs.smb.access import (
    DELETE,
    FILE_ADD_FILE,
    FILE_ADD_SUBDIRECTORY,
    FILE_ALL_ACCESS,
    FILE_APPEND_DATA,
    FILE_ATTRIBUTE_READONLY,
    FILE_WRITE_DATA,
    MAXIMUM_ALLOWED,
    READ_ONLY_ACCESS,
    by_privilege,
    expand_generic,
    grant,
    maximal_access,
    may_change_entries,
    may_delete,
)
from odxfs.smb.caching.granting import Contended, check_lease_key, contend_open, emptying
from odxfs.smb.caching.waiting import settled
from odxfs.smb.closing import close_open
from odxfs.smb.giving_up import take_back
from odxfs.smb.information.allocation import check_room_at_create
from odxfs.smb.information.attributes import SETTABLE
from odxfs.smb.information.extended_attributes import check_eas, eas_at_create, remove_eas
from odxfs.smb.opens import VALID_MODES, SmbOpen, require_room
from odxfs.smb.paths import ResolvedPath, resolve, stopped_on_symlink
from odxfs.smb.previous_versions import view_of
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.security.creating import security_of_new
from odxfs.smb.streams import check_streams_share_delete, remove_all_streams
from odxfs.smb.trees import View
from odxfs.volume import AttributeChange, Inode, Volume
from odxfs.wire.create import CreateAction, CreateDisposition, CreateOptions, CreateRequest
from odxfs.wire.create_contexts import TimewarpToken, find_create_context
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.filetime import Filetime

NEW_FILE_MODE = stat.S_IFREG | 0o644
NEW_DIRECTORY_MODE = stat.S_IFDIR | 0o755

ATTEMPTS = 8
"""How often a file that appears and vanishes between looking and creating is looked for again."""

OVERWRITING = frozenset(
    {CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF}
)
MUST_EXIST = frozenset({CreateDisposition.OPEN, CreateDisposition.OVERWRITE})
_WRITES_DATA = FILE_WRITE_DATA | FILE_APPEND_DATA
_DIRECTORY_SETTABLE = SETTABLE & ~(FileAttributes.TEMPORARY | FileAttributes.ARCHIVE)
_KEPT_BY_OVERWRITE = FileAttributes.HIDDEN | FileAttributes.SYSTEM


async def open_file(context: RequestContext, request: CreateRequest) -> tuple[SmbOpen, CreateAction]:
    """Find or make what `request` names and open it. The open is registered and holds its inode.

    Raises SmbError and VolumeError; then nothing is open, and what was made is gone unless somebody has found it.
    MEDIA_WRITE_PROTECTED for what would change a previous version.
    """
    token = context.token
    view, path = await view_of(context.tree, request.name, timestamp_of(request), token)
    refusal = Status.OBJECT_NAME_COLLISION
    for _ in range(ATTEMPTS):
        where = await resolve(view, path, token)
        try:
            if where.inode is not None:
                return await _with_hold(context, request, where, where.inode)
            return await _create(context, request, where)
        except AlreadyExists:
            continue
        except Contended as contended:
            refusal = Status.SHARING_VIOLATION
            await settled(context, contended.grants)
    raise SmbError(refusal)


def timestamp_of(request: CreateRequest) -> Filetime | None:
    """The moment that a TWrp context asks for."""
    data = find_create_context(request.create_contexts, TimewarpToken.NAME)
    return None if data is None else TimewarpToken.unpack(data).timestamp


async def _create(
    context: RequestContext, request: CreateRequest, where: ResolvedPath
) -> tuple[SmbOpen, CreateAction]:
    volume = where.view.volume
    inode = await make_file(context, request, where)
    try:
        granted = granted_access(context, request, where, inode, new=True)
        return register(context, request, where, inode, granted), CreateAction.CREATED
    except BaseException:
        await take_back(context.server, volume, where.entry_name, inode)
        await release(volume, inode)
        raise


async def make_file(context: RequestContext, request: CreateRequest, where: ResolvedPath) -> Inode:
    """The file or directory that a CREATE makes, held once. Raises what stands against it."""
    volume, parent = where.view.volume, where.parent
    assert parent is not None, "a share's root exists"
    directory = bool(request.create_options & CreateOptions.DIRECTORY_FILE)
    _check_create(context, request, where, parent)
    check_lease_key(context, request, None)
    grant(request.desired_access, FILE_ALL_ACCESS | _by_privilege(context, request))
    mode = NEW_DIRECTORY_MODE if directory else NEW_FILE_MODE
    security = security_of_new(context, request, parent, mode, is_directory=directory)
    inode = await volume.create(
        parent.number,
        where.name,
        security.mode,
        security.uid,
        security.gid,
        dos_attributes=_new_attributes(request.file_attributes, directory=directory),
        security=security.stored,
        ignoring_case=True,
    )
    volume.hold(inode)
    return inode


def _check_create(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, parent: Inode
) -> None:
    if request.create_disposition in MUST_EXIST:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    options = request.create_options
    if where.must_be_directory and not options & CreateOptions.DIRECTORY_FILE:
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if where.view.is_previous_version:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    right = FILE_ADD_SUBDIRECTORY if options & CreateOptions.DIRECTORY_FILE else FILE_ADD_FILE
    if context.tree.share.read_only or not may_change_entries(parent, context.token, right):
        raise SmbError(Status.ACCESS_DENIED)
    if context.server.opens.is_delete_pending(parent.number):
        raise SmbError(Status.DELETE_PENDING)
    if options & CreateOptions.DELETE_ON_CLOSE and request.file_attributes & FILE_ATTRIBUTE_READONLY:
        raise SmbError(Status.CANNOT_DELETE)
    check_contexts(request, where.view.volume)


def check_contexts(request: CreateRequest, volume: Volume, replaced: Inode | None = None) -> None:
    """What a file that is made, or emptied (`replaced`), is to have by the contexts of the CREATE: refused before it is.

    SmbError and VolumeError as `check_eas` and `check_room_at_create` raise them.
    """
    check_eas(eas_at_create(request.create_contexts))
    if not request.create_options & CreateOptions.DIRECTORY_FILE:
        check_room_at_create(volume, request.create_contexts, replaced)


def _new_attributes(requested: int, *, directory: bool) -> int:
    """What is stored for a new or overwritten file; ARCHIVE marks every file that a backup has not seen."""
    return requested & _DIRECTORY_SETTABLE if directory else requested & SETTABLE | FileAttributes.ARCHIVE


async def _with_hold(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, inode: Inode
) -> tuple[SmbOpen, CreateAction]:
    volume = where.view.volume
    volume.hold(inode)
    try:
        opened, action = _open_existing(context, request, where, inode)
    except BaseException:
        await release(volume, inode)
        raise
    if action is not CreateAction.OPENED:
        await _overwrite(context, request, opened)
    return opened, action


async def release(volume: Volume, inode: Inode) -> None:
    with trio.CancelScope(shield=True):
        await volume.release(inode)


def _open_existing(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, inode: Inode
) -> tuple[SmbOpen, CreateAction]:
    if context.server.opens.is_delete_pending(inode.number, where.entry_name):
        raise SmbError(Status.DELETE_PENDING)
    if request.create_disposition == CreateDisposition.CREATE:
        raise SmbError(Status.OBJECT_NAME_COLLISION)
    _check_kind(request, where, inode)
    check_attributes(request, inode)
    overwriting = request.create_disposition in OVERWRITING
    granted = granted_access(context, request, where, inode)
    deleting = request.create_options & CreateOptions.DELETE_ON_CLOSE
    if deleting and where.parent is not None and not may_delete(where.parent, inode, context.token):
        raise SmbError(Status.ACCESS_DENIED)
    if where.view.is_previous_version:
        check_unchanged(request)
    if not overwriting:
        return register(context, request, where, inode, granted), CreateAction.OPENED
    _check_overwrite(context, request, where, inode)
    superseded = request.create_disposition == CreateDisposition.SUPERSEDE
    also = FILE_WRITE_DATA | DELETE if superseded else FILE_WRITE_DATA
    opened = register(context, request, where, inode, granted, also=also)
    return opened, CreateAction.SUPERSEDED if superseded else CreateAction.OVERWRITTEN


def _check_kind(request: CreateRequest, where: ResolvedPath, inode: Inode) -> None:
    """File or directory as asked for; a symbolic link itself only with OPEN_REPARSE_POINT."""
    options = request.create_options
    if inode.is_symlink and not options & CreateOptions.OPEN_REPARSE_POINT:
        raise stopped_on_symlink(inode, "")
    if (
        inode.is_directory or inode.dos_attributes & FileAttributes.DIRECTORY
    ):  # a link that was made of a folder
        if options & CreateOptions.NON_DIRECTORY_FILE:
            raise SmbError(Status.FILE_IS_A_DIRECTORY)
        if request.create_disposition in OVERWRITING:
            raise SmbError(Status.OBJECT_NAME_COLLISION)
        return
    if options & CreateOptions.DIRECTORY_FILE:
        raise SmbError(Status.NOT_A_DIRECTORY)
    if where.must_be_directory:
        raise SmbError(Status.OBJECT_NAME_INVALID)


def check_attributes(request: CreateRequest, inode: Inode) -> None:
    """What READONLY forbids (MS-FSA 2.1.5.1.2.1)."""
    if not inode.dos_attributes & FILE_ATTRIBUTE_READONLY:
        return
    if not inode.is_directory and expand_generic(request.desired_access) & _WRITES_DATA:
        raise SmbError(Status.ACCESS_DENIED)
    if request.create_options & CreateOptions.DELETE_ON_CLOSE:
        raise SmbError(Status.CANNOT_DELETE)
    if not inode.is_directory and request.create_disposition in OVERWRITING:
        raise SmbError(Status.ACCESS_DENIED)


def check_unchanged(request: CreateRequest) -> None:
    """What an open itself would change, which in a previous version nothing may."""
    deleting = request.create_options & CreateOptions.DELETE_ON_CLOSE
    if deleting or request.create_disposition in OVERWRITING:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)


def maximal_in_share(
    context: RequestContext, view: View, inode: Inode, parent: Inode | None, *, of_stream: bool = False
) -> int:
    """Everything that the user of this request has of `inode` through this share: no right to change in a previous version."""
    maximal = allowed(context, inode, parent, of_stream=of_stream)
    return maximal & READ_ONLY_ACCESS if view.is_previous_version else maximal


def allowed(context: RequestContext, inode: Inode, parent: Inode | None, *, of_stream: bool = False) -> int:
    """Everything that the user may ask for by name.

    That includes the rights to change a previous version: as on Windows and Samba they are granted, for the sake of programs
    that ask for more than they need, and each use is refused.
    """
    maximal = maximal_access(inode, parent, context.token, of_stream=of_stream)
    if context.tree.share.read_only:
        maximal &= READ_ONLY_ACCESS
    return maximal


def _by_privilege(context: RequestContext, request: CreateRequest) -> int:
    intent = bool(request.create_options & CreateOptions.OPEN_FOR_BACKUP_INTENT)
    return by_privilege(request.desired_access, context.token, backup_intent=intent)


def granted_access(
    context: RequestContext,
    request: CreateRequest,
    where: ResolvedPath,
    inode: Inode,
    *,
    new: bool = False,
    of_stream: bool = False,
) -> int:
    """What an open of `inode`, or of a named stream of it, is granted. SmbError for what asks for more than it may have."""
    parent = where.parent
    maximal = FILE_ALL_ACCESS if new else allowed(context, inode, parent, of_stream=of_stream)
    if not context.tree.share.read_only:
        maximal |= _by_privilege(context, request)
    if not new and inode.is_file and inode.dos_attributes & FILE_ATTRIBUTE_READONLY:
        maximal &= ~_WRITES_DATA
    if not inode.is_file and not inode.is_directory:
        maximal &= ~(_WRITES_DATA | 1)
    desired = request.desired_access
    if where.view.is_previous_version and desired & MAXIMUM_ALLOWED:
        desired = desired & ~MAXIMUM_ALLOWED | maximal & READ_ONLY_ACCESS
    granted = grant(desired, maximal)
    if request.create_options & CreateOptions.DELETE_ON_CLOSE:
        if not granted & DELETE:
            raise SmbError(Status.ACCESS_DENIED)
        if parent is None:
            raise SmbError(Status.CANNOT_DELETE, "the root of a share stays")
    return granted


def _check_overwrite(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, inode: Inode
) -> None:
    """Overwriting needs the right to write, to supersede that to delete too, and must repeat HIDDEN and SYSTEM.

    Windows asks who supersedes for DELETE alone. Here that comes with the folder, and the bytes that go are those of every
    other name of the file as well.
    """
    superseding = request.create_disposition == CreateDisposition.SUPERSEDE
    needed = FILE_WRITE_DATA | (DELETE if superseding else 0)
    if needed & ~allowed(context, inode, where.parent):
        raise SmbError(Status.ACCESS_DENIED)
    if inode.dos_attributes & _KEPT_BY_OVERWRITE & ~request.file_attributes:
        raise SmbError(Status.ACCESS_DENIED)
    if not inode.is_file:
        raise SmbError(Status.ACCESS_DENIED)
    check_contexts(request, where.view.volume, inode)


async def _overwrite(context: RequestContext, request: CreateRequest, opened: SmbOpen) -> None:
    """Empty the file of a registered open, which owns its hold: where that fails it is closed, if nothing else has yet."""
    volume, inode = opened.volume, opened.inode
    attributes = _new_attributes(request.file_attributes, directory=False)
    try:
        with emptying(context, request, opened):
            await volume.truncate(inode, 0)
            await volume.set_attributes(inode, AttributeChange(dos_attributes=attributes))
            await remove_eas(volume, inode)
            await remove_all_streams(context.server.opens, volume, inode)
    except BaseException:
        opened.delete_on_close = False
        await close_open(context.server, opened)
        raise


def register(
    context: RequestContext,
    request: CreateRequest,
    where: ResolvedPath,
    inode: Inode,
    granted: int,
    *,
    also: int = 0,
) -> SmbOpen:
    """Enter the open everywhere. Contended when others have to give up what they cache first, SharingViolation when they do
    not share `granted` or what overwriting does (`also`), SmbError as `require_room`.
    """
    server, opens = context.server, context.server.opens
    require_room(context.session)
    contend_open(context, request, inode, granted | also, overwriting=bool(also))
    if (granted | also) & DELETE or also:
        check_streams_share_delete(opens, inode.number)
    opened = SmbOpen(
        fid=server.registry.new_file_id(),
        session=context.session,
        tree=context.tree,
        path=where.path,
        granted_access=granted,
        share_access=request.share_access,
        create_options=request.create_options,
        attached_view=where.view,
        attached_inode=inode,
        parent=where.parent.number if where.parent is not None else None,
        name=where.name,
        seen_renames=opens.renames,
        delete_on_close=bool(request.create_options & CreateOptions.DELETE_ON_CLOSE),
        is_directory=inode.is_directory,
        mode=request.create_options & VALID_MODES,
        opened_mtime_ns=inode.mtime_ns,
    )
    entry: OpenEntry = opens.open(
        inode.number,
        granted | also,
        request.share_access,
        opened,
        name=None if inode.is_stream else where.entry_name,
    )
    entry.access = granted
    opened.entry = entry
    server.registry.add(opened)
    return opened
