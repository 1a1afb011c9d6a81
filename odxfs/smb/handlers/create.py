"""CREATE: open or make a file, a directory or a pipe (MS-SMB2 3.3.5.9)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_ALL_ACCESS, check_desired, grant
from odxfs.smb.caching.folders import entry_changed
from odxfs.smb.caching.granting import answer_lease, grant_caching
from odxfs.smb.caching.oplocks import level_of
from odxfs.smb.durable.app_instance import displace
from odxfs.smb.durable.channel_sequence import sequence_of
from odxfs.smb.durable.granting import answer_durability, grant_durability
from odxfs.smb.durable.losing import let_loss_happen
from odxfs.smb.durable.outlasting import outlast_channel
from odxfs.smb.durable.persistence import keep_grant, keep_record
from odxfs.smb.durable.reconnecting import named_open, reconnect
from odxfs.smb.durable.replay import find_replayed, replayed_level
from odxfs.smb.durable.table import CreateName
from odxfs.smb.durable.wishes import Wishes, read_wishes
from odxfs.smb.giving_up import give_up
from odxfs.smb.information.allocation import set_aside_at_create
from odxfs.smb.information.attributes import allocation_size, end_of_file, open_attributes, times_of
from odxfs.smb.information.extended_attributes import eas_at_create, set_eas
from odxfs.smb.opening import maximal_in_share
from odxfs.smb.opens import SmbOpen, require_room
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.rpc.endpoints import open_pipe
from odxfs.smb.sessions import SessionState
from odxfs.smb.stream_opening import open_path
from odxfs.smb.token_share import open_token
from odxfs.wire.create import (
    CreateAction,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    ImpersonationLevel,
    RawContext,
)
from odxfs.wire.create_contexts import (
    QUERY_MAXIMAL_ACCESS,
    QUERY_ON_DISK_ID,
    QueryMaximalAccessRequest,
    QueryMaximalAccessResponse,
    QueryOnDiskIdResponse,
    find_create_context,
)
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.filetime import NONE

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer

SHARE_MASK = 0x7
VALID_ATTRIBUTES = 0x7FB7
"""FILE_ATTRIBUTE_* that a client may send (MS-FSA 2.1.5.1): not VOLUME, not DEVICE."""

VALID_OPTIONS = 0x00FF_FFFF
UNSUPPORTED_OPTIONS = CreateOptions.OPEN_BY_FILE_ID | CreateOptions.RESERVE_OPFILTER | 0x80
"""Answered NOT_SUPPORTED (MS-SMB2 3.3.5.9); 0x80 is FILE_CREATE_TREE_CONNECTION."""

_NO_OVERWRITE = (CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF)


async def create(context: RequestContext) -> CreateResponse:
    """Open what the request names, or give back what it opened before; unknown contexts are ignored."""
    request = CreateRequest.unpack(context.pdu)
    context.open = None
    wishes = read_wishes(request, context.connection.dialect)
    await let_loss_happen(context, named_open(context, wishes))
    _check_standing(context)
    require_room(context.session)
    context.open = reconnect(context, request, wishes)  # nothing else of such a request counts
    if context.open is not None:
        return await _respond(context, context.open, CreateAction.OPENED, request, wishes)
    _check_request(request)
    if context.tree.is_ipc:
        return _create_pipe(context, request)
    context.open = find_replayed(context, wishes)
    if context.open is not None and context.open.durability is not None:
        answer = await _respond(context, context.open, context.open.durability.action, request, wishes)
        return replace(answer, oplock_level=replayed_level(context.open, request))
    name = context.connection.client_guid, wishes.create_guid
    # In this step: its repetition may come by another channel in this turn.
    context.server.durable.begin_create(name)
    return await outlast_channel(
        context, wishes.create_guid, partial(_create, context, request, wishes, name)
    )


async def _create(
    context: RequestContext, request: CreateRequest, wishes: Wishes, name: CreateName
) -> CreateResponse:
    try:
        return await _create_open(context, request, wishes)
    finally:
        context.server.durable.end_create(name)


async def _create_open(context: RequestContext, request: CreateRequest, wishes: Wishes) -> CreateResponse:
    await displace(context, request, wishes.app_instance)
    eas = eas_at_create(request.create_contexts)
    find = open_token if context.tree.is_tokens else open_path
    opened, action = await find(context, request)
    opened.channel_sequence = sequence_of(context)
    try:
        if eas and action is not CreateAction.OPENED:
            await set_eas(opened.volume, opened.file_inode, eas)
        _check_standing(context)
        context.open = opened
        set_aside_at_create(opened, action, request.create_contexts)
        grant_caching(context, opened, request)
        if action is not CreateAction.OPENED:
            entry_changed(context.server, opened)
        grant_durability(context, opened, action, wishes)
        await keep_grant(context.server, opened.grant)
        await keep_record(context.server, opened)
        await _agree_to_breaks(context.server, opened)
        return await _respond(context, opened, action, request, wishes)
    except BaseException:
        await give_up(context.server, opened, action)
        raise


async def _agree_to_breaks(server: SmbServer, opened: SmbOpen) -> None:
    """Somebody may have come since the oplock or lease was granted. Its client has cached nothing yet, and knows of nothing that
    could be broken: what is left is what it is told of in the first place.
    """
    grant = opened.grant
    while grant is not None and grant.breaking and len(grant.entries) == 1:
        server.breaks.forget(grant)
        server.opens.grants.acknowledge(grant, grant.asked)
        await keep_grant(server, grant)


def _check_request(request: CreateRequest) -> None:
    """The values that no file system need see (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1)."""
    options = request.create_options
    directory = bool(options & CreateOptions.DIRECTORY_FILE)
    if request.impersonation_level > ImpersonationLevel.DELEGATE:
        raise SmbError(Status.BAD_IMPERSONATION_LEVEL)
    check_desired(request.desired_access)
    if options & UNSUPPORTED_OPTIONS:
        raise SmbError(Status.NOT_SUPPORTED)
    if (
        options & ~VALID_OPTIONS
        or request.create_disposition > CreateDisposition.OVERWRITE_IF
        or request.share_access & ~SHARE_MASK
        or request.file_attributes & ~VALID_ATTRIBUTES
        or (directory and options & CreateOptions.NON_DIRECTORY_FILE)
        or (directory and request.create_disposition in _NO_OVERWRITE)
    ):
        raise SmbError(Status.INVALID_PARAMETER)


def _check_standing(context: RequestContext) -> None:
    """Session and tree have not ended while the request waited."""
    if context.session.state is not SessionState.VALID:
        is_expired = context.session.state is SessionState.EXPIRED
        raise SmbError(Status.NETWORK_SESSION_EXPIRED if is_expired else Status.USER_SESSION_DELETED)
    if context.session.trees.get(context.tree.id) is not context.tree:
        raise SmbError(Status.NETWORK_NAME_DELETED)


async def _respond(
    context: RequestContext, opened: SmbOpen, action: CreateAction, request: CreateRequest, wishes: Wishes
) -> CreateResponse:
    answers = await _answer_contexts(context, opened, request.create_contexts)
    inode = opened.inode
    times = times_of(opened.file_inode)
    return CreateResponse(
        file_id=opened.fid,
        create_action=action,
        creation_time=times.creation,
        last_access_time=times.last_access,
        last_write_time=times.last_write,
        change_time=times.change,
        allocation_size=allocation_size(inode),
        end_of_file=end_of_file(inode),
        file_attributes=open_attributes(opened),
        oplock_level=level_of(opened.grant),
        create_contexts=(
            *answers,
            *answer_lease(opened),
            *answer_durability(opened, wishes),
        ),
    )


async def _answer_contexts(
    context: RequestContext, opened: SmbOpen, contexts: tuple[RawContext, ...]
) -> tuple[RawContext, ...]:
    answers: list[RawContext] = []
    maximal = find_create_context(contexts, QUERY_MAXIMAL_ACCESS)
    if maximal is not None:
        QueryMaximalAccessRequest.unpack(maximal)
        parent = None if opened.parent is None else await opened.volume.inode(opened.parent)
        if parent is not None:
            await opened.volume.security(parent)
        access = maximal_in_share(context, opened.view, opened.file_inode, parent, of_stream=opened.is_stream)
        answers.append((QUERY_MAXIMAL_ACCESS, QueryMaximalAccessResponse(Status.SUCCESS, access).pack()))
    if find_create_context(contexts, QUERY_ON_DISK_ID) is not None:
        ids = QueryOnDiskIdResponse(opened.file_inode.number, opened.volume.id)
        answers.append((QUERY_ON_DISK_ID, ids.pack()))
    return tuple(answers)


def _create_pipe(context: RequestContext, request: CreateRequest) -> CreateResponse:
    """Open a named pipe of IPC$; disposition and attributes mean nothing to one."""
    server = context.server
    granted = grant(request.desired_access, FILE_ALL_ACCESS)
    opened = SmbOpen(
        fid=server.registry.new_file_id(),
        session=context.session,
        tree=context.tree,
        path=request.name,
        granted_access=granted,
        share_access=request.share_access,
        create_options=request.create_options,
        pipe=open_pipe(request.name, server, context.session),
    )
    server.registry.add(opened)
    context.open = opened
    return CreateResponse(opened.fid, CreateAction.OPENED, *_NO_TIMES, 0, 0, FileAttributes.NORMAL)


_NO_TIMES = (NONE, NONE, NONE, NONE)
