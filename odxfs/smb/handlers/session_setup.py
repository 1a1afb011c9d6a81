"""SESSION_SETUP: one leg of a login (MS-SMB2 3.3.5.5)."""

from __future__ import annotations

import trio

from odxfs.ntstatus import Status
from odxfs.smb.auth.acceptor import AuthStep
from odxfs.smb.auth.errors import LogonFailure, TooManyAttempts
from odxfs.smb.binding import bind_session
from odxfs.smb.closing import close_session
from odxfs.smb.limits import MAX_SESSIONS_PER_CONNECTION
from odxfs.smb.logins import log_in
from odxfs.smb.request import Answer, RequestContext, Response, SmbError
from odxfs.smb.sessions import Session, SessionState, new_session_id
from odxfs.smb.settings import Encryption
from odxfs.wire.negotiate_contexts import Cipher
from odxfs.wire.session_setup import (
    SessionFlags,
    SessionSetupFlags,
    SessionSetupRequest,
    SessionSetupResponse,
)


async def session_setup(context: RequestContext) -> Response | Answer:
    """Take the login one step further; MORE_PROCESSING_REQUIRED until it has succeeded or failed.

    A failed login leaves nothing behind: a repeated one that fails ends its session (MS-SMB2 3.3.5.5.3). What the login decides
    is settled in the step in which it succeeds: the bytes behind it may be looked at as soon as something is waited for.
    """
    request = SessionSetupRequest.unpack(context.pdu)
    _check_policy(context)
    if request.flags & SessionSetupFlags.BINDING:
        context.reply_session_id = context.header.session_id
        return await bind_session(context, request)
    session = _find_session(context)
    context.reply_session_id = session.id
    try:
        step = await log_in(context, session.id, request.security_buffer, session.user)
    except Exception as error:
        if session.state is SessionState.IN_PROGRESS or _ends_session(context, session, error):
            await close_session(context.server, session)
        raise
    if not step.done:
        return Answer(Status.MORE_PROCESSING_REQUIRED, SessionSetupResponse(0, step.token))
    if session.state is SessionState.CLOSED:
        raise SmbError(Status.USER_SESSION_DELETED)
    await _succeed(context, session, step, request.previous_session_id)
    flags = SessionFlags.ENCRYPT_DATA if session.encrypt_data else 0
    return SessionSetupResponse(flags, step.token)


def _ends_session(context: RequestContext, session: Session, failure: Exception) -> bool:
    """Whether a repeated login that failed is the end of the session.

    Not if somebody else can have sent it: only who could end the session by a LOGOFF, too. Nor if others' attempts were the
    reason, or a user that the session is not of. One without keys has ended before its first login was answered.
    """
    if not isinstance(failure, LogonFailure) or isinstance(failure, TooManyAttempts):
        return False
    if failure.status != Status.LOGON_FAILURE:
        return False
    security = session.security
    if security is None:
        return False
    proven = context.request.signed or context.encrypted
    return proven or not (security.signing_required or security.encrypt_data)


def _check_policy(context: RequestContext) -> None:
    required = context.server.settings.encryption is Encryption.REQUIRED
    if required and context.connection.protocol.cipher == Cipher.NONE:
        raise SmbError(Status.ACCESS_DENIED, "this server demands encryption and the client offers none")


def _find_session(context: RequestContext) -> Session:
    """The session that this leg belongs to: a new one for session id 0, never one of another connection."""
    connection, session_id = context.connection, context.header.session_id
    if session_id == 0:
        if len(connection.sessions) >= MAX_SESSIONS_PER_CONNECTION:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many sessions on one connection")
        session = Session(new_session_id(context.server.sessions), [connection])
        connection.sessions[session.id] = session
        context.server.sessions[session.id] = session
        return session
    found = connection.sessions.get(session_id)
    if found is None:
        raise SmbError(Status.USER_SESSION_DELETED)
    return found


async def _succeed(
    context: RequestContext, session: Session, step: AuthStep, previous_session_id: int
) -> None:
    assert step.user is not None, "a finished login has a user"
    connection, settings = context.connection, context.server.settings
    if session.state is SessionState.IN_PROGRESS:
        session.encrypt_data = settings.encryption is Encryption.REQUIRED
        session.security = connection.protocol.derive_keys(
            context.request, session.id, step.session_key, encrypt_data=session.encrypt_data
        )
        session.state = SessionState.VALID
        connection.login_succeeded()
    elif session.state is SessionState.EXPIRED:
        session.state = SessionState.VALID
    session.user = step.user
    context.server.expiry.renew(session, trio.current_time() + step.seconds)
    await _end_previous(context, session, previous_session_id)


async def _end_previous(context: RequestContext, session: Session, previous_session_id: int) -> None:
    """A client that comes back names its lost session; only its own user may end it (MS-SMB2 3.3.5.5.3)."""
    previous = context.server.sessions.get(previous_session_id)
    if previous is None or previous is session or previous.user is None or session.user is None:
        return
    if previous.user.name == session.user.name:
        await close_session(context.server, previous)
