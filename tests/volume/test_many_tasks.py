"""Many tasks at once on files that share their blocks, while commits go on and nothing is ever at hand.

Each task changes its own file, so that it knows what it holds; they read, capture and clone each other's. ODXFS_LONG=1 runs
many more seeds.
"""

import os
import random
import stat
from pathlib import Path

import pytest
import trio

from odxfs.errors import VolumeError
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Pin, Pool, check_directory, create_pool, open_pool
from odxfs.volume.blocks.files import Files
from tests.volume.model.content import Content
from tests.volume.model.reality import content_of, seen_of
from tests.volume.model.subject import Subject, captured
from tests.volume.model.tree import Node, Tree
from tests.volume.slow_engine import SlowEngine

SEEDS = range(300) if os.environ.get("ODXFS_LONG") else range(4)
TASKS = 4
STEPS = 60
OFFSETS = (0, 700, 3 * BLOCK_BYTES, LEAF_BYTES - 2 * BLOCK_BYTES, LEAF_BYTES, 2 * LEAF_BYTES)
LENGTHS = (1, 513, BLOCK_BYTES, 3 * BLOCK_BYTES, 50_000, 300_000)


class Crowd:
    """The tasks and what they share."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        self.choose = random.Random(seed)
        self.subject = Subject(pool.volume("main"), Tree())
        self.pins: list[tuple[Pin, Content]] = []
        self.working = TASKS

    async def run(self) -> None:
        nodes = [await self.subject.create((b"%d" % number,), stat.S_IFREG) for number in range(TASKS)]
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(self._work, node, nodes)
            nursery.start_soon(self._commit)
            nursery.start_soon(self._snapshot)
        while self.pins:
            await self._let_go()

    async def _work(self, node: Node, nodes: list[Node]) -> None:
        for _ in range(STEPS):
            what = self.choose.choice(
                (self._write, self._write, self._change, self._clone, self._capture, self._put, self._look)
            )
            await what(node, self.choose.choice(nodes))
        self.working -= 1

    async def _commit(self) -> None:
        while self.working:
            await self.pool.commit()
            for _ in range(self.choose.randrange(30)):
                await trio.lowlevel.checkpoint()

    async def _snapshot(self) -> None:
        """A snapshot keeps what it is of, and goes; it makes every leaf shared."""
        number = 0
        while self.working:
            number += 1
            await self.pool.snapshots.create("main", f"snapshot {number}")
            seen = await seen_of(self.pool.snapshot_volume("main", f"snapshot {number}"))
            for _ in range(self.choose.randrange(100)):
                await trio.lowlevel.checkpoint()
            assert await seen_of(self.pool.snapshot_volume("main", f"snapshot {number}")) == seen
            await self.pool.snapshots.delete("main", f"snapshot {number}")

    # -- what a task does to its own file ---------------------------------------------------------------------------

    async def _write(self, node: Node, _: Node) -> None:
        data = self.choose.randbytes(self.choose.choice(LENGTHS))
        await self.subject.write(node, self._offset(), data)

    async def _change(self, node: Node, _: Node) -> None:
        if self.choose.random() < 0.5:
            await self.subject.truncate(node, self._offset())
        else:
            await self.subject.deallocate(node, self._offset(), self.choose.choice((*LENGTHS, LEAF_BYTES)))

    async def _put(self, node: Node, _: Node) -> None:
        if self.pins:
            pin, held = self.choose.choice(self.pins)
            offset = self.choose.choice((pin.offset, self._offset()))
            try:
                await self.subject.write_pin(node, offset, pin, held, 0, held.size)
            except VolumeError:
                assert pin not in self.pool.pins  # another task has let it go meanwhile

    # -- what it does to another's ----------------------------------------------------------------------------------

    async def _clone(self, node: Node, other: Node) -> None:
        pin, held = await self._captured(other)
        try:
            await self.subject.write_pin(node, pin.offset, pin, held, 0, held.size)
        finally:
            self.pool.release_pin(pin)

    async def _capture(self, _: Node, other: Node) -> None:
        self.pins.append(await self._captured(other))
        if len(self.pins) > 4:
            await self._let_go()

    async def _captured(self, other: Node) -> tuple[Pin, Content]:
        """A pin of a file that its task may be changing: it holds one of the states that the file went through."""
        offset, length = self._offset(), self.choose.choice((*LENGTHS, LEAF_BYTES, 2 * LEAF_BYTES))
        before = [other.content, *other.under_way]
        pin = await self.subject.volume.capture(other.inode, offset, length)
        possible = [
            captured(content, offset, length) for content in (*before, other.content, *other.under_way)
        ]
        held = Content(pin.length)
        held.write(0, bytes(await self.pool.read_pin(pin, 0, pin.length)))
        if before[0] is other.content:  # else more than one operation has come in between
            assert held in possible
        return pin, held

    async def _look(self, _: Node, other: Node) -> None:
        if not other.under_way:
            before, size = other.content, other.content.size
            found = bytes(await self.subject.volume.read(other.inode, 0, size))
            if other.content is before and not other.under_way:
                assert found == before.read(0, size)

    async def _let_go(self) -> None:
        pin, held = self.pins.pop(0)
        assert bytes(await self.pool.read_pin(pin, 0, held.size)) == held.read(0, held.size)
        self.pool.release_pin(pin)

    def _offset(self) -> int:
        return max(0, self.choose.choice(OFFSETS) + self.choose.choice((-BLOCK_BYTES, -1, 0, 0, 0, 512)))


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_file_holds_what_its_task_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    create_pool(tmp_path / "pool")
    luck, read_nowait = random.Random(seed), Files.read_nowait

    def sometimes(files: Files, descriptor: int, buffer: memoryview | bytearray, offset: int) -> bool:
        return luck.random() < 0.5 and read_nowait(files, descriptor, buffer, offset)

    monkeypatch.setattr(Files, "read_nowait", sometimes)
    monkeypatch.setattr("odxfs.volume.extents._ALWAYS_CACHED", 20)
    async with open_pool(tmp_path / "pool", owner="crowd") as pool:
        pool.windows.leaves.budget_bytes = 0
        pool.view._engine = SlowEngine(pool.engine, luck)
        crowd = Crowd(pool, seed)
        await crowd.run()
        pool.view._engine = pool.engine
        assert await pool.check(read_data=True) == []
        for node in crowd.subject.tree.nodes():
            assert await content_of(pool.volume("main"), node.inode) == node.content
    assert await check_directory(tmp_path / "pool", read_data=True) == []
