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
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.negotiation import SERVED_DIALECTS
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.session_setup import SessionSetupRequest, SessionSetupResponse
from odxfs.wire.tree_connect import TreeConnectRequest
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
    """One connection. `session_id` and `tree_id` are those of the last login and tree connect."""

    def __init__(self, stream: trio.SocketStream, dialects: Sequence[int]) -> None:
        self.wire = ClientConnection(ClientOffer(uuid.uuid4().bytes, tuple(dialects)))
        self.stream = stream
        self.session_id = 0
        self.tree_id = 0
        self._responses: dict[int, list[Response]] = {}

    async def negotiate(self) -> None:
        await self._exchange(*self.wire.negotiate())

    async def login(self, user: str, password: str, *, previous: int = 0) -> None:
        """Log in; Refused when the server says no."""
        context = spnego.client(user, password, hostname="127.0.0.1", service="cifs", protocol="ntlm")
        token, session_id = context.step(), 0
        while True:
            request = SessionSetupRequest(token or b"", previous_session_id=previous)
            response = await self._exchange(*self.wire.session_setup(request.pack(), session_id))
            session_id = response.header.session_id
            if response.header.status == Status.SUCCESS:
                break
            if response.header.status != Status.MORE_PROCESSING_REQUIRED:
                raise Refused(response.header.status)
            token = context.step(SessionSetupResponse.unpack(response.pdu).security_buffer)
        self.wire.establish(response, context.session_key)
        self.session_id = session_id

    async def connect_tree(self, share: str) -> int:
        response = await self.call(Command.TREE_CONNECT, TreeConnectRequest(f"\\\\127.0.0.1\\{share}"))
        self.tree_id = response.header.tree_id
        return self.tree_id

    async def send(self, command: int, body: Body, *, charge: int = 1) -> int:
        """Send a request and return its message id at once."""
        message_id, buffers = self.wire.request(
            command, body.pack(), tree_id=self.tree_id, session_id=self.session_id, credit_charge=charge
        )
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
                self._responses.setdefault(response.header.message_id, []).append(response)
        return self._responses[message_id].pop(0)

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
async def connect(port: int, dialects: Sequence[int] = SERVED_DIALECTS) -> AsyncIterator[Peer]:
    """A connection that has negotiated."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        peer = Peer(stream, dialects)
        await peer.negotiate()
        yield peer


@asynccontextmanager
async def logged_in(
    port: int, user: str, password: str, share: str, dialects: Sequence[int] = SERVED_DIALECTS
) -> AsyncIterator[Peer]:
    """A connection with a session and a tree connect."""
    async with connect(port, dialects) as peer:
        await peer.login(user, password)
        await peer.connect_tree(share)
        yield peer
