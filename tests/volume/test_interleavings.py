"""One operation in the middle of another: each test holds a step where it waits and lets something else happen there."""

import threading
from pathlib import Path

import pytest
import trio

from odxfs.volume import create_pool, open_pool
from odxfs.volume.blocks.files import Files

FILE = 0o100644
MIB = 1 << 20


class Gate:
    """A place in a worker thread where the first to come waits until the test lets it go on."""

    def __init__(self) -> None:
        self._reached, self._open = threading.Event(), threading.Event()
        self.passed = 0

    def pass_through(self) -> None:
        self.passed += 1
        if self.passed == 1:
            self._reached.set()
            self._open.wait()

    async def reached(self) -> None:
        await trio.to_thread.run_sync(self._reached.wait)

    def open(self) -> None:
        self._open.set()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self.open()  # a test that fails must not hang


async def test_the_reserve_is_taken_once_though_two_ask_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_pool(tmp_path / "pool")
    gate, allocate = Gate(), Files.allocate

    def slow_allocate(files: Files, descriptor: int, length: int) -> None:
        gate.pass_through()
        allocate(files, descriptor, length)

    async with open_pool(tmp_path / "pool", owner="test") as pool:
        pool.ballast.give_up()
        pool.space.press()
        monkeypatch.setattr(Files, "allocate", slow_allocate)
        async with trio.open_nursery() as nursery:
            with gate:
                nursery.start_soon(pool.relax_if_room)
                await gate.reached()
                assert not await pool.relax_if_room()
                assert pool.space.is_pressed
        assert gate.passed == 1
        assert pool.ballast.is_reserved
        assert not pool.space.is_pressed
