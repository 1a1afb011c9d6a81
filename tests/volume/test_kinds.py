"""Only files and streams hold data: nothing puts any into what has become a link, and nothing becomes one that holds some."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odxfs.errors import NotADirectory, NotAFile, NotEmpty, NotFound, NotPermitted, Stale
from odxfs.volume import Inode, Volume, create_pool, open_pool
from odxfs.volume.tree.streams import StreamEntry
from tests.volume.test_interleavings import MIB, Gate, at_gate, reads_at_gate

FILE, FOLDER, LINK, FIFO, SOCKET = 0o100644, 0o40755, 0o120777, 0o10644, 0o140644


async def write_pin(volume: Volume, inode: Inode) -> None:
    source = await volume.lookup(volume.root, b"source")
    pin = await volume.capture(source, 0, source.size)
    try:
        await volume.write_pin(inode, 0, pin, 0, source.size)
    finally:
        volume.pool.release_pin(pin)


async def clone_to(volume: Volume, inode: Inode) -> None:
    source = await volume.lookup(volume.root, b"source")
    await volume.clone_range(source, 0, inode, 0, source.size)


async def clone_from(volume: Volume, inode: Inode) -> None:
    target = await volume.create(volume.root, b"target", FILE, 0, 0)
    await volume.clone_range(inode, 0, target, 0, 100)


DATA_OPERATIONS: dict[str, Callable[[Volume, Inode], Awaitable[object]]] = {
    "write": lambda volume, inode: volume.write(inode, 0, b"data"),
    "a long write": lambda volume, inode: volume.write(inode, 0, bytes(MIB + 1)),
    "a write that must not grow": lambda volume, inode: volume.write(inode, 0, b"d", may_grow=False),
    "shorten": lambda volume, inode: volume.truncate(inode, 1),
    "lengthen": lambda volume, inode: volume.truncate(inode, 100),
    "deallocate": lambda volume, inode: volume.deallocate(inode, 0, 100),
    "write_pin": write_pin,
    "clone to": clone_to,
    "clone from": clone_from,
    "capture": lambda volume, inode: volume.capture(inode, 0, 100),
    "read": lambda volume, inode: volume.read(inode, 0, 100),
}


@pytest.mark.parametrize("kind", [LINK, FIFO, SOCKET, FOLDER])
async def test_what_is_no_file_has_no_data(volume: Volume, kind: int) -> None:
    source = await volume.create(volume.root, b"source", FILE, 0, 0)
    await volume.write(source, 0, b"s" * 10_000)
    inode = await volume.create(volume.root, b"turned", FILE, 0, 0)
    await volume.change_kind(inode, kind, b"where" if kind == LINK else b"")
    size = inode.size
    assert not volume.write_nowait(inode, 0, b"data")
    assert volume.read_nowait(inode, 0, 4) is None
    for operate in DATA_OPERATIONS.values():
        with pytest.raises(NotAFile):
            await operate(volume, inode)
    assert (inode.size, inode.allocated_blocks) == (size, 0)
    await volume.sync()
    assert await volume.pool.check(read_data=True) == []
    await volume.change_kind(inode, FILE)
    await volume.write(inode, 0, b"a file again")
    assert bytes(await volume.read(inode, 0, 20)) == b"a file again"


async def test_what_was_a_device_has_no_device_number(volume: Volume) -> None:
    inode = await volume.create(volume.root, b"disk", 0o60600, 0, 0, rdev=0x801)
    await volume.change_kind(inode, FILE)
    assert inode.rdev == 0


async def test_what_a_write_that_waits_will_bring_counts_as_data(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    inode = await volume.create(volume.root, b"file", FILE, 0, 0)
    at_gate(monkeypatch, gate)
    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(volume.write, inode, 0, b"w" * (MIB + 1))
            await gate.reached()
            with pytest.raises(NotEmpty):
                await volume.change_kind(inode, LINK, b"where")
    assert bytes(await volume.read(inode, MIB, 10)) == b"w"
    await volume.truncate(inode, 0)
    await volume.change_kind(inode, LINK, b"where")
    assert await volume.pool.check() == []


@pytest.mark.parametrize("becomes", ["a link", "nothing"])
async def test_a_truncation_that_waits_does_not_give_its_size_to_what_the_file_has_become(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    inode = await volume.create(volume.root, b"file", FILE, 0, 0)
    await volume.write(inode, 0, os.urandom(20_000))
    gate = Gate()
    reads_at_gate(monkeypatch, gate)

    async def refused() -> None:
        with pytest.raises((NotAFile, Stale)):
            await volume.truncate(inode, 5000)

    async with trio.open_nursery() as nursery:
        with gate:
            nursery.start_soon(refused)
            await gate.reached()
            await volume.truncate(inode, 0)
            if becomes == "a link":
                await volume.change_kind(inode, LINK, b"where")
            else:
                await volume.unlink(volume.root, b"file")
    assert inode.size == (5 if becomes == "a link" else 0)
    await volume.sync()
    assert await volume.pool.check() == []


async def test_what_stands_against_it_is_asked_in_the_step_that_changes_it(volume: Volume) -> None:
    inode = await volume.create(volume.root, b"file", FILE, 0, 0)

    def permit(shown: Inode) -> None:
        assert shown is inode
        raise NotPermitted("somebody has it open by now")

    with pytest.raises(NotPermitted):
        await volume.change_kind(inode, LINK, b"where", permit)
    assert inode.is_file


async def test_a_file_that_gets_another_name_meanwhile_stays_one(tmp_path: Path) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        folder = await volume.create(volume.root, b"folder", FOLDER, 0, 0)
        inode = await volume.create(volume.root, b"file", FILE, 0, 0)

        async def refused() -> None:
            with pytest.raises(NotPermitted):
                await volume.change_kind(inode, LINK, b"where")

        async with trio.open_nursery() as nursery, pool.namespace.locks.of(inode.number):
            nursery.start_soon(refused)
            await wait_all_tasks_blocked()
            await volume.link(inode, folder.number, b"second")
        assert inode.is_file
        assert inode.nlink == 2
        await pool.commit()
        assert await pool.check() == []


@pytest.mark.parametrize("operation", ["create", "link", "rename"])
async def test_nothing_gets_a_name_in_a_folder_that_has_become_a_link_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    create_pool(tmp_path / "pool")
    async with open_pool(tmp_path / "pool", owner="test") as pool:
        volume = pool.volume("main")
        elsewhere = await volume.create(volume.root, b"elsewhere", FOLDER, 0, 0)
        file = await volume.create(elsewhere.number, b"file", FILE, 0, 0)
        folder = await volume.create(volume.root, b"folder", FOLDER, 0, 0)

        async def operate() -> None:
            match operation:
                case "create":
                    await volume.create(folder.number, b"new", FILE, 0, 0)
                case "link":
                    await volume.link(file, folder.number, b"new")
                case _:
                    await volume.rename(elsewhere.number, b"file", folder.number, b"new")

        async def refused() -> None:
            with pytest.raises((NotADirectory, NotFound)):
                await operate()

        asked, go_on = trio.Event(), trio.Event()

        async def slow_streams(_: Inode) -> list[StreamEntry]:
            asked.set()
            await go_on.wait()
            return []

        monkeypatch.setattr(pool.namespace.streams, "all", slow_streams)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(volume.change_kind, folder, LINK, b"where")
            await asked.wait()  # it has the lock of the folder
            nursery.start_soon(refused)
            await wait_all_tasks_blocked()
            go_on.set()
        assert folder.is_symlink
        await pool.commit()
        assert await pool.check() == []
