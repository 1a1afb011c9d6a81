"""A disk that does not answer: who needs it waits and may give up, and everybody else is served."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from odxfs.errors import NoSpace
from odxfs.ntstatus import Status
from odxfs.observe.status import pool_as_json
from odxfs.smb.connection import Connection
from odxfs.volume import check_directory
from odxfs.volume.allocation.space import LARGE_BLOCKS, Space
from odxfs.volume.leaf import Run
from odxfs.wire.create import CreateRequest
from odxfs.wire.echo import EchoRequest
from odxfs.wire.flush import FlushRequest
from odxfs.wire.header import Command
from odxfs.wire.read import ReadRequest
from odxfs.wire.write import WriteRequest
from tests.conftest import LogCollector
from tests.support.failing import FailingFiles, fail_catalog_with
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

BLOCK = b"x" * 4096


@pytest.fixture
def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> AbstractAsyncContextManager[Served]:
    expect_log("the disk does not answer")
    expect_log("the disk answers again")
    monkeypatch.setattr("odxfs.volume.blocks.threads.SLOW_SECONDS", 0.05)
    monkeypatch.setattr("odxfs.volume.blocks.threads.HANG_SECONDS", 0.1)
    for module in ("odxfs.volume.disk_condition", "odxfs.smb.slow_disk"):
        monkeypatch.setattr(f"{module}.SLOW_SECONDS", 0.01)

    @asynccontextmanager
    async def serving() -> AsyncIterator[Served]:
        files = FailingFiles()
        fail_catalog_with(files, monkeypatch)
        async with serve(tmp_path / "pool", files=files) as served:
            try:
                yield served
            except BaseException:
                files.answer()
                raise
        assert await check_directory(tmp_path / "pool", read_data=True) == []

    return serving()


def disk(served: Served) -> FailingFiles:
    files = served.pool.segments.files
    assert isinstance(files, FailingFiles)
    return files


async def hang(served: Served, peer: Peer, name: str = "first") -> int:
    """The disk stops to answer in the middle of a FLUSH, and this is known; the FLUSH's message id."""
    fid = await peer.open(name)
    await peer.write(fid, 0, BLOCK)
    disk(served).silence()
    flush = await peer.send(Command.FLUSH, FlushRequest(fid))
    await until(lambda: served.pool.threads.is_slow)
    return flush


async def test_others_are_served_meanwhile(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        other = await peer.open("other")
        flush = await hang(served, peer)
        await peer.call(Command.ECHO, EchoRequest())
        async with logged_in(served.port, USER, PASSWORD, SHARE) as second:
            await second.call(Command.ECHO, EchoRequest())
        await peer.close(other)
        assert pool_as_json(served.pool)["free_bytes"] > 0
        disk(served).answer()
        assert (await peer.final(flush)).header.status == Status.SUCCESS


async def test_nothing_waits_for_the_disk_on_the_trio_thread(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, BLOCK)
        flush = await hang(served, peer)
        waiting = [
            await peer.send(Command.WRITE, WriteRequest(fid, 4096, BLOCK)),
            await peer.send(Command.READ, ReadRequest(fid, 0, 4096)),
            await peer.send(Command.CREATE, CreateRequest("unknown", FILE_ALL_ACCESS, SHARE_ALL, 3)),
        ]
        for message in waiting:
            assert (await peer.next_response(message)).header.status == Status.PENDING
        await peer.call(Command.ECHO, EchoRequest())
        disk(served).answer()
        for message in [flush, *waiting]:
            assert (await peer.final(message)).header.status == Status.SUCCESS
        assert await peer.read(fid, 0, 8192) == BLOCK * 2


def take_all(space: Space) -> list[Run]:
    """Take blocks until that needs a segment."""
    taken: list[Run] = []
    with suppress(NoSpace):
        while True:
            taken += space.allocate(LARGE_BLOCKS)
    return taken


async def test_who_needs_a_new_segment_waits_alone(served: Served) -> None:
    data = b"z" * (LARGE_BLOCKS * 4096)
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, data)
        flush = await hang(served, peer)
        taken = take_all(served.pool.space)
        write = await peer.send(Command.WRITE, WriteRequest(fid, len(data), data), charge=4)
        assert (await peer.next_response(write)).header.status == Status.PENDING
        await peer.call(Command.ECHO, EchoRequest())
        disk(served).answer()
        for message in (flush, write):
            assert (await peer.final(message)).header.status == Status.SUCCESS
        served.pool.space.give_back(taken)
        assert await peer.read(fid, 0, 2 * len(data)) == data * 2


async def test_a_client_may_cancel_what_waits(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, BLOCK)
        used = served.pool.space.used_blocks
        flush = await hang(served, peer)
        waiting = [
            await peer.send(Command.WRITE, WriteRequest(fid, 0, b"y" * 4096)),
            await peer.send(Command.READ, ReadRequest(fid, 0, 4096)),
            flush,
        ]
        for message in waiting:
            interim = await peer.next_response(message)
            assert interim.header.status == Status.PENDING
            await peer.cancel(message, interim.header.async_id)
            assert (await peer.final(message)).header.status == Status.CANCELLED
        await until(lambda: disk(served).waiting >= 3)  # the disk keeps the threads all the same
        disk(served).answer()
        await peer.call(Command.FLUSH, FlushRequest(fid))
        assert await peer.read(fid, 0, 4096) == BLOCK, "what was cancelled has not happened"
        assert served.pool.space.used_blocks == used + 1
        assert await served.pool.check(read_data=True) == []


async def test_blocks_of_a_cancelled_write_are_nobodys_until_the_disk_has_let_go_of_them(
    served: Served,
) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await hang(served, peer)
        space = served.pool.space
        free = sum(group.free_blocks for group in space.groups) + space.checked_out_blocks()
        message = await peer.send(Command.WRITE, WriteRequest(fid, 0, BLOCK))
        interim = await peer.next_response(message)
        await peer.cancel(message, interim.header.async_id)
        assert (await peer.final(message)).header.status == Status.CANCELLED
        assert sum(group.free_blocks for group in space.groups) + space.checked_out_blocks() == free - 1
        disk(served).answer()
        await until(
            lambda: sum(group.free_blocks for group in space.groups) + space.checked_out_blocks() == free
        )


async def test_a_connection_that_is_lost_goes_at_once(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        flush = await hang(served, peer)
        async with logged_in(served.port, USER, PASSWORD, SHARE) as second:
            fid = await second.open("first")
            for offset in range(4):
                await second.send(Command.WRITE, WriteRequest(fid, offset * 4096, BLOCK))
            await until(lambda: disk(served).waiting > 4)
        await until(lambda: len(served.server.connections) == 1)
        assert len(served.server.sessions) == 1
        disk(served).answer()
        assert (await peer.final(flush)).header.status == Status.SUCCESS


async def test_what_waits_is_bounded(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, BLOCK)
        await hang(served, peer)
        messages = [await peer.send(Command.READ, ReadRequest(fid, 0, 4096)) for _ in range(100)]
        await until(lambda: len(connection_of(served).pending) > 100)
        assert disk(served).waiting <= 33, "32 threads and the commit's"
        disk(served).answer()
        for message in messages:
            assert (await peer.final(message)).header.status == Status.SUCCESS


async def test_what_waits_to_be_durable_is_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.connection.MAX_WORKING_CREDITS", 16)
    monkeypatch.setattr("odxfs.volume.blocks.threads.SLOW_SECONDS", 3600.0)  # not known yet
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, BLOCK)
        session = next(iter(connection_of(served).sessions.values()))
        disk(served).silence()
        messages = [await peer.send(Command.FLUSH, FlushRequest(fid)) for _ in range(64)]
        await until(lambda: len(session.running) >= 16)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        assert len(session.running) == 16
        disk(served).answer()
        for message in messages:
            assert (await peer.final(message)).header.status == Status.SUCCESS


def connection_of(served: Served) -> Connection:
    (connection,) = served.server.connections
    return connection


async def test_the_log_and_the_status_say_so_once(served: Served, clean_log: LogCollector) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        flush = await hang(served, peer)
        await until(lambda: served.pool.threads.is_hanging)
        (trouble,) = pool_as_json(served.pool)["troubles"]
        assert trouble["condition"] == "silent"
        assert "a commit has taken" in trouble["error"]
        await until(lambda: any("does not answer: a commit" in line for line in clean_log.lines))
        disk(served).answer()
        assert (await peer.final(flush)).header.status == Status.SUCCESS
        await until(lambda: any("answers again" in line for line in clean_log.lines))
        assert pool_as_json(served.pool)["troubles"] == []
        assert sum("does not answer" in line for line in clean_log.lines) == 1


async def test_closing_waits_for_the_disk_and_loses_nothing(served: Served) -> None:
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        await hang(served, peer)
    threading.Timer(0.2, disk(served).answer).start()  # while the pool is being closed
