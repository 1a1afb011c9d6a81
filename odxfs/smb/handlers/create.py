"""CREATE: open or make a file, a directory or a pipe (MS-SMB2 3.3.5.9)."""

from __future__ import annotations

from odxfs.ntstatus import Status
from odxfs.smb.access import FILE_ALL_ACCESS, grant
from odxfs.smb.closing import close_open
from odxfs.smb.information.attributes import allocation_size, end_of_file, file_attributes, times_of
from odxfs.smb.information.extended_attributes import set_eas
from odxfs.smb.limits import MAX_OPENS_PER_SESSION
from odxfs.smb.opening import maximal_in_share, open_file
from odxfs.smb.opens import SmbOpen
from odxfs.smb.request import RequestContext, SmbError
from odxfs.smb.rpc.endpoints import open_pipe
from odxfs.smb.sessions import SessionState
from odxfs.smb.token_share import open_token
from odxfs.wire.create import (
    CreateAction,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    ImpersonationLevel,
    OplockLevel,
    RawContext,
)
from odxfs.wire.create_contexts import (
    DURABLE_HANDLE_RECONNECT,
    DURABLE_HANDLE_RECONNECT_V2,
    EA_BUFFER,
    QUERY_MAXIMAL_ACCESS,
    QUERY_ON_DISK_ID,
    AllocationSize,
    QueryMaximalAccessRequest,
    QueryMaximalAccessResponse,
    QueryOnDiskIdResponse,
    find_create_context,
)
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.ea import ExtendedAttribute, unpack_full_ea
from odxfs.wire.fscc.filetime import NONE

SHARE_MASK = 0x7
VALID_ATTRIBUTES = 0x7FB7
"""FILE_ATTRIBUTE_* that a client may send (MS-FSA 2.1.5.1): not VOLUME, not DEVICE."""

VALID_OPTIONS = 0x00FF_FFFF
UNSUPPORTED_OPTIONS = CreateOptions.OPEN_BY_FILE_ID | CreateOptions.RESERVE_OPFILTER | 0x80
"""Answered NOT_SUPPORTED (MS-SMB2 3.3.5.9); 0x80 is FILE_CREATE_TREE_CONNECTION."""

_RECONNECTS = (DURABLE_HANDLE_RECONNECT, DURABLE_HANDLE_RECONNECT_V2)
"""A reconnect finds no open, since none is durable: OBJECT_NAME_NOT_FOUND."""

_NO_OVERWRITE = (CreateDisposition.SUPERSEDE, CreateDisposition.OVERWRITE, CreateDisposition.OVERWRITE_IF)


async def create(context: RequestContext) -> CreateResponse:
    """Open what the request names. Leases, oplocks and durable handles are not granted; unknown contexts are ignored."""
    request = CreateRequest.unpack(context.pdu)
    context.open = None
    _check_request(request)
    if len(context.session.opens) >= MAX_OPENS_PER_SESSION:
        raise SmbError(Status.TOO_MANY_OPENED_FILES)
    if context.tree.is_ipc:
        return _create_pipe(context, request)
    contexts = request.create_contexts
    if any(find_create_context(contexts, name) is not None for name in _RECONNECTS):
        raise SmbError(Status.OBJECT_NAME_NOT_FOUND)
    eas = _requested_eas(contexts)
    find = open_token if context.tree.is_tokens else open_file
    opened, action = await find(context, request)
    await _settle(context, opened, eas if action is not CreateAction.OPENED else ())
    context.open = opened
    try:
        return await _respond(context, opened, action, contexts)
    except BaseException:
        await close_open(
            context.server, opened
        )  # a snapshot that is deleted at this moment: the client gets no FileId
        raise


def _check_request(request: CreateRequest) -> None:
    """The values that no file system need see (MS-SMB2 3.3.5.9, MS-FSA 2.1.5.1)."""
    options = request.create_options
    directory = bool(options & CreateOptions.DIRECTORY_FILE)
    if request.impersonation_level > ImpersonationLevel.DELEGATE:
        raise SmbError(Status.BAD_IMPERSONATION_LEVEL)
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


def _requested_eas(contexts: tuple[RawContext, ...]) -> tuple[ExtendedAttribute, ...]:
    """The extended attributes for a new file; AlSi is read too, so that a malformed one is refused: space comes as needed."""
    allocation = find_create_context(contexts, AllocationSize.NAME)
    if allocation is not None:
        AllocationSize.unpack(allocation)
    data = find_create_context(contexts, EA_BUFFER)
    return unpack_full_ea(data) if data else ()


async def _settle(context: RequestContext, opened: SmbOpen, eas: tuple[ExtendedAttribute, ...]) -> None:
    """Give a new file its extended attributes, and the open up again if its session or tree ended meanwhile."""
    try:
        if eas:
            await set_eas(opened.volume, opened.inode, eas)
        if context.session.state is not SessionState.VALID:
            raise SmbError(Status.USER_SESSION_DELETED)
        if context.session.trees.get(opened.tree.id) is not opened.tree:
            raise SmbError(Status.NETWORK_NAME_DELETED)
    except BaseException:
        await close_open(context.server, opened)
        raise


async def _respond(
    context: RequestContext, opened: SmbOpen, action: CreateAction, contexts: tuple[RawContext, ...]
) -> CreateResponse:
    inode = opened.inode
    times = times_of(inode)
    return CreateResponse(
        file_id=opened.fid,
        create_action=action,
        creation_time=times.creation,
        last_access_time=times.last_access,
        last_write_time=times.last_write,
        change_time=times.change,
        allocation_size=allocation_size(inode),
        end_of_file=end_of_file(inode),
        file_attributes=file_attributes(inode),
        oplock_level=OplockLevel.NONE,
        create_contexts=await _answer_contexts(context, opened, contexts),
    )


async def _answer_contexts(
    context: RequestContext, opened: SmbOpen, contexts: tuple[RawContext, ...]
) -> tuple[RawContext, ...]:
    answers: list[RawContext] = []
    maximal = find_create_context(contexts, QUERY_MAXIMAL_ACCESS)
    if maximal is not None:
        QueryMaximalAccessRequest.unpack(maximal)
        parent = None if opened.parent is None else await opened.volume.inode(opened.parent)
        access = maximal_in_share(context, opened.view, opened.inode, parent)
        answers.append((QUERY_MAXIMAL_ACCESS, QueryMaximalAccessResponse(Status.SUCCESS, access).pack()))
    if find_create_context(contexts, QUERY_ON_DISK_ID) is not None:
        ids = QueryOnDiskIdResponse(opened.inode.number, opened.volume.id)
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
        pipe=open_pipe(request.name, server),
    )
    server.registry.add(opened)
    context.open = opened
    return CreateResponse(opened.fid, CreateAction.OPENED, *_NO_TIMES, 0, 0, FileAttributes.NORMAL)


_NO_TIMES = (NONE, NONE, NONE, NONE)
