"""Which handler a command goes to, and what must be true before one is called (MS-SMB2 3.3.5.2)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from odxfs.errors import OffloadRefused, ProtocolError, StoreFailed, VolumeError
from odxfs.ntstatus import Status
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.durable.persistence import keep_record, keep_records_of_file
from odxfs.smb.handlers.change_notify import change_notify
from odxfs.smb.handlers.close import close
from odxfs.smb.handlers.create import create
from odxfs.smb.handlers.echo import echo
from odxfs.smb.handlers.flush import flush, flush_now
from odxfs.smb.handlers.ioctl import ioctl
from odxfs.smb.handlers.lock import lock
from odxfs.smb.handlers.logoff import logoff
from odxfs.smb.handlers.negotiate import negotiate
from odxfs.smb.handlers.oplock_break import oplock_break
from odxfs.smb.handlers.query_directory import query_directory
from odxfs.smb.handlers.query_info import query_info
from odxfs.smb.handlers.read import read, read_now
from odxfs.smb.handlers.session_setup import session_setup
from odxfs.smb.handlers.set_info import set_info
from odxfs.smb.handlers.tree_connect import tree_connect
from odxfs.smb.handlers.tree_disconnect import tree_disconnect
from odxfs.smb.handlers.write import write, write_now
from odxfs.smb.request import AfterCommit, Answer, Handler, RequestContext, Response, SmbError
from odxfs.smb.rpc.pipe import PipeError
from odxfs.smb.sessions import SessionState
from odxfs.smb.token_share import check_command
from odxfs.wire.error import ErrorContext, ErrorResponse
from odxfs.wire.header import Command
from odxfs.wire.negotiate import Dialect

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.wire.exchange import Chain, Request

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """A command's handler and what it needs. `now` is its fast path, which never waits."""

    handler: Handler
    needs_session: bool = True
    needs_tree: bool = True
    now: Callable[[RequestContext], Response | AfterCommit | None] | None = None


ROUTES: dict[int, Route] = {
    Command.NEGOTIATE: Route(negotiate, needs_session=False, needs_tree=False),
    Command.SESSION_SETUP: Route(session_setup, needs_session=False, needs_tree=False),
    Command.LOGOFF: Route(logoff, needs_tree=False),
    Command.TREE_CONNECT: Route(tree_connect, needs_tree=False),
    Command.TREE_DISCONNECT: Route(tree_disconnect),
    Command.CREATE: Route(create),
    Command.CLOSE: Route(close),
    Command.FLUSH: Route(flush, now=flush_now),
    Command.READ: Route(read, now=read_now),
    Command.WRITE: Route(write, now=write_now),
    Command.LOCK: Route(lock),
    Command.IOCTL: Route(ioctl),
    Command.ECHO: Route(echo, needs_session=False, needs_tree=False),
    Command.QUERY_DIRECTORY: Route(query_directory),
    Command.CHANGE_NOTIFY: Route(change_notify),
    Command.QUERY_INFO: Route(query_info),
    Command.SET_INFO: Route(set_info),
    Command.OPLOCK_BREAK: Route(oplock_break),
}
"""Everything but CANCEL, which has no reply and is the connection's own business."""


_KEEPING: dict[int, Callable[[SmbServer, SmbOpen], Awaitable[None]]] = {
    Command.LOCK: keep_record,
    Command.SET_INFO: keep_records_of_file,
}
"""What a persistent open is may change with them; CREATE, CLOSE and OPLOCK_BREAK see to that themselves."""


_GOES_IN_EXPIRED_SESSION = frozenset({Command.LOGOFF, Command.CLOSE, Command.LOCK})


_VALID = SessionState.VALID
"""Of an enum, whose members Python 3.11 takes 50 ns to look up: asked for every request."""


async def dispatch(context: RequestContext) -> Answer:
    """The answer to one request, whatever happens; only cancellation passes through."""
    try:
        if context.request.refusal is not None:
            raise SmbError(context.request.refusal)
        route = ROUTES.get(context.header.command)
        if route is None:
            raise SmbError(Status.INVALID_PARAMETER, f"unknown command {context.header.command}")
        _admit(context, route)
        response = await _handle(context, route)
        await context.server.notifications.catch_up()
    except (SmbError, VolumeError, OffloadRefused, ProtocolError, LogonFailure, PipeError) as error:
        return refuse(context, error)
    except Exception:
        logger.exception("a request failed for a reason that is no client's: %s", _describe(context))
        return Answer(Status.INTERNAL_ERROR, ErrorResponse())
    return response if isinstance(response, Answer) else Answer(Status.SUCCESS, response)


async def _handle(context: RequestContext, route: Route) -> Response | Answer:
    """Run the handler, with the request among those that its session has at work."""
    session = context.bound_session
    if session is None:
        return await route.handler(context)
    session.running[id(context)] = context
    try:
        response = await route.handler(context)
        keep = _KEEPING.get(context.header.command)
        if keep is not None and context.open is not None:
            with trio.CancelScope(shield=True):  # it is done, and who cancels it now is to hear that
                await keep(context.server, context.open)
        return response
    finally:
        del session.running[id(context)]


def refuse(
    context: RequestContext,
    error: SmbError | VolumeError | OffloadRefused | ProtocolError | LogonFailure | PipeError,
) -> Answer:
    """The error response for what a handler raised on purpose."""
    status = error.status
    data = error.data if isinstance(error, SmbError) else b""
    logger.debug("%s: %s (%s)", _describe(context), status.name, error)
    if data and context.connection.dialect == Dialect.SMB_3_1_1:
        return Answer(status, ErrorResponse(error_contexts=(ErrorContext(data),)))
    return Answer(status, ErrorResponse(data))


def _describe(context: RequestContext) -> str:
    command = context.header.command
    name = Command(command).name if command in ROUTES else str(command)
    return f"{context.connection} {name} {context.header.message_id}"


def _admit(context: RequestContext, route: Route) -> None:
    """Bind session and tree, and refuse what the command may not do without them. Asked again for each request of a compound."""
    if route.needs_session:
        _bind_session(context)
    if route.needs_tree:
        _bind_tree(context)


def _bind_session(context: RequestContext) -> None:
    session = context.connection.sessions.get(context.header.session_id)
    if session is None or session.state is not _VALID:
        _admit_expired(context, session)
    context.bound_session = session


def _admit_expired(context: RequestContext, session: Session | None) -> None:
    """What goes without a valid session: the little that an expired one may still do (MS-SMB2 3.3.5.2.9)."""
    if session is None or session.state is not SessionState.EXPIRED:
        raise SmbError(Status.USER_SESSION_DELETED)
    if context.header.command not in _GOES_IN_EXPIRED_SESSION:
        raise SmbError(Status.NETWORK_SESSION_EXPIRED)


def _bind_tree(context: RequestContext) -> None:
    """A related request uses the tree of the one before it (MS-SMB2 3.3.5.2.7.2), as long as that still stands."""
    session = context.session
    tree_id = context.header.tree_id
    if context.related and context.bound_tree is not None:
        tree_id = context.bound_tree.id
    tree = session.trees.get(tree_id)
    if tree is None:
        raise SmbError(Status.NETWORK_NAME_DELETED)
    if tree.encrypt_data and not context.encrypted:
        raise SmbError(Status.ACCESS_DENIED, "the share wants encryption")
    if tree.is_tokens:
        check_command(context.header.command)
    context.bound_tree = tree


def try_now(connection: Connection, chain: Chain) -> Response | Answer | AfterCommit | None:
    """The answer to a lone READ, WRITE or FLUSH when nothing has to be waited for.

    None sends it the long way, also where it is to be refused: the handler finds the reason again, nothing has changed. But for
    a disk that fails: it is write-protected from then on, and this client is to be told of the failure.
    """
    request: Request = chain.requests[0]
    route = ROUTES.get(request.header.command)
    if route is None or route.now is None or request.refusal is not None:
        return None
    context = RequestContext(
        connection.server, connection, request, request.header, request.pdu, encrypted=chain.encrypted
    )
    try:
        _admit(context, route)
        return route.now(context)
    except StoreFailed as error:
        return refuse(context, error)
    except (SmbError, VolumeError, OffloadRefused, ProtocolError):
        return None
