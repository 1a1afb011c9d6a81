"""Session binding: a further connection for a session, which its client has proven to hold the keys of (MS-SMB2 3.3.5.5 step 4).

Whatever becomes of a binding, the session stays as it is until it has succeeded: its keys, its state and its other connections
are not touched, and what fails is the connection's alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.auth.errors import LogonFailure
from odxfs.smb.limits import MAX_CHANNELS_PER_SESSION, MAX_SESSIONS_PER_CONNECTION
from odxfs.smb.logins import log_in
from odxfs.smb.request import Answer, RequestContext, Response, SmbError
from odxfs.smb.sessions import Session, SessionState
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import SigningAlgorithm
from odxfs.wire.session_setup import SessionFlags, SessionSetupRequest, SessionSetupResponse

if TYPE_CHECKING:
    from odxfs.smb.connection import Connection


async def bind_session(context: RequestContext, request: SessionSetupRequest) -> Response | Answer:
    """One leg of the login that adds this connection to a session, by the user whose session it is."""
    connection, session_id = context.connection, context.header.session_id
    session = _find_session(context)
    _check(context, session)
    if session_id not in connection.logins:
        connection.protocol.forget_session(session_id)  # what an earlier attempt has left
    try:
        step = await log_in(context, session_id, request.security_buffer, session.user)
    except LogonFailure:
        connection.protocol.forget_session(session_id)
        raise
    if not step.done:
        return Answer(Status.MORE_PROCESSING_REQUIRED, SessionSetupResponse(0, step.token))
    if session.state is SessionState.CLOSED:
        connection.protocol.forget_session(session_id)
        raise SmbError(Status.USER_SESSION_DELETED)
    _check_room(session, connection)
    connection.protocol.bind_session(context.request, step.session_key)
    session.channels.append(connection)
    connection.sessions[session.id] = session
    connection.login_succeeded()
    return SessionSetupResponse(SessionFlags.ENCRYPT_DATA if session.encrypt_data else 0, step.token)


def _find_session(context: RequestContext) -> Session:
    if context.header.session_id == 0:
        raise SmbError(Status.INVALID_PARAMETER, "a binding that names no session")
    session = context.server.sessions.get(context.header.session_id)
    if session is None:
        raise SmbError(Status.USER_SESSION_DELETED)
    if session.state is SessionState.IN_PROGRESS:
        raise SmbError(Status.REQUEST_NOT_ACCEPTED, "a binding to a session that has not logged in")
    if session.state is SessionState.EXPIRED:
        raise SmbError(Status.NETWORK_SESSION_EXPIRED)
    return session


def _check(context: RequestContext, session: Session) -> None:
    """Only who has the session's key may bind a connection to it, and learns with a signature why it cannot be."""
    connection, protocol = context.connection, context.connection.protocol
    assert session.security is not None, "a session that has logged in has keys"
    proven = protocol.verify_binding(context.request, session.security)
    _check_likeness(session, connection)
    if not context.request.signed:
        raise SmbError(Status.INVALID_PARAMETER, "a binding that is not signed")
    if not proven:
        raise SmbError(Status.ACCESS_DENIED, "a binding that is not signed with the session's key")
    _check_room(session, connection)


def _check_likeness(session: Session, connection: Connection) -> None:
    """All connections of a session speak alike.

    AES-GMAC comes first, as on Windows. That the ClientGuid is another is no reason: MS-SMB2 leaves that to the server, and
    the signature proves more.
    """
    first, this = session.connection.protocol, connection.protocol
    if first.signing_algorithm != this.signing_algorithm:
        if first.signing_algorithm is SigningAlgorithm.AES_GMAC:
            raise SmbError(
                Status.REQUEST_OUT_OF_SEQUENCE, "a connection without AES-GMAC for a session with it"
            )
        if this.signing_algorithm is SigningAlgorithm.AES_GMAC:
            raise SmbError(Status.NOT_SUPPORTED, "a connection with AES-GMAC for a session without it")
    if this.dialect < Dialect.SMB_3_0:
        raise SmbError(Status.REQUEST_NOT_ACCEPTED, "a binding in a dialect that has none")
    if first.dialect != this.dialect or first.cipher != this.cipher:
        raise SmbError(
            Status.INVALID_PARAMETER, "a connection of another dialect or cipher than the session's"
        )


def _check_room(session: Session, connection: Connection) -> None:
    if connection in session.channels:
        raise SmbError(Status.REQUEST_NOT_ACCEPTED, "this connection is the session's already")
    if len(session.channels) >= MAX_CHANNELS_PER_SESSION:
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "a session has no more connections than that")
    if len(connection.sessions) >= MAX_SESSIONS_PER_CONNECTION:
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "a connection has no more sessions than that")
