"""One TCP connection to an SMB server: requests out, answers matched to them, many in flight.

The protocol itself is `odxfs.wire.client_connection`; here are the socket, the waiting and the counting. One task receives;
whoever has a request sends. A request that was sent is answered, refused or fails with the connection; it is never lost. There is
one session on a connection, and a connection whose session or share has ended is as good as broken.
"""

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from odxfs.client.errors import NetworkFailed
from odxfs.client.explain import sentence_of
from odxfs.client.nursery import open_nursery
from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.client_connection import ClientConnection, ClientOffer, Response
from odxfs.wire.header import Command

SILENCE_SECONDS = 60.0
"""How long a server may say nothing while a request waits; Windows clients wait as long (SessTimeout)."""

CONNECT_SECONDS = 20.0

SENDING_SECONDS = 20.0
"""How long a server may take nothing of what is sent to it: nobody can cancel a message that is half sent."""

SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel in both directions, so that an 8 MiB message needs few turns."""

MAX_BUFFERS_PER_SEND = 512
"""Below the kernel's IOV_MAX of 1024."""

_SESSION_ENDED = frozenset(
    {Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED, Status.NETWORK_NAME_DELETED}
)
"""After these the server takes nothing more that is asked under the same ids; the first two may come unsigned."""


class Pending:
    """One request that is under way."""

    __slots__ = ("_arrived", "failure", "interim", "response")

    def __init__(self) -> None:
        self.response: Response | None = None
        self.failure: NetworkFailed | None = None
        self.interim = False
        self._arrived: trio.Event | None = None

    @property
    def done(self) -> bool:
        """Whether `wait` returns at once."""
        return self.response is not None or self.failure is not None

    async def wait(self) -> Response:
        """The final response, whatever its status. Raises NetworkFailed when the connection or its session ended first."""
        if not self.done:
            self._arrived = trio.Event()
            await self._arrived.wait()
        if self.response is None:
            assert self.failure is not None
            raise self.failure
        return self.response

    def settle(self, response: Response | None, failure: NetworkFailed | None) -> None:
        """The receiver's call: here is the answer, or there will be none."""
        self.response, self.failure = response, failure
        if self._arrived is not None:
            self._arrived.set()


class Connection:
    """One connection. `wire` holds what was negotiated; the two counters are bytes that passed the socket."""

    def __init__(self, socket: trio.socket.SocketType, wire: ClientConnection, host: str, port: int) -> None:
        self.wire = wire
        self.host = host
        self.address = f"{host}:{port}"
        self.sent_bytes = 0
        self.received_bytes = 0
        self._socket = socket
        self._pending: dict[int, Pending] = {}
        self._outgoing: list[Buffer] = []
        self._sending = trio.Lock()
        self._credits_came = trio.Event()
        self._last_request = trio.current_time()
        self._failure: NetworkFailed | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the connection has ended, so that every request fails."""
        return self._failure is not None

    def has_room(self, credit_charge: int = 1) -> bool:
        """Whether `submit` of such a request is allowed by the server's credits now."""
        return self.wire.credits >= credit_charge

    async def wait_for_room(self, credit_charge: int = 1) -> int:
        """Wait until the server's credits allow such a request; the credits that it may cost.

        Fewer than `credit_charge`, and at least one, when nothing is under way any more whose answer could bring others: some
        servers never grant so many (MS-SMB2 3.3.1.2), and a request has to be cut to what they grant. Raises NetworkFailed.
        """
        while self._failure is None and not self.has_room(credit_charge) and self._pending:
            await self._credits_came.wait()
        if self._failure is None and not self.has_room():
            self._fail(f"{self.address} grants no credits, so that nothing can be asked of it any more")
        if self._failure is not None:
            raise self._failure
        return min(credit_charge, self.wire.credits)

    def submit(
        self,
        command: Command,
        body: bytes,
        payload: Buffer | None = None,
        *,
        session_id: int = 0,
        tree_id: int = 0,
        credit_charge: int = 1,
        encrypt: bool = False,
    ) -> Pending:
        """Queue a request for the next `flush`; the caller has asked `has_room`. Raises NetworkFailed on a dead connection."""
        message_id, buffers = self.wire.request(
            command,
            body,
            payload,
            tree_id=tree_id,
            session_id=session_id,
            credit_charge=credit_charge,
            encrypt=encrypt,
        )
        return self.enqueue(message_id, buffers)

    def enqueue(self, message_id: int, buffers: list[Buffer]) -> Pending:
        """Queue a message that the wire has already built."""
        if self._failure is not None:
            raise self._failure
        pending = Pending()
        self._pending[message_id] = pending
        self._outgoing += buffers
        self._last_request = trio.current_time()
        return pending

    async def flush(self) -> None:
        """Send all that is queued. Not cancelled in the middle: half a message would end the connection.

        So does a server that takes none of it for SENDING_SECONDS.
        """
        with trio.CancelScope(shield=True):
            async with self._sending:
                buffers, self._outgoing = self._outgoing, []
                try:
                    await self._send(buffers)
                except (OSError, trio.ClosedResourceError) as error:
                    raise self._fail(f"sending to {self.address} failed: {error}") from error
                except trio.TooSlowError as error:
                    raise self._fail(
                        f"{self.address} has taken no data for {SENDING_SECONDS:.0f} s"
                    ) from error

    async def call(
        self,
        command: Command,
        body: bytes,
        payload: Buffer | None = None,
        *,
        session_id: int = 0,
        tree_id: int = 0,
        credit_charge: int = 1,
        encrypt: bool = False,
    ) -> Response:
        """One request and its final response, whatever its status; waits for credits first.

        A cancelled caller is told before anything is sent, even when answers always are quicker than its waiting.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        await self.wait_for_room(credit_charge)
        pending = self.submit(
            command,
            body,
            payload,
            session_id=session_id,
            tree_id=tree_id,
            credit_charge=credit_charge,
            encrypt=encrypt,
        )
        await self.flush()
        return await pending.wait()

    async def receive(self) -> None:
        """Receive until the connection ends; then every request that still waits fails with the reason."""
        while self._failure is None:
            with trio.CancelScope() as patience:
                await self._receive_while_talking(patience)
            if patience.cancelled_caught and self._is_silent():
                self._fail(f"{self.address} has not answered for {SILENCE_SECONDS:.0f} s")

    def close(self) -> None:
        """End the connection; what still waits fails."""
        self._fail(f"the connection to {self.address} is closed")

    async def _receive_while_talking(self, patience: trio.CancelScope) -> None:
        while self._failure is None:
            patience.deadline = trio.current_time() + SILENCE_SECONDS
            try:
                count = await self._socket.recv_into(self.wire.get_buffer())
            except (OSError, trio.ClosedResourceError) as error:
                self._fail(f"the connection to {self.address} broke: {error}")
                return
            if count == 0:
                self._fail(f"{self.address} closed the connection")
                return
            self.received_bytes += count
            self._take(count)

    def _take(self, count: int) -> None:
        try:
            responses = self.wire.received(count)
        except ProtocolError as error:
            self._fail(f"{self.address} breaks the protocol: {error}")
            return
        for response in responses:
            self._match(response)
        if responses:
            self._credits_came.set()
            self._credits_came = trio.Event()

    def _match(self, response: Response) -> None:
        message_id = response.header.message_id
        pending = self._pending.get(message_id)
        if pending is None:
            return  # an oplock break: none is ever asked for, so none needs an answer
        if response.interim:
            pending.interim = True
            return
        if response.header.status in _SESSION_ENDED:
            self._fail(f"{self.address}: {sentence_of(response.header.status)}")
            return
        del self._pending[message_id]
        pending.settle(response, None)

    def _is_silent(self) -> bool:
        """Whether a request is overdue. One that the server has said to be working on may take its time."""
        overdue = trio.current_time() >= self._last_request + SILENCE_SECONDS
        return overdue and any(not pending.interim for pending in self._pending.values())

    def _fail(self, message: str) -> NetworkFailed:
        if self._failure is None:
            self._failure = NetworkFailed(message)
            self._socket.close()
            waiting, self._pending = self._pending, {}
            for pending in waiting.values():
                pending.settle(None, self._failure)
            self._credits_came.set()
        return self._failure

    async def _send(self, buffers: list[Buffer]) -> None:
        while buffers:
            with trio.fail_after(SENDING_SECONDS):
                sent = await self._socket.sendmsg(buffers[:MAX_BUFFERS_PER_SEND])
            self.sent_bytes += sent
            buffers = _after(buffers, sent)


def _after(buffers: list[Buffer], sent: int) -> list[Buffer]:
    """What is left of `buffers` when their first `sent` bytes are gone."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []


@asynccontextmanager
async def open_connection(host: str, port: int, offer: ClientOffer) -> AsyncIterator[Connection]:
    """Connect and negotiate; the connection is closed on leaving. Raises NetworkFailed.

    The receiver outlives a cancelled caller until the context is left, so that cleaning up can still ask the server.
    """
    socket = await _connect(host, port)
    connection = Connection(socket, ClientConnection(offer), host, port)
    try:
        async with open_nursery() as nursery:
            receiving = trio.CancelScope(shield=True)
            nursery.start_soon(_receive_within, connection, receiving)
            try:
                await _negotiate(connection)
                yield connection
            finally:
                receiving.cancel()
    finally:
        connection.close()


async def _receive_within(connection: Connection, scope: trio.CancelScope) -> None:
    with scope:
        await connection.receive()


async def _connect(host: str, port: int) -> trio.socket.SocketType:
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream = await trio.open_tcp_stream(host, port)
    except trio.TooSlowError as error:
        raise NetworkFailed(f"no connection to {host}:{port} within {CONNECT_SECONDS:.0f} s") from error
    except UnicodeError as error:
        raise NetworkFailed(f"no connection to {host}:{port}: no host can have this name") from error
    except OSError as error:
        raise NetworkFailed(f"no connection to {host}:{port}: {_reason(error)}") from error
    for option in (trio.socket.SO_SNDBUF, trio.socket.SO_RCVBUF):
        stream.setsockopt(trio.socket.SOL_SOCKET, option, SOCKET_BUFFER_BYTES)
    return stream.socket


async def _negotiate(connection: Connection) -> None:
    message_id, buffers = connection.wire.negotiate()
    pending = connection.enqueue(message_id, buffers)
    await connection.flush()
    response = await pending.wait()
    if response.header.status:
        raise NetworkFailed(f"{connection.address} speaks none of our SMB dialects")


def _reason(error: OSError) -> str:
    """trio says only that all attempts failed; the attempts know why."""
    causes = error.__cause__.exceptions if isinstance(error.__cause__, BaseExceptionGroup) else [error]
    cause = causes[0]
    if isinstance(cause, socket.gaierror):
        return str(cause.strerror).lower()
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
        return os.strerror(cause.errno).lower()
    return str(cause)
