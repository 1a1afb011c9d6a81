"""Tokens of other pools, brought by the servers that made them: what `OffloadEngine` is given as `foreign`."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import trio

from odxfs.client.errors import NetworkFailed
from odxfs.errors import LockConflict, OffloadRefused, ProtocolError, Refusal, UserError, VolumeError
from odxfs.offload import ForeignCopy, OffloadParty, WriteCall
from odxfs.offload.rules import round_up_to_sector
from odxfs.peers.fetch import Fetch, Progress
from odxfs.peers.link import Line, Link
from odxfs.peers.peer import Peer
from odxfs.peers.remote_token import open_remote_token
from odxfs.peers.store import PeerStore
from odxfs.types import SECTOR_BYTES

CALL_SECONDS = 3.75
"""When a call is answered with what it has reached: Windows and HLK want an answer within four seconds."""

ASKING_SECONDS = 2.5
"""When a call asks its peer for nothing more, so that what is under way arrives in time."""

ATTEMPTS = 2
"""A line may have died while nobody used it; what fails on a second one fails."""

_log = logging.getLogger(__name__)


class Fetcher:
    """Copies of tokens of the pools that `store` names as peers. `run` must run meanwhile; `clock` gives monotonic seconds."""

    def __init__(self, store: PeerStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._links: dict[UUID, Link] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be the home of all connections until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None
                for link in self._links.values():
                    link.close(Refusal.PEER_UNREACHABLE)

    async def copy(self, issuer: UUID, party: OffloadParty, call: WriteCall, length: int) -> ForeignCopy:
        """See ForeignTokens.copy. Takes four seconds at most, but for the last write."""
        link = self._link(issuer)
        now, progress = trio.current_time(), Progress(length)
        with trio.move_on_at(now + CALL_SECONDS):
            await self._attempts(link, party, call, progress, now + ASKING_SECONDS)
        written = progress.due if progress.is_whole else progress.written // SECTOR_BYTES * SECTOR_BYTES
        if not written and not progress.is_whole:
            raise OffloadRefused(Refusal.PEER_BUSY)  # the time was up before anything came that can be told
        return ForeignCopy(link.peer.name, written, min(progress.moved, written))

    async def _attempts(
        self, link: Link, party: OffloadParty, call: WriteCall, progress: Progress, last_read_at: float
    ) -> None:
        """Come as far as it goes. An error after progress is none yet: the next call meets it."""
        for attempt in range(ATTEMPTS):
            line = await link.take()
            try:
                with line.used(), line.given_up_if_silent():
                    await self._fetch(link, line, party, call, progress, last_read_at)
                return
            except (NetworkFailed, ProtocolError) as error:
                line.ended.set()
                _log.info("peer=%s address=%s lost: %s", link.peer.name, link.peer.endpoint, error)
                if progress.written:
                    return
                if attempt == ATTEMPTS - 1:
                    raise OffloadRefused(Refusal.PEER_UNREACHABLE) from error
            except LockConflict as error:
                if not progress.written:
                    raise OffloadRefused(Refusal.LOCKED) from error
                return
            except (OffloadRefused, VolumeError):
                if not progress.written:
                    raise
                return

    async def _fetch(
        self,
        link: Link,
        line: Line,
        party: OffloadParty,
        call: WriteCall,
        progress: Progress,
        last_read_at: float,
    ) -> None:
        async with open_remote_token(line, bytes(call.token)) as token:
            _measure(token.size, party, call, progress)
            await Fetch(token, link.window, party, call, progress).run(last_read_at)

    def as_json(self) -> list[dict[str, Any]]:
        """For the control socket: the peers as configured, and what is open to each as it is configured now."""
        return [
            {"name": peer.name, "address": peer.endpoint, "pool": str(peer.pool), **self._use_as_json(peer)}
            for peer in self._store.list()
        ]

    def _use_as_json(self, peer: Peer) -> dict[str, Any]:
        link = self._links.get(peer.pool)
        return link.as_json() if link is not None and link.peer == peer else Link.IDLE

    def _link(self, issuer: UUID) -> Link:
        peer = self._peer(issuer)
        if self._nursery is None:
            raise OffloadRefused(Refusal.PEER_UNREACHABLE)
        link = self._links.get(issuer)
        if link is None or link.peer != peer:
            if link is not None:
                link.close(Refusal.UNKNOWN_PEER)
            link = self._links[issuer] = Link(peer, self._nursery, self._clock)
        return link

    def _peer(self, issuer: UUID) -> Peer:
        try:
            peer = self._store.of_pool(issuer)
        except UserError as error:
            _log.error("no token of a peer can be written: %s", error)
            raise OffloadRefused(Refusal.PEER_UNREACHABLE) from error
        if peer is None:
            link = self._links.pop(issuer, None)
            if link is not None:
                link.close(Refusal.UNKNOWN_PEER)
            raise OffloadRefused(Refusal.UNKNOWN_PEER)
        return peer


def _measure(size: int, party: OffloadParty, call: WriteCall, progress: Progress) -> None:
    """What a token of `size` bytes can bring for this call. Raises OffloadRefused when that is nothing."""
    length = round_up_to_sector(size) - call.transfer_offset
    if length <= 0:
        raise OffloadRefused(Refusal.OFFSET_BEYOND_TOKEN)
    reached = party.inode.size - call.file_offset
    if not party.settings.strict:
        reached = max(reached, size - call.transfer_offset)
    progress.due = min(progress.due, length)
    progress.inside = max(0, min(progress.due, reached))
