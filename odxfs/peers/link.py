"""The connections to one peer: few, sealed, opened when calls need them and closed when none did for a while."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import trio

from odxfs.client.client import Client
from odxfs.client.connection import Pending
from odxfs.client.errors import LogonFailed, NetworkFailed, RequestRefused
from odxfs.client.tree import Tree
from odxfs.errors import OffloadRefused, ProtocolError, Refusal, UserError
from odxfs.peers.peer import Peer
from odxfs.peers.probe import connect_to_tokens, pool_behind
from odxfs.peers.trouble import Trouble
from odxfs.peers.window import Window
from odxfs.wire.client_connection import Response
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateRequest, CreateResponse
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command

MAX_LINES = 4
"""Connections to one peer: enough that a lost packet does not hold up all, few enough for the peer's table."""

CONNECT_SECONDS = 3.0
"""Below the four seconds of a call: what takes longer is told to the next one."""

SILENT_SECONDS = 2.5
"""A call that was cancelled sooner, by its client, says nothing of the line."""

IDLE_SECONDS = 30.0
LOGOFF_SECONDS = 1.0
CLOSE_SECONDS = 30.0
"""A line on which a CLOSE is not answered for so long is of no use any more."""

_log = logging.getLogger(__name__)


class Line:
    """One connection, with the calls that use it. What nobody waits for is done in `nursery`."""

    def __init__(self, client: Client, tree: Tree, nursery: trio.Nursery) -> None:
        self.client = client
        self.tree = tree
        self.calls = 0
        self.ended = trio.Event()
        self._nursery = nursery

    @property
    def is_usable(self) -> bool:
        """Whether requests can be sent on it."""
        return not self.ended.is_set() and not self.client.connection.has_failed

    @contextmanager
    def used(self) -> Iterator[None]:
        """Count a call while it lasts."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    @contextmanager
    def given_up_if_silent(self) -> Iterator[None]:
        """Around a call: if its time is up and the peer has sent nothing on this line meanwhile, the next call takes another.

        The connection itself gives up later, and not at all while calls go on asking: a peer that lost its power would hold
        up all of them for as long as TCP sends again.
        """
        began, before = trio.current_time(), self.client.connection.received_bytes
        try:
            yield
        except trio.Cancelled:
            silent = self.client.connection.received_bytes == before
            if silent and trio.current_time() - began >= SILENT_SECONDS:
                self.ended.set()
            raise

    async def open(self, request: CreateRequest) -> Response:
        """A CREATE; what it opens when its caller waits no more is closed again, or the peer would count it for as long as the
        line lives. Raises NetworkFailed."""
        connection = self.client.connection
        await trio.lowlevel.checkpoint_if_cancelled()
        await connection.wait_for_room()
        pending = self.tree.submit(Command.CREATE, request.pack())
        try:
            await connection.flush()
            return await pending.wait()
        except trio.Cancelled:
            self._nursery.start_soon(self._give_back_late, pending)
            raise

    async def _give_back_late(self, pending: Pending) -> None:
        try:
            response = await pending.wait()
            if not response.header.status:
                self.give_back(CreateResponse.unpack(response.pdu).file_id)
        except (NetworkFailed, ProtocolError):
            self.ended.set()

    def give_back(self, file_id: FileId) -> None:
        """Close an open of this line; the call that had it does not wait for that."""
        if self.is_usable:
            self._nursery.start_soon(self._close, file_id)

    async def _close(self, file_id: FileId) -> None:
        with trio.move_on_after(CLOSE_SECONDS) as patience:
            try:
                await self.tree.call(Command.CLOSE, CloseRequest(file_id).pack())
            except NetworkFailed:
                self.ended.set()
        if patience.cancelled_caught:
            self.ended.set()


class Opening:
    """A line that is being opened; when `done` is set it has one of the two results."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.line: Line | None = None
        self.failure = Refusal.PEER_UNREACHABLE

    async def wait(self) -> Line:
        """The line. Raises OffloadRefused with what is wrong with the peer."""
        await self.done.wait()
        if self.line is None:
            raise OffloadRefused(self.failure)
        return self.line


class Link:
    """All lines to a peer, living in `nursery`. `window` bounds what is under way on them together."""

    def __init__(self, peer: Peer, nursery: trio.Nursery, clock: Callable[[], float]) -> None:
        self.peer = peer
        self.window = Window()
        self._nursery = nursery
        self._trouble = Trouble(clock)
        self._no_more = Trouble(clock)
        """Why there was no further line than those that are of use."""
        self._lines: list[Line] = []
        self._opening: Opening | None = None
        self._closed: Refusal | None = None

    IDLE: ClassVar[dict[str, Any]] = {"connections": 0, "calls": 0, "bytes_under_way": 0, "trouble": ""}
    """What `as_json` says of a peer that was not asked yet."""

    def as_json(self) -> dict[str, Any]:
        """How much it is used at this moment, and the label of what was wrong a moment ago."""
        lines = [line for line in self._lines if line.is_usable]
        return {
            "connections": len(lines),
            "calls": sum(line.calls for line in lines),
            "bytes_under_way": self.window.used,
            "trouble": self._trouble.label,
        }

    async def take(self) -> Line:
        """The line that is used least; a first one is waited for. Raises OffloadRefused with what is wrong with the peer."""
        if self._closed is not None:
            raise OffloadRefused(self._closed)
        self._lines = [line for line in self._lines if line.is_usable]
        least = min(self._lines, key=lambda line: line.calls, default=None)
        if least is None:
            self._trouble.check()
            return await self._open_another().wait()
        if least.calls and len(self._lines) < MAX_LINES and not self._no_more.label:
            self._open_another()
        return least

    def close(self, reason: Refusal) -> None:
        """End all lines, for ever; calls that are under way are refused for `reason`."""
        self._closed = reason
        for line in self._lines:
            line.ended.set()

    def _open_another(self) -> Opening:
        """The line that is being opened, begun now if none is."""
        if self._opening is None:
            self._opening = Opening()
            self._nursery.start_soon(self._keep_line, self._opening)
        return self._opening

    async def _keep_line(self, opening: Opening) -> None:
        """Open a line and keep it while it is of use; a failure becomes the peer's trouble."""
        try:
            with trio.move_on_after(CONNECT_SECONDS) as patience:
                await self._connect(opening, patience)
            if patience.cancelled_caught:
                self._failed(opening, Refusal.PEER_UNREACHABLE, f"no answer within {CONNECT_SECONDS:.0f} s")
        except UserError as error:
            self._failed(opening, _reason(error), str(error))
        except Exception as error:
            _log.exception(
                "peer=%s a connection failed for a reason that is not the network's", self.peer.name
            )
            self._failed(opening, Refusal.PEER_UNREACHABLE, str(error))
        finally:
            self._settle(opening)

    async def _connect(self, opening: Opening, patience: trio.CancelScope) -> None:
        peer = self.peer
        async with connect_to_tokens(peer.address, peer.port, peer.user, peer.password) as (client, tree):
            pool = await pool_behind(tree)
            if pool != peer.pool:
                self._failed(opening, Refusal.PEER_REFUSES, f"it serves pool {pool}, not {peer.pool}")
                return
            if self._closed is not None:  # meanwhile; this would be a line of the old account
                self._failed(opening, self._closed, "it is asked no more")
                return
            patience.deadline = float("inf")
            opening.line = line = Line(client, tree, self._nursery)
            self._lines.append(line)
            self._trouble.over()
            self._no_more.over()
            self._settle(opening)
            await _until_idle(line)
            patience.deadline = trio.current_time() + LOGOFF_SECONDS

    def _failed(self, opening: Opening, reason: Refusal, sentence: str) -> None:
        """Remember why there is no line, if there never was this one and is no other."""
        if opening.done.is_set():
            return
        peer = self.peer
        _log.info("peer=%s address=%s reason=%s %s", peer.name, peer.endpoint, reason.label, sentence)
        opening.failure = reason
        has_lines = any(line.is_usable for line in self._lines)
        (self._no_more if has_lines else self._trouble).met(reason)
        self._settle(opening)

    def _settle(self, opening: Opening) -> None:
        if self._opening is opening:
            self._opening = None
        opening.done.set()


async def _until_idle(line: Line) -> None:
    """Return when the line has ended or nothing used it for a while."""
    try:
        while line.is_usable:
            with trio.move_on_after(IDLE_SECONDS):
                await line.ended.wait()
            if not line.calls:
                return
    finally:
        line.ended.set()


def _reason(error: UserError) -> Refusal:
    """What a failure to connect means for the tokens of that peer."""
    refused = isinstance(error, LogonFailed | RequestRefused)
    return Refusal.PEER_REFUSES if refused else Refusal.PEER_UNREACHABLE
