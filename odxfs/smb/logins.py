"""What every login has in common, whether it begins a session, renews one or binds a connection to one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import trio

from odxfs.errors import UserError
from odxfs.ntstatus import Status
from odxfs.smb.auth.acceptor import Acceptor, AuthStep
from odxfs.smb.auth.errors import LogonFailure, TooManyAttempts
from odxfs.smb.closing import close_session
from odxfs.smb.limits import LOGIN_SECONDS, MAX_SESSIONS_PER_CONNECTION, MAX_WAITING_LOGINS
from odxfs.smb.request import SmbError
from odxfs.smb.sessions import SessionState
from odxfs.smb.withdrawal import is_user

if TYPE_CHECKING:
    from odxfs.smb.auth.users import User
    from odxfs.smb.connection import Connection
    from odxfs.smb.request import RequestContext

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class HalfLogin:
    """A login that has begun; it is given up at `due`, which is never once it is decided."""

    acceptor: Acceptor
    due: float


async def log_in(context: RequestContext, session_id: int, token: bytes, expected: User | None) -> AuthStep:
    """Take the login to a session one leg further on this connection, and answer no sooner than failed logins before allow.

    `expected` is whose session it is already. Raises LogonFailure, after which the attempt is over. Time passes: who calls has to
    look at everything again.
    """
    connection = context.connection
    _check_waiting(connection, session_id)
    try:
        step = _half_login(context, session_id).acceptor.step(token)
        _check_user(step, expected)
        answer_at = _turn(context, step)
    except LogonFailure as failure:
        logger.info("login from %s failed: %s", connection, failure)
        await _finish(connection, session_id, _turn_after_failure(context, failure))
        raise
    if step.done:
        await _finish(connection, session_id, answer_at)
        _require_user(context, step)
    return step


def _check_waiting(connection: Connection, session_id: int) -> None:
    """The connection goes on while a login waits for its answer, but not with that login, nor with many of them."""
    if session_id in connection.waiting_logins:
        raise SmbError(Status.REQUEST_NOT_ACCEPTED, "the login to this session waits for its answer")
    if len(connection.waiting_logins) >= MAX_WAITING_LOGINS:
        connection.logins.pop(session_id, None)
        raise SmbError(Status.INSUFFICIENT_RESOURCES, "many logins of this connection wait for their answer")


async def _finish(connection: Connection, session_id: int, answer_at: float) -> None:
    """The login is decided. Until its answer is due it takes its place, so that nobody begins another one there."""
    connection.waiting_logins.add(session_id)
    connection.logins[session_id].due = inf
    try:
        await _wait_until(answer_at)
    finally:
        connection.waiting_logins.discard(session_id)
        connection.logins.pop(session_id, None)


async def give_up_overdue(connection: Connection) -> None:
    """End what has not gone on for LOGIN_SECONDS since it began, as long as anything is half done.

    A session that begins ends with it; one that stands, or that another connection has, stays as it is.
    """
    while (due := _next_due(connection)) < inf:
        await trio.sleep_until(due)
        now = trio.current_time()
        for session_id, login in list(connection.logins.items()):
            if login.due <= now and connection.logins.get(session_id) is login:
                await _give_up(connection, session_id)


def _next_due(connection: Connection) -> float:
    return min((login.due for login in connection.logins.values()), default=inf)


async def _give_up(connection: Connection, session_id: int) -> None:
    logger.info("a login from %s is given up: it has not gone on", connection)
    del connection.logins[session_id]
    session = connection.sessions.get(session_id)
    if session is None:
        connection.protocol.forget_session(session_id)
    elif session.state is SessionState.IN_PROGRESS:
        await close_session(connection.server, session)


def _half_login(context: RequestContext, session_id: int) -> HalfLogin:
    logins = context.connection.logins
    if session_id not in logins:
        if len(logins) >= MAX_SESSIONS_PER_CONNECTION:
            raise SmbError(Status.INSUFFICIENT_RESOURCES, "too many logins are half done on one connection")
        server = context.server
        acceptor = Acceptor(server.users, server.settings.server_name, server.settings.keytab)
        logins[session_id] = HalfLogin(acceptor, trio.current_time() + LOGIN_SECONDS)
        context.connection.bound_logins()
    return logins[session_id]


def _check_user(step: AuthStep, expected: User | None) -> None:
    if step.done and expected is not None and (step.user is None or step.user.name != expected.name):
        failure = LogonFailure("a login to the session of another user", Status.ACCESS_DENIED)
        failure.account = step.user.name if step.user is not None else ""
        raise failure


def _require_user(context: RequestContext, step: AuthStep) -> None:
    """Raise LogonFailure when the user has been removed while the answer waited: nobody would end the session any more."""
    try:
        stands = step.user is None or is_user(context.server, step.user)
    except UserError as error:
        raise LogonFailure(f"the users cannot be read: {error}") from error
    if not stands:
        raise LogonFailure("the user has been removed")


def _turn(context: RequestContext, step: AuthStep) -> float:
    """When a finished login may be answered: not before the delays of earlier failed ones have passed."""
    now = trio.current_time()
    if step.user is None:
        return now
    answer_at = context.server.login_delays.right(context.connection.peer_address[0], step.user.name, now)
    if answer_at is None:
        failure = TooManyAttempts(f"too many attempts on {step.user.name!r} wait for their answer")
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
