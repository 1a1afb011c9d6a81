"""A volume with an engine on a clock that the test sets, and short ways to say things."""

import random
from collections.abc import Awaitable

import pytest

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import (
    OffloadEngine,
    OffloadEvent,
    OffloadParty,
    OffloadPolicy,
    OffloadSettings,
    ReadCall,
    TokenLimits,
    TokenRegistry,
    WriteCall,
)
from odxfs.types import Buffer
from odxfs.volume import Inode, Volume

MIB = 1024 * 1024
FILE = 0o100644
DIRECTORY = 0o040755


class Scene:
    """A fresh volume, an engine on a clock that the test sets, and short ways to say things."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.now = 0.0
        self.settings = OffloadSettings()
        self.policy = OffloadPolicy()
        self.events: list[OffloadEvent] = []
        pool = volume.pool
        self.registry = TokenRegistry.of_pool(pool, TokenLimits())
        self.engine = OffloadEngine(self.registry, lambda: self.now, self.events.append)
        self._random = random.Random(3)

    async def file(self, name: str, content: bytes = b"", mode: int = FILE) -> Inode:
        inode = await self.volume.create(self.volume.root, name.encode(), mode, 0, 0)
        if content:
            await self.volume.write(inode, 0, content)
        return inode

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def party(self, inode: Inode) -> OffloadParty:
        return OffloadParty(
            volume=self.volume,
            inode=inode,
            readable=True,
            writable=True,
            read_only=False,
            enabled=True,
            read_conflicts=lambda offset, length: False,
            write_conflicts=lambda offset, length: False,
            owner="alice",
            client="127.0.0.1",
            svm="default",
            share="vol",
            path=f"file {inode.number}",
            settings=self.settings,
            policy=self.policy,
        )

    async def read_token(self, inode: Inode, offset: int, length: int) -> bytes:
        return (await self.engine.offload_read(self.party(inode), read_call(offset, length))).token

    async def write_token(
        self, inode: Inode, offset: int, length: int, token: Buffer, inside: int = 0
    ) -> int:
        return await self.engine.offload_write(self.party(inode), write_call(offset, length, token, inside))

    async def content(self, inode: Inode) -> bytes:
        return bytes(await self.volume.read(inode, 0, inode.size))


def read_call(offset: int, length: int) -> ReadCall:
    return ReadCall(32, 528, 32, 0, offset, length)


def write_call(offset: int, length: int, token: Buffer, inside: int = 0) -> WriteCall:
    return WriteCall(544, 16, 544, offset, length, inside, token)


async def reason_of(call: Awaitable[object]) -> Refusal:
    """Why the call is refused, which it must be."""
    with pytest.raises(OffloadRefused) as refused:
        await call
    return refused.value.reason
