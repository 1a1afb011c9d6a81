"""CREATE of a path with a stream part (MS-FSA 2.1.5.1): `file:stream:$DATA`.

A stream is opened with the rights of its file: nobody gets through it what the file refuses. Making one needs the right to write
the file, as does overwriting one, or deleting one that only the folder lets the user delete; a read-only file gets none.
Attributes that are asked for are the file's if that is new.
"""

from __future__ import annotations

from dataclasses import replace

from odxfs.errors import AlreadyExists, NotFound
from odxfs.ntstatus import Status
from odxfs.smb.access import DELETE, FILE_ATTRIBUTE_READONLY, FILE_WRITE_DATA
from odxfs.smb.caching.granting import Contended, emptying
from odxfs.smb.caching.waiting import settled
from odxfs.smb.closing import close_open
from odxfs.smb.giving_up import take_back, take_back_stream
from odxfs.smb.opening import (
    ATTEMPTS,
    MUST_EXIST,
    OVERWRITING,
    allowed,
    check_attributes,
    check_contexts,
    check_unchanged,
    granted_access,
    make_file,
    open_file,
    register,
    release,
    timestamp_of,
)
from odxfs.smb.opens import SmbOpen
from odxfs.smb.paths import ResolvedPath, resolve, stopped_on_symlink
from odxfs.smb.previous_versions import view_of
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.stream_names import StreamSpecifier, split_stream
from odxfs.smb.streams import attach_base, check_deletion_is_shared
from odxfs.volume import Inode
from odxfs.wire.create import CreateAction, CreateDisposition, CreateOptions, CreateRequest

_OVERWRITING_TAKES = {
    CreateAction.OVERWRITTEN: FILE_WRITE_DATA,
    CreateAction.SUPERSEDED: FILE_WRITE_DATA | DELETE,
}
"""What others must share, whatever the open asks for."""


async def open_path(context: RequestContext, request: CreateRequest) -> tuple[SmbOpen, CreateAction]:
    """Open what `request` names, a file, a directory or a named stream. Raises what `open_file` does."""
    path, stream = split_stream(request.name)
    if stream is None:
        return await open_file(context, request)
    wanted = _without_stream(request, path, stream)
    if not stream.name:
        return await open_file(context, wanted)
    view, path = await view_of(context.tree, path, timestamp_of(request), context.token)
    refusal = Status.OBJECT_NAME_COLLISION
    for _ in range(ATTEMPTS):
        where = await resolve(view, path, context.token)
        try:
            return await _open_stream(context, wanted, where, stream.name)
        except AlreadyExists:
            continue
        except Contended as contended:
            refusal = Status.SHARING_VIOLATION
            await settled(context, contended.grants)
    raise SmbError(refusal)


def _without_stream(request: CreateRequest, path: str, stream: StreamSpecifier) -> CreateRequest:
    """The request for the file alone. The type says whether that must be a directory; a named stream both may have."""
    options = request.create_options
    if stream.is_index:
        if options & CreateOptions.NON_DIRECTORY_FILE:
            raise SmbError(Status.INVALID_PARAMETER)
        return replace(request, name=path, create_options=options | CreateOptions.DIRECTORY_FILE)
    if options & CreateOptions.DIRECTORY_FILE:
        raise SmbError(Status.NOT_A_DIRECTORY)
    if not stream.name:
        options |= CreateOptions.NON_DIRECTORY_FILE
    return replace(request, name=path, create_options=options)


async def _open_stream(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, name: bytes
) -> tuple[SmbOpen, CreateAction]:
    """The stream of what is at `where`. Its open has taken over one hold of the file and one of the stream."""
    volume, base, is_new = where.view.volume, where.inode, where.inode is None
    if base is None:
        base = await make_file(context, request, where)
    else:
        volume.hold(base)
    try:
        opened, action = await _open_of(context, request, where, base, name, is_new=is_new)
    except BaseException:
        if is_new:
            await take_back(context.server, volume, where.entry_name, base)
        await release(volume, base)
        raise
    opened.made_base = is_new
    if action not in (CreateAction.OPENED, CreateAction.CREATED):
        await _empty(context, request, opened)
    return opened, action


async def _open_of(
    context: RequestContext,
    request: CreateRequest,
    where: ResolvedPath,
    base: Inode,
    name: bytes,
    *,
    is_new: bool,
) -> tuple[SmbOpen, CreateAction]:
    _check_base(context, request, where, base)
    granted = granted_access(context, request, where, base, new=is_new, of_stream=True)
    volume = where.view.volume
    try:
        name, stream = await volume.find_stream(base, name)
        action = _existing(context, request, where, base, stream)
    except NotFound:
        _check_create(context, request, where, base, is_new=is_new)
        stream, action = await volume.create_stream(base, name), CreateAction.CREATED
    volume.hold(stream)
    try:
        # Meanwhile its name may be going.
        if context.server.opens.is_delete_pending(base.number, where.entry_name):
            raise SmbError(Status.DELETE_PENDING)
        also = _OVERWRITING_TAKES.get(action, 0)
        check_deletion_is_shared(context.server.opens, base.number, granted | also, request.share_access)
        opened = register(context, request, where, stream, granted, also=also)
    except BaseException:
        if action is CreateAction.CREATED:
            await take_back_stream(context.server, volume, base, name, stream)
        await release(volume, stream)
        raise
    attach_base(context.server.opens, opened, base, name)
    return opened, action


def _check_base(context: RequestContext, request: CreateRequest, where: ResolvedPath, base: Inode) -> None:
    if context.server.opens.is_delete_pending(base.number, where.entry_name):
        raise SmbError(Status.DELETE_PENDING)
    if base.is_symlink and not request.create_options & CreateOptions.OPEN_REPARSE_POINT:
        raise stopped_on_symlink(base, "")
    if not (base.is_file or base.is_directory):
        raise SmbError(Status.OBJECT_NAME_INVALID)
    if where.inode is not None:
        check_attributes(request, base)


def _existing(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, base: Inode, stream: Inode
) -> CreateAction:
    """What opening a stream that is there does."""
    if context.server.opens.is_delete_pending(stream.number):
        raise SmbError(Status.DELETE_PENDING)
    if request.create_disposition == CreateDisposition.CREATE:
        raise SmbError(Status.OBJECT_NAME_COLLISION)
    if where.view.is_previous_version:
        check_unchanged(request)
    if request.create_disposition not in OVERWRITING:
        return CreateAction.OPENED
    if not allowed(context, base, where.parent) & FILE_WRITE_DATA:
        raise SmbError(Status.ACCESS_DENIED)
    check_contexts(request, where.view.volume, stream)
    superseded = request.create_disposition == CreateDisposition.SUPERSEDE
    return CreateAction.SUPERSEDED if superseded else CreateAction.OVERWRITTEN


def _check_create(
    context: RequestContext, request: CreateRequest, where: ResolvedPath, base: Inode, *, is_new: bool
) -> None:
    if request.create_disposition in MUST_EXIST:
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    if where.view.is_previous_version:
        raise SmbError(Status.MEDIA_WRITE_PROTECTED)
    if is_new:
        return
    if not allowed(context, base, where.parent) & FILE_WRITE_DATA:
        raise SmbError(Status.ACCESS_DENIED)
    if base.dos_attributes & FILE_ATTRIBUTE_READONLY and base.is_file:
        raise SmbError(Status.ACCESS_DENIED)
    check_contexts(request, where.view.volume)


async def _empty(context: RequestContext, request: CreateRequest, opened: SmbOpen) -> None:
    """Overwriting a stream leaves the file's other streams and its attributes alone."""
    try:
        with emptying(context, request, opened):
            await opened.volume.truncate(opened.inode, 0)
    except BaseException:
        opened.delete_on_close = False
        await close_open(context.server, opened)
        raise
