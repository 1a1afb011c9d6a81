"""A user's session on a connection: the logon, then requests in the session's name."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from odxfs.client.authentication import Authentication
from odxfs.client.connection import Connection, Pending
from odxfs.client.errors import LogonFailed, NetworkFailed, RequestRefused, exit_code_of
from odxfs.client.explain import sentence_of
from odxfs.errors import ExitCode, ProtocolError, UserError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.client_connection import Response
from odxfs.wire.header import Command
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.negotiate import Capabilities, SecurityMode
from odxfs.wire.session_setup import SessionFlags, SessionSetupRequest, SessionSetupResponse

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_LEGS = 8
"""NTLM takes two, Kerberos up to four; a server that asks for ever is not followed."""


class Session:
    """One user on one connection; every request is signed or sealed as the wire has settled it."""

    def __init__(self, connection: Connection, session_id: int) -> None:
        self.connection = connection
        self.id = session_id

    def submit(
        self,
        command: Command,
        body: bytes,
        *,
        tree_id: int = 0,
        credit_charge: int = 1,
        encrypt: bool = False,
    ) -> Pending:
        """`Connection.submit` in this session's name."""
        return self.connection.submit(
            command, body, session_id=self.id, tree_id=tree_id, credit_charge=credit_charge, encrypt=encrypt
        )

    async def call(
        self,
        command: Command,
        body: bytes,
        payload: Buffer | None = None,
        *,
        tree_id: int = 0,
        credit_charge: int = 1,
        encrypt: bool = False,
    ) -> Response:
        """`Connection.call` in this session's name."""
        return await self.connection.call(
            command,
            body,
            payload,
            session_id=self.id,
            tree_id=tree_id,
            credit_charge=credit_charge,
            encrypt=encrypt,
        )

    async def log_off(self) -> None:
        """End the session; the server closes what was left open."""
        response = await self.call(Command.LOGOFF, LogoffRequest().pack())
        self.connection.wire.forget_session(self.id)
        expect_success(response, "log off")


def expect_success(response: Response, subject: str) -> Response:
    """The response, when it is a success. Raises RequestRefused."""
    if response.header.status:
        raise RequestRefused(response.header.status, subject)
    return response


@asynccontextmanager
async def open_session(
    connection: Connection, user: str, password: str, *, encrypt: bool = False
) -> AsyncIterator[Session]:
    """Log on, and log off on leaving. Raises LogonFailed, NetworkFailed.

    `user` may be `DOMAIN\\user` or `DOMAIN;user`. With `encrypt` every message of the session is sealed.
    """
    session = await _log_on(connection, user.replace(";", "\\", 1), password, encrypt=encrypt)
    yield session
    try:
        await session.log_off()
    except UserError as error:
        _log.info("logging off: %s", error)  # all that was to be done is done and acknowledged


async def _log_on(connection: Connection, user: str, password: str, *, encrypt: bool) -> Session:
    try:
        return await _exchange(connection, user, password, encrypt=encrypt)
    except ProtocolError as error:
        raise LogonFailed(
            f"{connection.address}: the server cannot prove that it knows the session key: {error}"
        ) from error


async def _exchange(connection: Connection, user: str, password: str, *, encrypt: bool) -> Session:
    authentication = await _apart(Authentication, connection.address, connection.host, user, password)
    token = await _apart(authentication.step, connection.wire.security_token)
    session_id = 0
    for _ in range(MAX_LEGS):
        response = await _leg(connection, token, session_id)
        answer = SessionSetupResponse.unpack(response.pdu)
        session_id = response.header.session_id
        if answer.security_buffer:
            token = await _apart(authentication.step, answer.security_buffer)
        if response.header.status == Status.SUCCESS:
            _refuse_guest(connection, answer)
            sealed = encrypt or bool(answer.session_flags & SessionFlags.ENCRYPT_DATA)
            _check_sealing(connection, sealed)
            connection.wire.establish(response, authentication.session_key(), encrypt_data=sealed)
            return Session(connection, session_id)
    raise LogonFailed(f"{connection.address}: the logon does not come to an end")


async def _apart(work: Callable[..., T], *arguments: object) -> T:
    """In a thread, which is left alone when nobody waits for it any more: Kerberos asks servers of its own, which may be away."""
    return await trio.to_thread.run_sync(work, *arguments, abandon_on_cancel=True)


async def _leg(connection: Connection, token: bytes, session_id: int) -> Response:
    body = SessionSetupRequest(
        token, security_mode=SecurityMode.SIGNING_ENABLED, capabilities=Capabilities.DFS
    ).pack()
    message_id, buffers = connection.wire.session_setup(body, session_id)
    pending = connection.enqueue(message_id, buffers)
    await connection.flush()
    response = await pending.wait()
    status = response.header.status
    if status not in {Status.SUCCESS, Status.MORE_PROCESSING_REQUIRED}:
        _refuse_logon(connection, status)
    return response


def _refuse_logon(connection: Connection, status: int) -> None:
    if exit_code_of(status) in {ExitCode.AUTHENTICATION, ExitCode.REFUSED}:
        raise LogonFailed(f"{connection.address}: {sentence_of(status)}")
    raise NetworkFailed(f"{connection.address}: {sentence_of(status)}")


def _refuse_guest(connection: Connection, answer: SessionSetupResponse) -> None:
    """A guest's session has no key: nothing in it could be signed, and anybody could be the server."""
    if answer.session_flags & (SessionFlags.IS_GUEST | SessionFlags.IS_NULL):
        raise LogonFailed(
            f"{connection.address}: the server does not know the user and let them in as a guest only"
        )


def _check_sealing(connection: Connection, sealed: bool) -> None:
    if sealed and not connection.wire.cipher:
        raise NetworkFailed(f"{connection.address} does not encrypt, and encryption was asked for")
