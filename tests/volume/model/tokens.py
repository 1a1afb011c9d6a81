"""Tokens as a client has them: 512 bytes from OFFLOAD_READ, and a copy of what they stand for."""

from collections.abc import Awaitable
from dataclasses import dataclass

import pytest

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import (
    OffloadEngine,
    OffloadParty,
    OffloadSettings,
    ReadCall,
    TokenLimits,
    TokenRegistry,
    WriteCall,
)
from odxfs.offload.rules import READ_INPUT_BYTES, READ_OUTPUT_BYTES, WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES
from odxfs.offload.token import ZERO_TOKEN
from odxfs.types import SECTOR_BYTES
from odxfs.volume import Inode, Pin, Pool, Volume
from tests.volume.model.content import Content
from tests.volume.model.subject import Subject
from tests.volume.model.tree import Node

LIMITS = TokenLimits(tokens_per_volume=5, tokens_per_client=3, pinned_only_bytes=512 * 1024)
"""Small, so that bounds are met all the time."""

CLIENTS = ("one", "two")

_ID = slice(32, 48)
"""Where a token has its id: behind the header and what our own content begins with."""


@dataclass(eq=False)
class Token:
    """A token that was issued, and what the model knows of it."""

    sealed: bytes
    held: Content
    pin: Pin
    client: str
    lifetime: float
    deadline: float

    @property
    def label(self) -> str:
        """What the registry shows of it."""
        return self.sealed[_ID].hex()[:12]


class _NotingVolume(Volume):
    """Remembers the pin that was taken last."""

    captured: Pin

    async def capture(self, inode: Inode, offset: int, length: int) -> Pin:
        self.captured = await super().capture(inode, offset, length)
        return self.captured


class Tokens:
    """An offload engine over a pool and a model of its registry, on one fake clock."""

    def __init__(self, pool: Pool, subject: Subject, now: float) -> None:
        self.now = now
        self._subject = subject
        registry = TokenRegistry.of_pool(pool, LIMITS)
        self.engine = OffloadEngine(registry, lambda: self.now)
        self.live: dict[bytes, Token] = {}
        """The longest idle first."""
        self.dead: list[bytes] = []
        self.why_dead: dict[bytes, Refusal] = {}
        self._volume = _NotingVolume(pool, "main")

    async def read(self, node: Node, offset: int, length: int, client: str, ttl_ms: int) -> None:
        """OFFLOAD_READ of whole sectors: the answer fits what the file holds, and the token is remembered."""
        party, content = self._party(node, client), node.content
        call = ReadCall(READ_INPUT_BYTES, READ_OUTPUT_BYTES, READ_INPUT_BYTES, ttl_ms, offset, length)
        refusal = self._refusal(node, offset)
        if refusal:
            await self._assert_refused(self.engine.offload_read(party, call), refusal)
            return
        found = await self.engine.offload_read(party, call)
        whole = min(length, _sectors(content.size) - offset)
        assert 0 < found.transfer_length <= whole
        if found.all_zero_beyond:
            past = offset if found.token == ZERO_TOKEN else offset + found.transfer_length
            assert not any(content.runs(past, content.size))
        if found.token == ZERO_TOKEN:
            assert not any(content.runs(offset, offset + found.transfer_length))
            return
        assert found.transfer_length == min(whole, OffloadSettings().token_bytes)
        held = content.part(offset, found.transfer_length)
        lifetime = _lifetime(ttl_ms)
        pin = self._volume.captured
        self.live[found.token] = Token(found.token, held, pin, client, lifetime, self.now + lifetime)
        self._hold_bound([*self.live.values()], LIMITS.tokens_per_volume)
        ours = [token for token in self.live.values() if token.client == client]
        self._hold_bound(ours, LIMITS.tokens_per_client)
        self.assert_same()

    async def write(self, node: Node, offset: int, sealed: bytes, transfer_offset: int, length: int) -> None:
        """OFFLOAD_WRITE: exactly what the token stands for appears, as far as the file reaches."""
        call = WriteCall(
            WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, offset, length, transfer_offset, sealed
        )
        writing = self.engine.offload_write(self._party(node, "any"), call)
        refusal = self._refusal(node, offset)
        if refusal:
            await self._assert_refused(writing, refusal)
            return
        length = min(length, _sectors(node.content.size) - offset)
        if sealed == ZERO_TOKEN:
            held = Content(length)
        else:
            token = self._redeemed(sealed)
            if token is None:
                await self._assert_refused(writing, self.why_dead[sealed])
                return
            if transfer_offset >= token.held.size:
                await self._assert_refused(writing, Refusal.OFFSET_BEYOND_TOKEN)
                return
            length = min(length, token.held.size - transfer_offset)
            held = token.held.part(transfer_offset, length)
        assert await writing == length
        size, node.content = node.content.size, node.content.copy()
        node.content.put(offset, held)
        node.content.resize(size)
        self._subject.changed.add(node)
        self.assert_same()

    async def write_refused(self, node: Node, sealed: bytes, reason: Refusal = Refusal.FORGED_TOKEN) -> None:
        """A token that this engine never issued is refused, whatever it resembles."""
        call = WriteCall(WRITE_INPUT_BYTES, WRITE_OUTPUT_BYTES, WRITE_INPUT_BYTES, 0, 512, 0, sealed)
        expected = self._refusal(node, 0) or reason
        await self._assert_refused(self.engine.offload_write(self._party(node, "any"), call), expected)

    def advance(self, seconds: float) -> None:
        """Time passes, and the registry looks for what has expired and for what keeps too much."""
        self.now += seconds
        self.engine.registry.sweep(self.now)
        for token in [token for token in self.live.values() if token.deadline <= self.now]:
            self._end(token, Refusal.EXPIRED_TOKEN)
        left = {info.label for info in self.engine.registry.list(self.now)}
        for token in [token for token in self.live.values() if token.label not in left]:
            self._end(token, Refusal.EVICTED_TOKEN)  # it kept too much space
        self.assert_same()

    def assert_same(self) -> None:
        """The registry's tokens are the model's, in the same order and with the same time left."""
        found = [(info.label, info.remaining) for info in self.engine.registry.list(self.now)]
        expected = [(token.label, max(0.0, token.deadline - self.now)) for token in self.live.values()]
        assert found == expected

    def _refusal(self, node: Node, offset: int) -> Refusal | None:
        """Why a call is refused whatever its token, if it is."""
        if node in self._subject.nameless:
            return Refusal.FILE_DELETED
        return Refusal.BEYOND_END if offset >= node.content.size else None

    # -- inside -----------------------------------------------------------------------------------------------------

    def _redeemed(self, sealed: bytes) -> Token | None:
        token = self.live.get(sealed)
        if token is None:
            return None
        if token.deadline <= self.now:
            self._end(token, Refusal.EXPIRED_TOKEN)
            return None
        token.deadline = self.now + token.lifetime
        self.live[sealed] = self.live.pop(sealed)
        return token

    def _hold_bound(self, tokens: list[Token], bound: int) -> None:
        for token in tokens[: max(0, len(tokens) - bound)]:
            self._end(token, Refusal.EVICTED_TOKEN)

    def _end(self, token: Token, reason: Refusal) -> None:
        del self.live[token.sealed]
        self.why_dead[token.sealed] = reason
        self.dead = [*self.dead[-3:], token.sealed]

    async def _assert_refused(self, call: Awaitable[object], reason: Refusal) -> None:
        with pytest.raises(OffloadRefused) as refused:
            await call
        assert refused.value.reason is reason

    def _party(self, node: Node, client: str) -> OffloadParty:
        return OffloadParty(
            self._volume, node.inode, readable=True, writable=True, read_only=False, enabled=True,
            read_conflicts=lambda *_: False, write_conflicts=lambda *_: False, owner="test", client=client,
        )  # fmt: skip


def _sectors(length: int) -> int:
    return -(-length // SECTOR_BYTES) * SECTOR_BYTES


def _lifetime(ttl_ms: int) -> float:
    if not ttl_ms:
        return LIMITS.default_lifetime
    return min(max(ttl_ms / 1000, LIMITS.shortest_lifetime), LIMITS.longest_lifetime)
