"""The connections to one peer: few, sealed, opened when calls need them and closed when none did for a while."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio

from odxfs.client.client import Client
from odxfs.client.errors import LogonFailed, RequestRefused
from odxfs.client.tree import Tree
from odxfs.errors import Refusal, UserError
from odxfs.peers.peer import Peer
from odxfs.peers.probe import connect_to_tokens, pool_behind
from odxfs.peers.trouble import Trouble
from odxfs.peers.window import Window

MAX_LINES = 4
"""Connections to one peer: enough that a lost packet does not hold up all, few enough for the peer's table."""

CONNECT_SECONDS = 3.0
"""Below the four seconds of a call: what takes longer is told to the next one."""

IDLE_SECONDS = 30.0
LOGOFF_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Line:
    """One connection, with the calls that use it."""

    def __init__(self, client: Client, tree: Tree) -> None:
        self.client = client
        self.tree = tree
        self.calls = 0
        self.ended = trio.Event()

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


class Link:
    """All lines to a peer, living in `nursery`. `window` bounds what is under way on them together."""

    def __init__(self, peer: Peer, nursery: trio.Nursery, clock: Callable[[], float]) -> None:
        self.peer = peer
        self.window = Window()
        self._nursery = nursery
        self._trouble = Trouble(clock)
        self._lines: list[Line] = []
        self._opening: trio.Event | None = None

    async def take(self) -> Line:
        """The line that is used least; a first one is waited for. Raises OffloadRefused with what is wrong with the peer."""
        self._lines = [line for line in self._lines if line.is_usable]
        least = min(self._lines, key=lambda line: line.calls, default=None)
        if least is None or (least.calls and len(self._lines) < MAX_LINES):
            if least is None:
                self._trouble.check()
            self._open_another()
        if least is not None:
            return least
        assert self._opening is not None, "the first line is being opened"
        await self._opening.wait()
        self._trouble.check()
        return await self.take()

    def close(self) -> None:
        """End all lines: the peer is configured no more, or otherwise."""
        for line in self._lines:
            line.ended.set()

    def _open_another(self) -> None:
        if self._opening is None:
            self._opening = trio.Event()
            self._nursery.start_soon(self._keep_line, self._opening)

    async def _keep_line(self, opened: trio.Event) -> None:
        """Open a line and keep it while it is of use; a failure becomes the peer's trouble."""
        try:
            with trio.move_on_after(CONNECT_SECONDS) as patience:
                await self._connect(opened, patience)
            if patience.cancelled_caught and self._opening is opened:
                self._failed(Refusal.PEER_UNREACHABLE, f"no answer within {CONNECT_SECONDS:.0f} s")
        except UserError as error:
            if self._opening is opened:
                self._failed(_reason(error), str(error))
        finally:
            if self._opening is opened:
                self._opening = None
            opened.set()

    async def _connect(self, opened: trio.Event, patience: trio.CancelScope) -> None:
        peer = self.peer
        async with connect_to_tokens(peer.address, peer.port, peer.user, peer.password) as (client, tree):
            pool = await pool_behind(tree)
            if pool != peer.pool:
                self._failed(Refusal.PEER_REFUSES, f"it serves pool {pool}, not {peer.pool}")
                return
            patience.deadline = float("inf")
            line = Line(client, tree)
            self._lines.append(line)
            self._trouble.over()
            self._opening = None
            opened.set()
            await _until_idle(line)
            patience.deadline = trio.current_time() + LOGOFF_SECONDS

    def _failed(self, reason: Refusal, sentence: str) -> None:
        _log.info(
            "peer=%s address=%s reason=%s %s", self.peer.name, self.peer.endpoint, reason.label, sentence
        )
        if not any(line.is_usable for line in self._lines):
            self._trouble.met(reason)


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
