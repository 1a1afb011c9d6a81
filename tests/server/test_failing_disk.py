"""A disk that fails: what clients are told, what goes on, and what the administrator hears of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from odxfs.errors import NoSpace
from odxfs.ntstatus import Status
from odxfs.observe.status import pool_as_json
from odxfs.volume import check_directory, open_pool
from odxfs.wire.create import CreateDisposition, CreateRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.write import WriteFlags, WriteRequest
from tests.conftest import LogCollector
from tests.support.failing import FailingFiles
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Body, Peer, Refused, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

OLD = b"durable" * 1000


@pytest.fixture
def served(tmp_path: Path) -> AbstractAsyncContextManager[Served]:
    """With a durable file "old"; after the test the pool must be sound and still have it."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[Served]:
        directory = tmp_path / "pool"
        async with serve(directory, files=FailingFiles()) as served:
            async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
                fid = await peer.open("old")
                await peer.write(fid, 0, OLD)
                await peer.call(Command.FLUSH, FlushRequest(fid))
            yield served
        assert await check_directory(directory, read_data=True) == []
        async with open_pool(directory, owner="after") as pool:
            volume = pool.volume("main")
            inode = await volume.lookup(volume.root, b"old")
            assert bytes(await volume.read(inode, 0, 1 << 20)) == OLD

    return serving()


def disk(served: Served) -> FailingFiles:
    files = served.pool.segments.files
    assert isinstance(files, FailingFiles)
    return files


async def status_of(peer: Peer, command: int, body: Body) -> Status:
    return Status((await peer.answer(command, body)).header.status)


def end_of_file(fid: FileId, size: int) -> SetInfoRequest:
    return SetInfoRequest(InfoType.FILE, FileInformationClass.END_OF_FILE, fid, size.to_bytes(8, "little"))


CHANGES: dict[str, Callable[[FileId], tuple[int, Body]]] = {
    "write": lambda fid: (Command.WRITE, WriteRequest(fid, 0, b"new")),
    "write through": lambda fid: (
        Command.WRITE, WriteRequest(fid, 0, b"new", WriteFlags.WRITE_THROUGH)
    ),
    "large write": lambda fid: (Command.WRITE, WriteRequest(fid, 0, bytes(1 << 20))),
    "truncation": lambda fid: (Command.SET_INFO, end_of_file(fid, 100)),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_after_an_error_of_a_write_the_share_is_write_protected(
    served: Served, change: str, clean_log: LogCollector
) -> None:
    clean_log.expected.append("the pool is read-only")
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("old")
        disk(served).failing = {"write"}
        command, body = CHANGES[change](fid)
        response = await peer.answer(command, body, charge=16)
        assert response.header.status == Status.IO_DEVICE_ERROR
        await assert_write_protected(served, peer, fid)
    assert len(clean_log.lines) == 1


async def test_after_an_error_of_a_sync_the_share_is_write_protected(
    served: Served, clean_log: LogCollector
) -> None:
    clean_log.expected.append("the pool is read-only")
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid, new = await peer.open("old"), await peer.open("new")
        await peer.write(new, 0, b"never durable")
        disk(served).failing = {"sync"}
        assert await status_of(peer, Command.FLUSH, FlushRequest(new)) == Status.IO_DEVICE_ERROR
        await assert_write_protected(served, peer, fid)
        assert await peer.read(new, 0, 100) == b"never durable", "as long as the server runs"
    assert len(clean_log.lines) == 1


async def assert_write_protected(served: Served, peer: Peer, fid: FileId) -> None:
    """Reads go on, changes do not, new clients get in; the administrator is told what, since when and what to do."""
    assert await peer.read(fid, 0, len(OLD)) == OLD
    for command, body in (
        (Command.WRITE, WriteRequest(fid, 0, b"x")),
        (Command.FLUSH, FlushRequest(fid)),
        (Command.SET_INFO, end_of_file(fid, 1)),
        (Command.CREATE, CreateRequest("another", FILE_ALL_ACCESS, SHARE_ALL, CreateDisposition.CREATE)),
    ):
        assert await status_of(peer, command, body) == Status.MEDIA_WRITE_PROTECTED, Command(command).name
    async with logged_in(served.port, USER, PASSWORD, SHARE) as second:
        assert await second.read(await second.open("old"), 0, len(OLD)) == OLD
    (trouble,) = pool_as_json(served.pool)["troubles"]
    assert trouble["condition"] == "read_only"
    assert "Input/output error" in trouble["error"]
    assert 0 < trouble["since_ns"] <= served.pool.clock()
    assert "odxfs fsck" in trouble["advice"]


async def test_an_error_of_a_read_costs_that_request_alone(served: Served, clean_log: LogCollector) -> None:
    clean_log.expected.append("the disk cannot be read")
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid, new = await peer.open("old"), await peer.open("new")
        disk(served).failing = {"read"}
        for _ in range(5):
            with pytest.raises(Refused) as refused:
                await peer.read(fid, 0, 100)
            assert refused.value.status == Status.IO_DEVICE_ERROR
        await peer.write(new, 0, b"x" * 4096)
        await peer.call(Command.FLUSH, FlushRequest(new))
        (trouble,) = pool_as_json(served.pool)["troubles"]
        assert (trouble["condition"], trouble["count"]) == ("unreadable", 5)
        assert "segment 0, byte" in trouble["error"]
        disk(served).failing = set()
        assert await peer.read(fid, 0, len(OLD)) == OLD
    assert len(clean_log.lines) == 1


async def test_a_full_disk_is_told_of_until_there_is_room(
    served: Served, clean_log: LogCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_log.expected.append("the disk is full")
    async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        fid = await peer.open("old")
        with monkeypatch.context() as full:
            full.setattr(served.pool.segments.files, "write", _no_room)
            full.setattr(served.pool.segments.files, "room", lambda _: (1 << 30, 0))
            for _ in range(3):
                status = await status_of(peer, Command.WRITE, WriteRequest(fid, 0, b"x"))
                assert status == Status.DISK_FULL
            assert await peer.read(fid, 0, len(OLD)) == OLD
            (trouble,) = pool_as_json(served.pool)["troubles"]
            assert (trouble["condition"], trouble["count"]) == ("full", 3)
        await peer.write(fid, 0, OLD[:1])
        await peer.call(Command.FLUSH, FlushRequest(fid))
        assert pool_as_json(served.pool)["troubles"] == []
    assert len(clean_log.lines) == 1


def _no_room(*_: object) -> None:
    raise NoSpace("the disk is full (writing a segment)")
