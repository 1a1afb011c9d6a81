"""SESSION_SETUP: one leg of a login (MS-SMB2 3.3.5.5)."""

from __future__ import annotations

import logging

import trio

from odxfs.ntstatus import Status
from odxfs.smb.auth.acceptor import Acceptor, AuthStep
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.closing import close_session
from odxfs.smb.limits import MAX_SESSIONS_PER_CONNECTION
from odxfs.smb.request import Answer, RequestContext, Response, SmbError
from odxfs.smb.sessions import Session, SessionState, new_session_id
from odxfs.smb.settings import Encryption
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import Cipher
from odxfs.wire.session_setup import (
    SessionFlags,
    SessionSetupFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)

logger = logging.getLogger(__name__)


async def session_setup(context: RequestContext) -> Response | Answer:
    """Take the login one step further; MORE_PROCESSING_REQUIRED until it has succeeded or failed.

    A failed first login leaves nothing behind. A failed repeated login leaves the session as it was.
    """
    request = SessionSetupRequest.unpack(context.pdu)
    _check_policy(context, request)
    session = _find_session(context)
    context.reply_session_id = session.id
    try:
        step = _step(context, session, request.security_buffer)
        answer_at = _turn(context, step)
    except LogonFailure as failure:
        logger.info("login from %s failed: %s", context.connection, failure)
        await _give_up(context, session)
        await _wait_until(_turn_after_failure(context, failure))
        raise
    if not step.done:
        return Answer(Status.MORE_PROCESSING_REQUIRED, SessionSetupResponse(0, step.token))
    await _wait_until(answer_at)
    if session.state is SessionState.CLOSED:
        raise SmbError(Status.USER_SESSION_DELETED)
    await _succeed(context, session, step, request.previous_session_id)
    flags = SessionFlags.ENCRYPT_DATA if session.encrypt_data else 0
    return SessionSetupResponse(flags, step.token)


def _check_policy(context: RequestContext, request: SessionSetupRequest) -> None:
    connection = context.connection
    if request.flags & SessionSetupFlags.BINDING:
        # More than one connection for a session (multichannel) is not offered: MS-SMB2 3.3.5.5 step 4.
        supported = connection.dialect >= Dialect.SMB_3_0
        raise SmbError(Status.REQUEST_NOT_ACCEPTED if supported else Status.USER_SESSION_DELETED)
    required = context.server.settings.encryption is Encryption.REQUIRED
    if required and connection.protocol.cipher == Cipher.NONE:
        raise SmbError(Status.ACCESS_DENIED, "this server demands encryption and the client offers none")


def _find_session(context: RequestContext) -> Session:
    """The session that this leg belongs to: a new one for session id 0, never one of another connection."""
    connection, session_id = context.connection, context.header.session_id
    if session_id == 0:
        if len(connection.sessions) >= MAX_SESSIONS_PER_CONNECTION:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many sessions on one connection")
        session = Session(new_session_id(context.server.sessions), connection)
        connection.sessions[session.id] = session
        context.server.sessions[session.id] = session
        return session
    found = connection.sessions.get(session_id)
    if found is None:
        raise SmbError(Status.USER_SESSION_DELETED)
    return found


def _step(context: RequestContext, session: Session, token: bytes) -> AuthStep:
    """Feed the acceptor of the login in progress; a valid session that logs in again gets a new one."""
    if session.acceptor is None:
        server = context.server
        session.acceptor = Acceptor(server.users, server.settings.server_name)
    step = session.acceptor.step(token)
    if step.done and session.user is not None and (step.user is None or step.user.name != session.user.name):
        failure = LogonFailure("a session logged in again as another user", Status.ACCESS_DENIED)
        failure.account = step.user.name if step.user is not None else ""
        raise failure
    return step


def _turn(context: RequestContext, step: AuthStep) -> float:
    """When a finished login may be answered: not before the delays of earlier failed ones have passed."""
    now = trio.current_time()
    if step.user is None:
        return now
    answer_at = context.server.login_delays.right(context.connection.peer_address[0], step.user.name, now)
    if answer_at is None:
        failure = LogonFailure(f"too many attempts on {step.user.name!r} wait for their answer")
        failure.account = step.user.name
        raise failure
    return answer_at


def _turn_after_failure(context: RequestContext, failure: LogonFailure) -> float:
    """When the failure may be told. Without an account nothing was guessed, and nobody else has to wait for it."""
    now, server = trio.current_time(), context.server
    if not failure.account:
        return now + server.settings.failed_login_seconds
    return server.login_delays.wrong(context.connection.peer_address[0], failure.account, now)


async def _wait_until(moment: float) -> None:
    if moment > trio.current_time():
        await trio.sleep_until(moment)


async def _give_up(context: RequestContext, session: Session) -> None:
    session.acceptor = None
    if session.state is SessionState.IN_PROGRESS:
        await close_session(context.server, session)
        context.connection.protocol.forget_session(session.id)


async def _succeed(
    context: RequestContext, session: Session, step: AuthStep, previous_session_id: int
) -> None:
    assert step.user is not None, "a finished login has a user"
    connection, settings = context.connection, context.server.settings
    session.acceptor = None
    if session.state is SessionState.IN_PROGRESS:
        session.user = step.user
        session.encrypt_data = settings.encryption is Encryption.REQUIRED
        session.security = connection.protocol.derive_keys(
            context.request, session.id, step.session_key, encrypt_data=session.encrypt_data
        )
        session.state = SessionState.VALID
        connection.login_succeeded()
    else:
        session.user = step.user
    await _end_previous(context, session, previous_session_id)


async def _end_previous(context: RequestContext, session: Session, previous_session_id: int) -> None:
    """A client that comes back names its lost session; only its own user may end it (MS-SMB2 3.3.5.5.3)."""
    previous = context.server.sessions.get(previous_session_id)
    if previous is None or previous is session or previous.user is None or session.user is None:
        return
    if previous.user.name == session.user.name:
        connection = previous.connection
        await close_session(context.server, previous)
        connection.protocol.forget_session(previous.id)
