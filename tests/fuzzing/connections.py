"""Whole connections under any bytes: what comes out of the codec is checked, and what it keeps stays within its bounds."""

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.credits import MAX_CREDITS, MAX_SPAN
from odxfs.wire.exchange import Reply
from odxfs.wire.framing import CHUNK_BYTES, LOGIN_FRAME_BYTES, MINIMUM_ROOM_BYTES, SESSION_FRAME_BYTES
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.server_connection import ServerConnection
from odxfs.wire.server_outbound import MAX_LOGINS
from tests.protocol.pair import SESSION_ID, Pair, client_offer, established, join, server_offer

_HEAD_BYTES = 8
_FREE_WITHOUT_SESSION = (Command.NEGOTIATE, Command.SESSION_SETUP, Command.ECHO)


def before_login(data: bytes) -> None:
    """A connection that has only negotiated: no request comes through that needs a session."""
    pair = Pair(client_offer(), server_offer())
    pair.negotiate()
    try:
        _drive(pair.server, data, session_id=0, limit=LOGIN_FRAME_BYTES)
    except ProtocolError:
        pass
    assert not pair.server.sessions


def logged_in(data: bytes) -> None:
    """One with a session that need not sign, so that every request gets as far as it can."""
    pair = established(client_offer(signing_required=False), server_offer(signing_required=False))
    try:
        _drive(pair.server, data, session_id=SESSION_ID, limit=SESSION_FRAME_BYTES)
    except ProtocolError:
        pass
    assert set(pair.server.sessions) == {SESSION_ID}


def _drive(server: ServerConnection, data: bytes, *, session_id: int, limit: int) -> None:
    """Each step is eight bytes (command, flags, charge, how the header is spoilt, body length) and a body."""
    for _ in range(32):
        if len(data) < _HEAD_BYTES:
            server.receive(data)
            return
        command, flags, charge, spoilt, credit, size = (*data[:5], int.from_bytes(data[5:7], "little"))
        body, data = data[_HEAD_BYTES : _HEAD_BYTES + size], data[_HEAD_BYTES + size :]
        header = Header(
            command % 20,
            credit_charge=charge % 4,
            credits=credit,
            flags=flags & (HeaderFlags.RELATED | HeaderFlags.SIGNED | HeaderFlags.ASYNC_COMMAND),
            message_id=server.window._low,
            session_id=session_id,
        )
        match spoilt:
            case 1:
                header.session_id ^= 1
            case 2:
                header.message_id += charge
            case 3:
                header.next_command = size & ~7
            case 4:
                header.flags |= HeaderFlags.SERVER_TO_REDIR
        message = header.pack() + body
        _take(server, len(message).to_bytes(4, "big") + message)
        _check_bounds(server, limit)


def _take(server: ServerConnection, received: bytes) -> None:
    for chain in server.receive(received):
        for request in chain.requests:
            if request.refusal is None and request.header.command not in _FREE_WITHOUT_SESSION:
                assert request.header.session_id in server.sessions, "a request without a session"
        status = Status.NOT_SUPPORTED
        replies = [Reply(request, request.refusal or status, b"") for request in chain.requests]
        for reply in replies:
            if reply.request.header.command == Command.SESSION_SETUP and not reply.request.refusal:
                reply.status, reply.session_id = Status.MORE_PROCESSING_REQUIRED, 77
        if any(reply.request.header.command != Command.CANCEL for reply in replies):
            assert join(server.send(chain, replies))


def _check_bounds(server: ServerConnection, limit: int) -> None:
    assert len(server.frames._view) <= max(CHUNK_BYTES, limit + 4 + MINIMUM_ROOM_BYTES)
    assert server.window.available <= MAX_CREDITS
    assert len(server.window._used) <= MAX_SPAN
    assert len(server.logins) <= MAX_LOGINS
