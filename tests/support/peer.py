"""A client that does exactly what a test tells it to, one request at a time, on the sans-IO client half."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import spnego
import trio

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.client_connection import Call, ClientConnection, ClientOffer, Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateRequest, CreateResponse
from odxfs.wire.crypto.preauth import extend_hash
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command, HeaderFlags
from odxfs.wire.negotiate import Capabilities
from odxfs.wire.negotiation import SERVED_DIALECTS
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.security import SessionSecurity
from odxfs.wire.session_setup import SessionSetupFlags, SessionSetupRequest, SessionSetupResponse
from odxfs.wire.tree_connect import TreeConnectRequest
from odxfs.wire.verification import verify
from odxfs.wire.write import WriteRequest

FILE_ALL_ACCESS = 0x001F01FF
SHARE_ALL = 7


class Body(Protocol):
    """Any request structure of odxfs.wire."""

    def pack(self) -> bytes: ...


class Refused(Exception):
    """The server answered with this status instead of success."""

    def __init__(self, status: int) -> None:
        super().__init__(Status(status).name)
        self.status = Status(status)


class Peer:
    """One connection. `session_id` and `tree_id` are those of the last login and tree connect.

    `channel_sequence` and `replay` go into every request from when they are set. `arrived` has the message ids of all that came,
    in order.
    """

    def __init__(self, stream: trio.SocketStream, dialects: Sequence[int], guid: bytes | None = None) -> None:
        self.wire = ClientConnection(ClientOffer(guid or uuid.uuid4().bytes, tuple(dialects)))
        self.wire.capabilities |= Capabilities.PERSISTENT_HANDLES
        self.stream = stream
        self.channel_sequence = 0
        self.replay = False
        self.session_id = 0
        self.tree_id = 0
        self.login_was_signed = False
        self.arrived: list[int] = []
        self._responses: dict[int, list[Response]] = {}

    async def negotiate(self) -> None:
        await self._exchange(*self.wire.negotiate())

    async def login(self, user: str, password: str, *, previous: int = 0, again: bool = False) -> None:
        """Log in, `again` to the session that stands; Refused when the server says no."""
        context = spnego.client(user, password, hostname="127.0.0.1", service="cifs", protocol="ntlm")
        token, session_id = context.step(), self.session_id if again else 0
        while True:
            request = SessionSetupRequest(token or b"", previous_session_id=previous)
            response = await self._exchange(*self.wire.session_setup(request.pack(), session_id))
            session_id = response.header.session_id
            if response.header.status == Status.SUCCESS:
                break
            if response.header.status != Status.MORE_PROCESSING_REQUIRED:
                raise Refused(response.header.status)
            token = context.step(SessionSetupResponse.unpack(response.pdu).security_buffer)
        self.login_was_signed = bool(response.header.flags & HeaderFlags.SIGNED)
        self.wire.establish(response, context.session_key)
        self.session_id = session_id

    async def bind(
        self, owner: "Peer", user: str, password: str, *, signer: SessionSecurity | None = None
    ) -> None:
        """Become a further channel of the session of `owner`, whose tree connect is taken over; Refused when it cannot be.

        `signer` signs the request instead of the session's own key.
        """
        session = owner.wire.sessions[owner.session_id]
        self.wire.forget_session(owner.session_id)
        context = spnego.client(user, password, hostname="127.0.0.1", service="cifs", protocol="ntlm")
        token = context.step()
        while True:
            response = await self.bind_leg(owner.session_id, token or b"", signer or session)
            if response.header.status == Status.SUCCESS:
                break
            if response.header.status != Status.MORE_PROCESSING_REQUIRED:
                raise Refused(response.header.status)
            assert verify(session, response.header, response.pdu, from_server=True)
            token = context.step(SessionSetupResponse.unpack(response.pdu).security_buffer)
        own = self.wire.establish(response, context.session_key)
        own.sealer, own.unsealer = session.sealer, session.unsealer
        self.session_id, self.tree_id = owner.session_id, owner.tree_id

    async def bind_leg(self, session_id: int, token: bytes, signer: SessionSecurity) -> Response:
        """One leg of a binding to that session."""
        body = SessionSetupRequest(token, flags=SessionSetupFlags.BINDING).pack()
        self.wire.sessions[session_id] = signer  # for this one request: it signs, but does not enter the hash
        hashed = self.wire.login_hashes.get(session_id, self.wire.preauth_hash)
        message_id, buffers = self.wire.session_setup(body, session_id)
        del self.wire.sessions[session_id]
        self.wire.login_requests[message_id] = extend_hash(hashed, (b"".join(buffers)[4:],))
        return await self._exchange(message_id, buffers)

    async def connect_tree(self, share: str) -> int:
        response = await self.call(Command.TREE_CONNECT, TreeConnectRequest(f"\\\\127.0.0.1\\{share}"))
        self.tree_id = response.header.tree_id
        return self.tree_id

    async def send(self, command: int, body: Body, *, charge: int = 1) -> int:
        """Send a request and return its message id at once."""
        call = Call(command, body.pack(), None, self.tree_id, self.session_id, charge)
        call.channel_sequence, call.replay = self.channel_sequence, self.replay
        (message_id,), buffers = self.wire.compound([call])
        await self.stream.send_all(b"".join(buffers))
        return message_id

    async def answer(self, command: int, body: Body, *, charge: int = 1) -> Response:
        """Send a request and return its final response, whatever the status."""
        return await self.final(await self.send(command, body, charge=charge))

    async def call(self, command: int, body: Body, *, charge: int = 1) -> Response:
        """Send a request and return its response; Refused unless it succeeded."""
        response = await self.answer(command, body, charge=charge)
        if response.header.status != Status.SUCCESS:
            raise Refused(response.header.status)
        return response

    async def compound(self, calls: Sequence[tuple[int, Body]], *, related: bool = True) -> list[Response]:
        """Send several requests in one frame; all but the first related to it."""
        packed = [
            Call(
                command,
                body.pack(),
                tree_id=self.tree_id,
                session_id=self.session_id,
                related=related and index > 0,
            )
            for index, (command, body) in enumerate(calls)
        ]
        ids, buffers = self.wire.compound(packed)
        await self.stream.send_all(b"".join(buffers))
        return [await self.final(message_id) for message_id in ids]

    async def cancel(self, message_id: int, async_id: int = 0) -> None:
        buffers = self.wire.cancel(message_id, self.session_id, async_id)
        await self.stream.send_all(b"".join(buffers))

    async def next_response(self, message_id: int) -> Response:
        """The next response to that request, interim ones included."""
        while not self._responses.get(message_id):
            data = await self.stream.receive_some(1 << 20)
            if not data:
                raise ProtocolError("the server closed the connection")
            for response in self.wire.receive(data):
                self.arrived.append(response.header.message_id)
                self._responses.setdefault(response.header.message_id, []).append(response)
        return self._responses[message_id].pop(0)

    def has_response(self, message_id: int) -> bool:
        """Whether one has come with what was received up to now."""
        return bool(self._responses.get(message_id))

    async def final(self, message_id: int) -> Response:
        """The final response to that request."""
        while (response := await self.next_response(message_id)).interim:
            pass
        return response

    async def closed_by_server(self) -> bool:
        """Wait until the server closes; False when it sends something instead."""
        try:
            return await self.stream.receive_some(1) == b""
        except trio.BrokenResourceError:
            return True

    async def _exchange(self, message_id: int, buffers: Sequence[Any]) -> Response:
        await self.stream.send_all(b"".join(buffers))
        return await self.final(message_id)

    # The commands that most tests need.

    async def create(
        self, name: str, disposition: int = CreateDisposition.OPEN_IF, **fields: Any
    ) -> CreateResponse:
        """CREATE with all access, sharing everything, unless `fields` say otherwise."""
        values = {"desired_access": FILE_ALL_ACCESS, "share_access": SHARE_ALL, **fields}
        request = CreateRequest(name, create_disposition=disposition, **values)
        return CreateResponse.unpack((await self.call(Command.CREATE, request)).pdu)

    async def open(self, name: str, disposition: int = CreateDisposition.OPEN_IF, **fields: Any) -> FileId:
        """The FileId of a CREATE."""
        return (await self.create(name, disposition, **fields)).file_id

    async def close(self, fid: FileId) -> None:
        await self.call(Command.CLOSE, CloseRequest(fid))

    async def read(self, fid: FileId, offset: int, length: int, minimum: int = 0) -> bytes:
        charge = max(1, -(-length // 65536))
        response = await self.call(Command.READ, ReadRequest(fid, offset, length, minimum), charge=charge)
        return bytes(ReadResponse.unpack(response.pdu).data)

    async def write(self, fid: FileId, offset: int, data: bytes, flags: int = 0) -> None:
        charge = max(1, -(-len(data) // 65536))
        await self.call(Command.WRITE, WriteRequest(fid, offset, data, flags), charge=charge)


@asynccontextmanager
async def connect(
    port: int,
    dialects: Sequence[int] = SERVED_DIALECTS,
    guid: bytes | None = None,
    address: str | None = None,
    *,
    host: str = "127.0.0.1",
) -> AsyncIterator[Peer]:
    """A connection to `host` that has negotiated, of a client that calls itself `guid` and has the address `address`."""
    async with await trio.open_tcp_stream(host, port, local_address=address) as stream:
        peer = Peer(stream, dialects, guid)
        await peer.negotiate()
        yield peer


@asynccontextmanager
async def logged_in(
    port: int,
    user: str,
    password: str,
    share: str,
    dialects: Sequence[int] = SERVED_DIALECTS,
    guid: bytes | None = None,
    *,
    host: str = "127.0.0.1",
) -> AsyncIterator[Peer]:
    """A connection with a session and a tree connect."""
    async with connect(port, dialects, guid, host=host) as peer:
        await peer.login(user, password)
        await peer.connect_tree(share)
        yield peer
