"""A token read while somebody cuts its source off: it stands for what the file held at one moment of the call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import ReadResult
from odxfs.offload.token import ZERO_TOKEN
from odxfs.types import LEAF_BYTES
from odxfs.volume import Inode, Volume, create_pool, open_pool
from tests.offload.scene import FILE, MIB, Scene, read_call

GIB = 1024 * MIB
END_OF_PAGE = 4 * GIB
"""Where the second page of an extent map begins."""


class Gate:
    """A catalog on a disk whose first answer comes late."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.asked, self.go = trio.Event(), trio.Event()

    async def get(self, *arguments: Any) -> Any:
        await self._first_waits()
        return await self._engine.get(*arguments)

    async def range(self, *arguments: Any) -> Any:
        await self._first_waits()
        return await self._engine.range(*arguments)

    async def _first_waits(self) -> None:
        if not self.asked.is_set():
            self.asked.set()
            await self.go.wait()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@asynccontextmanager
async def not_in_memory(directory: Path, at: int, data: bytes) -> AsyncIterator[tuple[Scene, Inode]]:
    """A file with data at one place, of which nothing is cached."""
    create_pool(directory / "pool")
    async with open_pool(directory / "pool", owner="test") as pool:
        volume = pool.volume("main")
        source = await volume.create(volume.root, b"source", FILE, 0, 0)
        await volume.write(source, at, data)
    async with open_pool(directory / "pool", owner="test") as pool:
        volume = pool.volume("main")
        source = await volume.lookup(volume.root, b"source")
        volume.hold(source)
        scene = Scene(volume)
        yield scene, source
        await volume.release(source)
        scene.engine.close()
        await pool.commit()
        assert await pool.check() == []


async def read_while_cut_off(
    scene: Scene, source: Inode, offset: int, length: int, size: int
) -> ReadResult | Refusal:
    """What a read answers that waits for the disk while the file is cut off to `size`."""
    pool, answers = scene.volume.pool, list[ReadResult | Refusal]()
    gate = Gate(pool.engine)
    pool.view._engine = gate  # type: ignore[assignment]

    async def read() -> None:
        try:
            answers.append(await scene.engine.offload_read(scene.party(source), read_call(offset, length)))
        except OffloadRefused as refused:
            answers.append(refused.reason)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await gate.asked.wait()
            pool.view._engine = pool.engine
            await scene.volume.truncate(source, size)
            gate.go.set()
    return answers[0]


async def test_what_is_cut_off_meanwhile_is_no_hole(tmp_path: Path) -> None:
    async with not_in_memory(tmp_path, 12 * MIB, b"d" * (4 * MIB)) as (scene, source):
        await scene.volume.pool.data._windows.load_extents(source, 0, 1)
        answer = await read_while_cut_off(scene, source, LEAF_BYTES, LEAF_BYTES, 0)
        assert isinstance(answer, ReadResult)
        (entry,) = scene.registry.entries()
        assert answer.transfer_length == LEAF_BYTES
        assert bytes(await scene.volume.pool.read_pin(entry.pin, 4 * MIB, 1)) == b"d", "as it was before"


@pytest.mark.parametrize("size", [0, END_OF_PAGE - 8192])
async def test_a_token_says_no_more_than_it_holds(tmp_path: Path, size: int) -> None:
    at = END_OF_PAGE - 12288
    async with not_in_memory(tmp_path, at, b"d" * MIB) as (scene, source):
        assert await scene.volume.read(source, at, 1) == b"d"  # the second page is not in memory
        answer = await read_while_cut_off(scene, source, at, MIB, size)
        if not size:
            assert answer is Refusal.BEYOND_END
            assert len(scene.registry) == 0
            return
        assert isinstance(answer, ReadResult)
        (entry,) = scene.registry.entries()
        assert (
            answer.transfer_length
            == entry.length
            == entry.pin.length
            == entry.origin.data_length
            == size - at
        )


async def test_a_hole_is_no_longer_than_captured_where_the_file_is_cut_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await scene.file("source")
    await scene.volume.write(source, 40 * MIB, b"data")
    whole = Volume.next_data

    async def cut_off_before(volume: Volume, inode: Inode, offset: int) -> int | None:
        await volume.truncate(inode, 20 * MIB)
        return await whole(volume, inode, offset)

    monkeypatch.setattr(Volume, "next_data", cut_off_before)
    answer = await scene.engine.offload_read(scene.party(source), read_call(0, 64 * MIB))
    assert (answer.token, answer.transfer_length) == (ZERO_TOKEN, LEAF_BYTES)


async def test_a_read_that_fails_or_is_given_up_leaves_no_token(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await scene.file("source", b"x" * 8192)

    async def given_up(_volume: Volume, _inode: Inode, offset: int) -> int | None:
        if offset:
            raise trio.EndOfChannel
        return 0

    monkeypatch.setattr(Volume, "next_data", given_up)
    with pytest.raises(trio.EndOfChannel):
        await scene.engine.offload_read(scene.party(source), read_call(0, 4096))
    assert (len(scene.registry), len(scene.volume.pool.pins)) == (0, 0)
