"""One TCP connection: bytes in, requests out to handlers, replies back (MS-SMB2 3.3.1.7)."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import struct
import termios
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

import trio

from odxfs.busy_polling import BusyPolling
from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.smb.after_commit import AnswersAfterCommit
from odxfs.smb.closing import lose_channel
from odxfs.smb.compound import CompoundRun, make_reply
from odxfs.smb.dispatch import try_now
from odxfs.smb.limits import (
    LOGIN_SECONDS,
    MAX_GATHERED_BYTES,
    MAX_PASSES_BESIDE_OTHERS,
    MAX_PASSES_WITHOUT_CHECKPOINT,
    MAX_ROUND_SECONDS,
    MAX_TURN_SECONDS,
    MAX_WORKING_CREDITS,
    MIN_ROUND_SECONDS,
)
from odxfs.smb.logins import HalfLogin, give_up_overdue
from odxfs.smb.pending import PendingRequest, PendingRequests
from odxfs.smb.request import AfterCommit, Answer
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

_TCPI_RTO = struct.Struct("=8xI")
"""The field of that name in Linux' struct tcp_info, in microseconds."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: close(2) resets the connection."""

_SUCCESS = Status.SUCCESS
_numbers = count(1)

logger = logging.getLogger(__name__)


class Connection:
    """Owns the socket and the sans-IO state; one channel of each of its `sessions`, which may have others.

    `logins` are half done: of a session that begins, that logs in again, or that this connection is about to be bound to.
    Those in `waiting_logins` are decided, but not to be answered yet. The others are given up when they do not go on.
    `protocol` has the dialect and the client's NEGOTIATE values. `logged_in` is set by the first login that succeeds,
    `ended` when the connection is gone with everything that was open on it alone.
    """

    def __init__(self, server: SmbServer, sock: socket.socket) -> None:
        self.server = server
        self.number = next(_numbers)
        self.peer_address: tuple[str, int] = _address(sock.getpeername())
        self.local_address: tuple[str, int] = _address(sock.getsockname())
        self.protocol = ServerConnection(_offer(server))
        self.sessions: dict[int, Session] = {}
        self.logins: dict[int, HalfLogin] = {}
        self.waiting_logins: set[int] = set()
        self.pending = PendingRequests()
        self.sender = Sender(sock)
        self.logged_in = False
        self._bounds_logins = False
        self.ended = trio.Event()
        self._socket = sock
        self._polling = BusyPolling(sock.fileno())
        self._scope = trio.CancelScope()
        self._login_scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._received: deque[Chain] = deque()
        self._gathered: list[Buffer] = []
        self._gathered_bytes = 0
        self._passes = 0
        self._turn_ends = 0.0
        self._leading_run: CompoundRun | None = None
        self._successor_waits = False
        self._working_credits = 0
        self._released = trio.Event()
        self._detached: set[CompoundRun] = set()
        self._after_commit = AnswersAfterCommit(self)
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

    def give_up(self, reason: str) -> None:
        """Drop a connection whose peer confirms nothing. TCP says so at once: an orderly end would wait behind what is lost."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort(reason)

    def login_succeeded(self) -> None:
        """A session became valid: the connection may stay."""
        self.logged_in = True
        self._login_scope.cancel()
        self.bound_logins()

    def bound_logins(self) -> None:
        """Half logins are given up in time: as long as nobody has logged in they end with the connection."""
        if self.logged_in and self.logins and not self._bounds_logins:
            self._bounds_logins = True
            self._nursery.start_soon(self._give_up_logins)

    async def _give_up_logins(self) -> None:
        try:
            await give_up_overdue(self)
        finally:
            self._bounds_logins = False

    @property
    def is_ending(self) -> bool:
        """Whether the connection is lost, or is being dropped."""
        return self._scope.cancel_called

    def forget_session(self, session: Session) -> None:
        """The session is not this connection's any more; half of a login to it is lost with it."""
        self.sessions.pop(session.id, None)
        self.logins.pop(session.id, None)
        self.protocol.forget_session(session.id)

    def cancel_pending(self, *, session: Session | None = None, tree: Tree | None = None) -> None:
        """Cancel what waits in a session or a tree that ends."""

        def wanted(pending: PendingRequest) -> bool:
            context = pending.context
            return context.bound_session is session if session is not None else context.bound_tree is tree

        self.pending.cancel(wanted)

    def tell_waiting(self) -> None:
        """The disk keeps requests waiting: their client is to know."""
        for run in list(self._detached):
            run.tell_waiting()
        self._after_commit.tell_waiting()

    async def run(self) -> None:
        """Serve until either side closes; then everything the client had open is closed."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self._expect_login)
                    await self._lead()
        except* Exception:
            logger.exception("connection %s ends for a reason that is not the client's", self)
        finally:
            with trio.CancelScope(shield=True):
                await self._clean_up()
            self.ended.set()

    async def _clean_up(self) -> None:
        self.server.forget_connection(self)
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()
        for session in list(self.sessions.values()):
            await lose_channel(self.server, session, self)

    async def _expect_login(self) -> None:
        with self._login_scope:
            await trio.sleep(LOGIN_SECONDS)
            self.abort(f"no login within {LOGIN_SECONDS:.0f} seconds")

    async def _lead(self) -> None:
        """Receive and execute requests, one after the other, until a handler has to wait; then another task leads.

        So requests begin in the order in which they came, whatever does not wait is answered without a task of its own, and
        whatever waits keeps nobody waiting. Whoever leads is the only one that receives.
        """
        self._turn_ends = monotonic() + MAX_TURN_SECONDS
        try:
            while True:
                if not await self._execute_received():
                    return
                await self._receive()
        except ProtocolError as error:
            self.abort(str(error))
        except EOFError:
            self._scope.cancel()
        except (OSError, PeerStalled) as error:
            self.abort(f"the peer is gone: {error}")

    @property
    def _may_look(self) -> bool:
        """Whether nobody waits for his turn while this connection's next request is looked for: no task of its own, no thread."""
        return not self._working_credits and self.server.pool.threads.is_idle

    async def _receive(self) -> None:
        """Fill `_received` with the chains of one receive. Raises EOFError when the client has closed."""
        while True:
            try:
                count_bytes = self._socket.recv_into(self.protocol.get_buffer())
            except BlockingIOError:
                if self._may_look and self._polling.comes_at_once():
                    continue
                self._passes = 0
                self._polling.sleeps()
                await trio.lowlevel.wait_readable(self._socket)
                self._turn_ends = monotonic() + MAX_TURN_SECONDS
                self._polling.woke()
                continue
            if count_bytes == 0:
                raise EOFError
            self._polling.serves()
            self._received.extend(self.protocol.received(count_bytes))
            self._passes += 1
            alone = len(self.server.connections) == 1
            if self._passes >= (MAX_PASSES_WITHOUT_CHECKPOINT if alone else MAX_PASSES_BESIDE_OTHERS):
                self._passes = 0
                await self._let_others_run()
            return

    async def _execute_received(self) -> bool:
        """Work through `_received`, with one send for all that was answered; False when another task leads by now."""
        while self._received:
            chain = self._received.popleft()
            is_alone = len(chain.requests) == 1 and self._working_credits < MAX_WORKING_CREDITS
            response = try_now(self, chain) if is_alone else None
            if isinstance(response, AfterCommit):
                self._after_commit.add(chain, response)
            elif response is not None:
                status = _SUCCESS
                if isinstance(response, Answer):
                    status, response = response.status, response.response
                self.gather(self.protocol.send(chain, (make_reply(chain.requests[0], status, response),)))
            elif not await self._execute(chain):
                return False
            if self._gathered_bytes > MAX_GATHERED_BYTES:
                await self._send_gathered()
            if monotonic() >= self._turn_ends:
                await self._send_gathered()
                await self._let_others_run()
        await self._send_gathered()
        return True

    async def _let_others_run(self) -> None:
        await trio.lowlevel.checkpoint()
        self._turn_ends = monotonic() + MAX_TURN_SECONDS

    async def _execute(self, chain: Chain) -> bool:
        """Run one chain the long way; False when it had to wait and another task took the lead meanwhile."""
        for request in chain.requests:
            if request.header.command == Command.CANCEL:
                await self.pending.let_answer(self._cancel(request.header))
        chain.requests = [request for request in chain.requests if request.header.command != Command.CANCEL]
        if not chain.requests:
            return True
        run = CompoundRun(self, chain)
        while self._working_credits >= MAX_WORKING_CREDITS:
            await self._send_gathered()
            self._released = trio.Event()
            await self._released.wait()
        self.take(run.credits)
        self._leading_run = run
        if not self._successor_waits:
            self._successor_waits = True
            self._nursery.start_soon(self._succeed)
        try:
            await run.run()
        finally:
            run.release_credits()
            self._detached.discard(run)
            if not run.detached:
                self._leading_run = None
        return not run.detached

    async def _succeed(self) -> None:
        """Runs when the leading task waits for the first time: take the lead if what it waits in is a handler."""
        self._successor_waits = False
        run, self._leading_run = self._leading_run, None
        if run is not None:
            run.detached = True
            self._detached.add(run)
            await self._lead()

    def start(self, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a task that ends with the connection."""
        self._nursery.start_soon(task, *arguments)

    def gather(self, buffers: list[Buffer]) -> None:
        """Keep a reply for the next send of whoever leads."""
        self._gathered += buffers
        self._gathered_bytes += sum(map(len, buffers))

    def post(self, buffers: list[Buffer]) -> bool:
        """Send a message that answers nothing; False where the peer is gone. One that does not take it in time is dropped.

        What has been answered leaves before it: the client may learn there what the message is about.
        """
        for run in [self._leading_run, *self._detached]:
            if run is not None:
                run.hand_over()
        gathered = self._take_gathered()
        try:
            if not self.sender.post(gathered + buffers):
                self._nursery.start_soon(self.tell, ())
        except OSError:
            logger.debug("%s is gone before it is told", self)
            return False
        return True

    @property
    def has_delivered(self) -> bool:
        """Whether the connection stands and the peer's TCP has confirmed all that was sent."""
        return self.confirmed_bytes == self.sender.sent_bytes and not self.sender.keeps_posted

    @property
    def confirmed_bytes(self) -> int | None:
        """How much of what was sent the peer's TCP has confirmed; None once the connection is lost."""
        if self._socket.fileno() < 0:
            return None
        try:
            (waiting,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))
        except OSError:
            return None
        return self.sender.sent_bytes - int(waiting)

    @property
    def round_seconds(self) -> float:
        """How long TCP waits at present for a confirmation before it sends again (`tcpi_rto`), within bounds."""
        try:
            information = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_RTO.size)
        except OSError:
            return MAX_ROUND_SECONDS
        microseconds: int = _TCPI_RTO.unpack(information)[0]
        return min(max(microseconds / 1e6, MIN_ROUND_SECONDS), MAX_ROUND_SECONDS)

    @property
    def is_dispensable(self) -> bool:
        """Whether each of its sessions has another connection on which it lives on, and which is not being dropped."""
        return all(
            any(other is not self and not other.is_ending for other in session.channels)
            for session in self.sessions.values()
        )

    async def tell(self, buffers: Sequence[Buffer]) -> None:
        """Send what is no final answer. A peer that is gone is dropped, and what it was to hear of ends with that, or not."""
        if self.is_ending:
            return
        try:
            await self.sender.send(buffers)
        except (OSError, PeerStalled, trio.ClosedResourceError) as error:
            self.abort(f"the peer is gone: {error}")

    async def _send_gathered(self) -> None:
        if self._gathered:
            await self.sender.send(self._take_gathered())

    def _take_gathered(self) -> list[Buffer]:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        return gathered

    def take(self, taken: int) -> None:
        """What these credits were spent on is at work: past MAX_WORKING_CREDITS nothing more begins."""
        self._working_credits += taken

    def give_back(self, given: int) -> None:
        """A run is over, or waits for something that is not this connection's."""
        self._working_credits -= given
        self._released.set()

    def _cancel(self, header: Header) -> list[PendingRequest]:
        """Do a CANCEL: it ends a waiting request, which is returned, and has no reply (MS-SMB2 3.3.5.16).

        A request that never waits is not touched: it is about to be answered anyway.
        """
        if header.flags & HeaderFlags.ASYNC_COMMAND:
            return self.pending.cancel(
                lambda pending: pending.async_id == header.async_id and _same_session(pending, header)
            )
        return self.pending.cancel_message(header.session_id, header.message_id)


def _same_session(pending: PendingRequest, header: Header) -> bool:
    return pending.context.header.session_id == header.session_id


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
