"""One TCP connection: bytes in, requests out to handlers, replies back (MS-SMB2 3.3.1.7)."""

from __future__ import annotations

import logging
import socket
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID

import trio

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.smb.closing import close_session
from odxfs.smb.compound import CompoundRun, make_reply
from odxfs.smb.dispatch import try_now
from odxfs.smb.limits import (
    LOGIN_SECONDS,
    MAX_GATHERED_BYTES,
    MAX_PASSES_WITHOUT_CHECKPOINT,
    MAX_WORKING_CREDITS,
)
from odxfs.smb.pending import PendingRequest, PendingRequests
from odxfs.smb.sending import PeerStalled, Sender
from odxfs.smb.settings import Encryption
from odxfs.types import Buffer
from odxfs.wire.exchange import Chain
from odxfs.wire.header import Command, Header, HeaderFlags
from odxfs.wire.negotiation import ServerOffer
from odxfs.wire.server_connection import ServerConnection

if TYPE_CHECKING:
    from odxfs.smb.server import SmbServer
    from odxfs.smb.sessions import Session
    from odxfs.smb.trees import Tree

_IN_ORDER = frozenset({Command.NEGOTIATE, Command.SESSION_SETUP})
"""Commands that are finished before anything behind them is looked at: they change what the bytes behind them mean."""

_numbers = count(1)

logger = logging.getLogger(__name__)


class Connection:
    """Owns the socket, the sans-IO state and the sessions of one client.

    `protocol` has the dialect and the client's NEGOTIATE values. `logged_in` is set by the first login that succeeds.
    """

    def __init__(self, server: SmbServer, sock: socket.socket) -> None:
        self.server = server
        self.number = next(_numbers)
        self.peer_address: tuple[str, int] = _address(sock.getpeername())
        self.local_address: tuple[str, int] = _address(sock.getsockname())
        self.protocol = ServerConnection(_offer(server))
        self.sessions: dict[int, Session] = {}
        self.pending = PendingRequests()
        self.sender = Sender(sock)
        self.logged_in = False
        self._socket = sock
        self._scope = trio.CancelScope()
        self._login_scope = trio.CancelScope()
        self._working_credits = 0
        self._released = trio.Event()
        server.connections.add(self)

    def __str__(self) -> str:
        return f"{self.peer_address[0]}:{self.peer_address[1]}"

    # What FSCTL_VALIDATE_NEGOTIATE_INFO and the like ask for.
    @property
    def dialect(self) -> int:
        """The negotiated revision; 0 before NEGOTIATE."""
        return self.protocol.dialect

    @property
    def client_guid(self) -> UUID:
        """The client's own id."""
        return UUID(bytes_le=self.protocol.client_guid)

    @property
    def client_capabilities(self) -> int:
        """Capabilities of the client's NEGOTIATE."""
        return self.protocol.client_capabilities

    @property
    def client_security_mode(self) -> int:
        """SecurityMode of the client's NEGOTIATE."""
        return self.protocol.client_security_mode

    @property
    def client_dialects(self) -> tuple[int, ...]:
        """Every dialect that the client offered, in its order."""
        return self.protocol.client_dialects

    @property
    def server_capabilities(self) -> int:
        """Capabilities of the NEGOTIATE response."""
        return self.protocol.server_capabilities

    @property
    def server_security_mode(self) -> int:
        """SecurityMode of the NEGOTIATE response."""
        return self.protocol.server_security_mode

    @property
    def supports_multi_credit(self) -> bool:
        """Whether requests may carry more than 64 KiB."""
        return self.protocol.supports_multi_credit

    def abort(self, reason: str) -> None:
        """Drop the connection at once, without a reply (what VALIDATE_NEGOTIATE does on a mismatch)."""
        logger.info("connection %s is dropped: %s", self, reason)
        self._scope.cancel()

    def login_succeeded(self) -> None:
        """A session became valid: the connection may stay."""
        self.logged_in = True
        self._login_scope.deadline = float("inf")

    def cancel_pending(self, *, session: Session | None = None, tree: Tree | None = None) -> None:
        """Cancel what waits in a session or a tree that ends."""

        def wanted(pending: PendingRequest) -> bool:
            context = pending.context
            return context.bound_session is session if session is not None else context.bound_tree is tree

        self.pending.cancel(wanted)

    async def run(self) -> None:
        """Serve until either side closes; then everything the client had open is closed."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._serve(nursery)
                    nursery.cancel_scope.cancel()
        except* Exception:
            logger.exception("connection %s ends for a reason that is not the client's", self)
        finally:
            with trio.CancelScope(shield=True):
                await self._clean_up()

    async def _clean_up(self) -> None:
        self.server.connections.discard(self)
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        for session in list(self.sessions.values()):
            await close_session(self.server, session)

    async def _serve(self, nursery: trio.Nursery) -> None:
        self._login_scope.deadline = trio.current_time() + LOGIN_SECONDS
        with self._login_scope:
            try:
                await self._receive(nursery)
            except ProtocolError as error:
                logger.info("connection %s is closed: %s", self, error)
            except (OSError, PeerStalled) as error:
                logger.debug("connection %s is gone: %s", self, error)
        if self._login_scope.cancelled_caught:
            logger.info("connection %s is closed: no login within %.0f seconds", self, LOGIN_SECONDS)

    async def _receive(self, nursery: trio.Nursery) -> None:
        passes = 0
        while True:
            try:
                received = self._socket.recv_into(self.protocol.get_buffer())
            except BlockingIOError:
                passes = 0
                await trio.lowlevel.wait_readable(self._socket)
                continue
            if received == 0:
                return
            await self._handle(self.protocol.received(received), nursery)
            passes += 1
            if passes >= MAX_PASSES_WITHOUT_CHECKPOINT:
                passes = 0
                await trio.lowlevel.checkpoint()

    async def _handle(self, chains: list[Chain], nursery: trio.Nursery) -> None:
        """Answer what can be answered at once, with one send for all of it; start the rest."""
        gathered: list[Buffer] = []
        gathered_bytes = 0
        for chain in chains:
            response = try_now(self, chain) if len(chain.requests) == 1 else None
            if response is not None:
                reply = make_reply(chain.requests[0], Status.SUCCESS, response)
                buffers = self.protocol.send(chain, (reply,))
                gathered += buffers
                gathered_bytes += sum(map(len, buffers))
                if gathered_bytes > MAX_GATHERED_BYTES:
                    await self.sender.send(gathered)
                    gathered, gathered_bytes = [], 0
            else:
                await self._start(chain, nursery)
        if gathered:
            await self.sender.send(gathered)

    async def _start(self, chain: Chain, nursery: trio.Nursery) -> None:
        chain.requests = [request for request in chain.requests if not self._cancelled(request.header)]
        if not chain.requests:
            return
        if any(request.header.command in _IN_ORDER for request in chain.requests):
            await CompoundRun(self, chain).run()
            return
        while self._working_credits >= MAX_WORKING_CREDITS:
            self._released = trio.Event()
            await self._released.wait()
        self._working_credits += _credits(chain)
        nursery.start_soon(self._run, chain)

    async def _run(self, chain: Chain) -> None:
        run = CompoundRun(self, chain)
        try:
            await run.run()
        except ProtocolError as error:
            self.abort(str(error))
        except (OSError, PeerStalled) as error:
            self.abort(f"the peer is gone: {error}")
        finally:
            if not run.pends:
                self.release_credits(chain)

    def release_credits(self, chain: Chain) -> None:
        """`chain` is answered, or waits for something that is not this connection's."""
        self._working_credits -= _credits(chain)
        self._released.set()

    def _cancelled(self, header: Header) -> bool:
        """Whether this is a CANCEL, which is done here: it ends a waiting request and has no reply (MS-SMB2 3.3.5.16).

        A request that does not wait is not touched: it is about to be answered anyway.
        """
        if header.command != Command.CANCEL:
            return False
        if header.flags & HeaderFlags.ASYNC_COMMAND:
            self.pending.cancel(
                lambda pending: pending.async_id == header.async_id and _same_session(pending, header)
            )
        else:
            self.pending.cancel(
                lambda pending: pending.context.header.message_id == header.message_id
                and _same_session(pending, header)
            )
        return True


def _same_session(pending: PendingRequest, header: Header) -> bool:
    return pending.context.header.session_id == header.session_id


def _credits(chain: Chain) -> int:
    return sum(request.header.credit_charge or 1 for request in chain.requests)


def _address(name: object) -> tuple[str, int]:
    """Host and port of a socket's name; a local socket pair has none."""
    if isinstance(name, tuple):
        return str(name[0]), int(name[1])
    return "local", 0


def _offer(server: SmbServer) -> ServerOffer:
    settings = server.settings
    return ServerOffer(
        server_guid=server.guid.bytes_le,
        min_dialect=settings.min_dialect,
        max_dialect=settings.max_dialect,
        signing_required=settings.signing_required,
        encryption=settings.encryption is not Encryption.OFF,
        max_transact_bytes=settings.max_transact_bytes,
        max_read_bytes=settings.max_read_bytes,
        max_write_bytes=settings.max_write_bytes,
    )
