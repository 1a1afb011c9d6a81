"""Copies that are interrupted and gone on with, and copies that are read back."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.client import plain, targets
from odxfs.client.client import connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import Mismatch, RequestRefused
from odxfs.client.file import SmbFile
from odxfs.client.job import Job, Request
from odxfs.client.local import LocalPlace
from odxfs.client.local_file import LocalFile
from odxfs.client.metadata import Metadata
from odxfs.client.partial import PartialRecord
from odxfs.client.place import Place
from odxfs.client.places import SmbPlace
from odxfs.client.plan import CopyOptions, Wish
from odxfs.client.ranges import RangeSet
from odxfs.client.result import Tally
from odxfs.client.servers import open_servers
from odxfs.client.summary import Record, Summary
from odxfs.client.targets import partial_target
from odxfs.client.url import parse_location
from odxfs.errors import ExitCode, UserError
from odxfs.types import Buffer
from odxfs.wire.access_mask import Access, ShareAccess
from odxfs.wire.fscc.classes import FileAttributes
from tests.interop.samba import Samba, run_samba
from tests.mount.acting import OTHER
from tests.support.serving import PASSWORD, SHARE, USER, serve

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with run_samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


@dataclass
class World:
    """A place that copies are made to, of one of the three kinds."""

    root: Place
    folder: Path

    def source(self, content: bytes) -> LocalPlace:
        (self.folder / "source.bin").write_bytes(content)
        return LocalPlace(self.folder / "source.bin")

    async def bytes_of(self, name: str) -> bytes:
        await copy_file(self.root.inside(name), LocalPlace(self.folder / "back"), Wish.OFF)
        return (self.folder / "back").read_bytes()

    async def names(self) -> set[str]:
        return {entry.name async for page in self.root.pages() for entry in page}


@asynccontextmanager
async def world_of(kind: str, tmp_path: Path, samba: Samba) -> AsyncIterator[World]:
    if kind == "local":
        (tmp_path / "root").mkdir()
        yield World(LocalPlace(tmp_path / "root"), tmp_path)
    elif kind == "odxfs":
        async with serve(tmp_path / "pool") as served:
            async with connect("127.0.0.1", served.port, USER, PASSWORD) as client:
                yield World(SmbPlace(await client.tree(SHARE), ""), tmp_path)
            assert await served.pool.check() == []
    else:
        root = tmp_path.name
        (samba.data / root).mkdir()
        async with connect("127.0.0.1", samba.port, samba.user, samba.password) as client:
            yield World(SmbPlace(await client.tree("data"), root), tmp_path)


async def interrupt(source: Place, target: Place, at_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy with resume that is cancelled after so many bytes, which arrive in order."""
    monkeypatch.setattr(plain, "PIECES_IN_FLIGHT", 1)
    with trio.CancelScope() as scope:

        def stop(tally: Tally) -> None:
            if tally.done_bytes >= at_bytes:
                scope.cancel()

        await copy_file(source, target, Wish.OFF, stop, resume=True)
    assert scope.cancelled_caught


KINDS = ["local", "odxfs", "samba"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupted_copy_goes_on_where_it_stopped(
    kind: str, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(24 * MIB + 5)
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        await copy_file(source, target)
        (world.folder / "source.bin").write_bytes(content[::-1])
        await interrupt(source, target, 8 * MIB, monkeypatch)
        assert await world.names() == {"target.bin", "target.bin.odxfs-partial"}
        assert await world.bytes_of("target.bin") == content
        result = await copy_file(source, target, resume=True, verify=True)
        assert result.tally.resumed_bytes >= 8 * MIB
        assert result.tally.plain_bytes == len(content) - result.tally.resumed_bytes
        assert await world.names() == {"target.bin"}
        assert await world.bytes_of("target.bin") == content[::-1]
        again = await copy_file(source, target, resume=True)
        assert (again.mechanism, again.tally.plain_bytes) == ("none", 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_that_has_changed_begins_again(
    kind: str, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(os.urandom(16 * MIB))
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        await interrupt(source, target, 8 * MIB, monkeypatch)
        content[5] ^= 1
        source = world.source(content)
        result = await copy_file(source, target, resume=True)
        assert result.tally.resumed_bytes == 0
        assert await world.bytes_of("target.bin") == content


async def test_a_damaged_partial_file_begins_again(
    tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(16 * MIB)
    async with world_of("local", tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        await interrupt(source, target, 8 * MIB, monkeypatch)
        partial = tmp_path / "root" / "target.bin.odxfs-partial"
        with partial.open("r+b") as stream:
            stream.seek(-4096 + 40, os.SEEK_END)
            stream.write(b"?")
        result = await copy_file(source, target, resume=True)
        assert result.tally.resumed_bytes == 0
        assert await world.bytes_of("target.bin") == content


@pytest.mark.parametrize("kind", KINDS)
async def test_the_longest_names_can_be_gone_on_with(
    kind: str, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(8 * MIB)
    async with world_of(kind, tmp_path, samba) as world:
        folder = world.root.inside("folder")
        await folder.make_folder()
        for name in ("n" * 255, "\N{GREEK SMALL LETTER OMEGA}" * 127):
            source, target = world.source(content), folder.inside(name)
            await interrupt(source, target, 4 * MIB, monkeypatch)
            result = await copy_file(source, target, resume=True)
            assert result.tally.resumed_bytes >= 4 * MIB
            assert await world.bytes_of(f"folder{'/' if kind == 'local' else chr(92)}{name}") == content


async def test_two_copies_do_not_write_one_partial_file(tmp_path: Path, samba: Samba) -> None:
    async with world_of("local", tmp_path, samba) as world:
        source, target = world.source(os.urandom(2 * MIB)), world.root.inside("target.bin")
        first = await target.partial().open_partial()
        with pytest.raises(UserError, match="another copy"):
            await copy_file(source, target, resume=True)
        await first.close()


async def test_tokens_go_on_too(tmp_path: Path, samba: Samba) -> None:
    content = os.urandom(70 * MIB + 300)
    async with world_of("odxfs", tmp_path, samba) as world:
        source, target = world.root.inside("source.bin"), world.root.inside("target.bin")
        await copy_file(world.source(content), source)
        with trio.CancelScope() as scope:

            def stop(tally: Tally) -> None:
                if tally.offloaded_bytes >= 16 * MIB:
                    scope.cancel()

            await copy_file(source, target, Wish.REQUIRED, stop, resume=True)
        assert scope.cancelled_caught
        result = await copy_file(source, target, Wish.REQUIRED, resume=True, verify=True)
        assert result.tally.resumed_bytes >= 8 * MIB
        assert result.tally.resumed_bytes + result.offloaded_bytes == len(content)
        assert await world.names() == {"source.bin", "target.bin"}


async def test_a_lost_connection_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(plain, "PIECES_IN_FLIGHT", 1)
    monkeypatch.setattr("odxfs.client.job.RECONNECT_SECONDS", (0.0,) * 5)
    content = os.urandom(48 * MIB + 1)
    (tmp_path / "source.bin").write_bytes(content)
    records: list[Record] = []
    async with serve(tmp_path / "pool") as served, open_servers(lambda url: PASSWORD) as servers:
        cuts = [20 * MIB, 10 * MIB]
        packed = written_down = 0
        read, pack, flush = LocalFile.read, PartialRecord.pack, SmbFile.flush

        async def read_when_written_down(source: LocalFile, offset: int, length: int) -> Buffer:
            """Behind each cut the source waits until a record says that something is there to be gone on with."""
            while cuts and offset >= cuts[-1] and not written_down:
                await trio.sleep(0.01)
            return await read(source, offset, length)

        def note(record: PartialRecord) -> bytes:
            nonlocal packed
            packed = record.reached
            return pack(record)

        async def flush_and_note(file: SmbFile) -> None:
            nonlocal written_down
            await flush(file)
            written_down = packed

        def cut(_: Summary, running: Tally) -> None:
            if cuts and running.plain_bytes + running.resumed_bytes > cuts[-1] and written_down:
                cuts.pop()
                servers.connections[-1].close()

        monkeypatch.setattr(LocalFile, "read", read_when_written_down)
        monkeypatch.setattr(PartialRecord, "pack", note)
        monkeypatch.setattr(SmbFile, "flush", flush_and_note)
        request = Request(
            [parse_location(str(tmp_path / "source.bin"))],
            parse_location(f"smb://{USER}@127.0.0.1:{served.port}/{SHARE}/target.bin"),
        )
        job = Job(servers, CopyOptions(resume=True, verify=True), records.append, cut)
        with trio.fail_after(120):
            await job.run(request)
        assert len(servers.connections) == 3
        assert await served.pool.check() == []
    result = records[0].result
    assert result is not None
    assert result.sha256 is not None
    assert result.tally.resumed_bytes > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_difference_is_found(
    kind: str, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3 * MIB) + bytes(40 * MIB) + os.urandom(MIB + 77)
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        result = await copy_file(source, target, verify=True)
        assert result.as_json()["verified"] is True
        wrong = bytearray(content)
        wrong[-1] ^= 1

        def change(tally: Tally) -> None:
            if tally.done_bytes == len(content):
                (tmp_path / "source.bin").write_bytes(wrong)

        with pytest.raises(Mismatch) as caught:
            await copy_file(source, target, Wish.OFF, change, verify=True)
        assert caught.value.exit_code == ExitCode.MISMATCH
        assert await world.bytes_of("target.bin") == content


async def test_a_directory_is_not_replaced_by_a_file(tmp_path: Path, samba: Samba) -> None:
    async with world_of("samba", tmp_path, samba) as world:
        source, target = world.source(b"x" * 1000), world.root.inside("folder")
        await target.make_folder()
        for resume in (False, True):
            with pytest.raises((RequestRefused, UserError), match="directory"):
                await copy_file(source, target, resume=resume)
        assert await world.names() == {"folder"}


async def test_a_partial_file_is_no_destination_with_resume(tmp_path: Path, samba: Samba) -> None:
    async with world_of("local", tmp_path, samba) as world:
        source = world.source(b"x" * 1000)
        with pytest.raises(UserError, match="kept for partial copies"):
            await copy_file(source, world.root.inside("a.odxfs-partial"), resume=True)
        assert await world.names() == set()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_has_the_destinations_name_is_whole_also_when_the_copy_is_cancelled_then(
    kind: str, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(MIB + 5)
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        rename = type(target).rename
        with trio.CancelScope() as scope:

            async def rename_and_cancel(*arguments: Any) -> None:
                await rename(*arguments)
                scope.cancel()

            with monkeypatch.context() as patch:
                patch.setattr(type(target), "rename", rename_and_cancel)
                await copy_file(source, target, Wish.OFF, resume=True)
        assert await world.names() == {"target.bin"}
        assert await world.bytes_of("target.bin") == content


@pytest.mark.parametrize("times", [1, 2])
async def test_a_rename_that_is_refused_loses_nothing_of_what_was_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    content = os.urandom(MIB + 5)
    (tmp_path / "source").write_bytes(content)
    source, target = LocalPlace(tmp_path / "source"), LocalPlace(tmp_path / "target")

    async def refuse(*_: object) -> None:
        raise UserError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(LocalPlace, "rename", refuse)
        for _ in range(times):
            with pytest.raises(UserError, match="not now"):
                await copy_file(source, target, Wish.OFF, resume=True)
    result = await copy_file(source, target, Wish.OFF, resume=True)
    assert result.tally.resumed_bytes == len(content)
    assert (tmp_path / "target").read_bytes() == content


class Killed(BaseException):
    """The process ends here."""


Call = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("at", range(9))
async def test_what_was_reached_is_not_lost_while_a_copy_is_taken_up_again(
    kind: str, at: int, is_killed: bool, tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its next change of the file, or cancelled: what the first run has reached is there, and zeros behind."""
    content = os.urandom(3 * MIB) + bytes(4 * MIB) + os.urandom(2 * MIB + 5)
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.source(content), world.root.inside("target.bin")
        monkeypatch.setattr(plain, "PIECE_BYTES", MIB // 4)
        await interrupt(source, target, 2 * MIB, monkeypatch)
        file_class = LocalFile if kind == "local" else SmbFile
        calls = 0

        def ending(call: Call, scope: trio.CancelScope) -> Call:
            async def end(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at + 1:
                    if is_killed:
                        raise Killed
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                return await call(*arguments)

            return end

        with monkeypatch.context() as patch, trio.CancelScope() as scope:
            for name in ("read", "set_end_of_file", "write", "flush"):
                patch.setattr(file_class, name, ending(getattr(file_class, name), scope))
            if is_killed:
                patch.setattr(targets, "_clean_up", close_alone)
                patch.setattr(targets._Keeper, "save_quietly", close_alone)
            with suppress(Killed):
                await copy_file(source, target, Wish.OFF, resume=True)
        assert "target.bin.odxfs-partial" in await world.names()
        result = await copy_file(source, target, Wish.OFF, resume=True)
        assert result.tally.resumed_bytes >= 2 * MIB
        assert await world.bytes_of("target.bin") == content


async def close_alone(*arguments: Any, **_: object) -> None:
    """What becomes of a file when its client is gone."""
    for argument in arguments:
        if isinstance(argument, LocalFile | SmbFile):
            with trio.CancelScope(shield=True):
                await argument.close()


@pytest.mark.parametrize("kind", ["odxfs", "samba"])
async def test_a_copy_that_is_read_only_before_it_is_renamed_can_be_gone_on_with(
    kind: str, tmp_path: Path, samba: Samba
) -> None:
    content = os.urandom(MIB)
    async with world_of(kind, tmp_path, samba) as world:
        source, target = world.root.inside("source.bin"), world.root.inside("target.bin")
        await copy_file(world.source(content), source)
        await copy_file(world.source(b"old"), target)
        file = await source.open_to_write()
        await file.set_metadata(Metadata(attributes=FileAttributes.READONLY))
        await file.close()
        assert isinstance(target, SmbPlace)
        reader = await target.tree.open(
            target.path, Access.FILE_READ_DATA, ShareAccess.READ | ShareAccess.WRITE
        )
        with pytest.raises(RequestRefused, match=r"target\.bin: "):
            await copy_file(source, target, resume=True)
        await reader.close()
        result = await copy_file(source, target, resume=True)
        assert result.tally.resumed_bytes == len(content)
        found = await target.look()
        assert found is not None
        assert found.metadata.attributes is not None
        assert found.metadata.attributes & FileAttributes.READONLY
        assert await world.bytes_of("target.bin") == content


async def test_nor_is_a_local_one_stuck_for_who_is_not_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mode has been set, and the program was killed before the rename."""
    partial = tmp_path / "file.odxfs-partial"
    partial.write_bytes(b"x")
    for path in (tmp_path, partial):
        os.chown(path, OTHER.uid, OTHER.gid)
    partial.chmod(0o444)
    monkeypatch.chdir(tmp_path)
    os.seteuid(OTHER.uid)
    try:
        file = await LocalPlace(Path("file")).partial().open_partial()
        await file.write(0, b"y")
        await file.close()
    finally:
        os.seteuid(0)
    assert partial.read_bytes() == b"y"


@pytest.mark.parametrize(
    "planted", ["a link to what we own", "a second name of what we own", "their own file"]
)
async def test_a_partial_file_that_another_user_has_put_there_is_not_filled(
    tmp_path: Path, planted: str
) -> None:
    """In a folder in which others make files, too."""
    shared, precious = tmp_path / "shared", tmp_path / "precious"
    shared.mkdir()
    shared.chmod(0o1777)
    precious.write_bytes(b"precious")
    partial = shared / "file.odxfs-partial"
    if planted == "a link to what we own":
        partial.symlink_to(precious)
    elif planted == "a second name of what we own":
        partial.hardlink_to(precious)
    else:
        partial.write_bytes(b"theirs")
        os.chown(partial, OTHER.uid, OTHER.gid)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(MIB))
    with pytest.raises(UserError, match="odxfs-partial: it is ") as refused:
        await copy_file(LocalPlace(source), LocalPlace(shared / "file"), resume=True)
    assert refused.value.exit_code is ExitCode.REFUSED
    assert precious.read_bytes() == b"precious"
    assert {path.name for path in shared.iterdir()} == {"file.odxfs-partial"}


async def test_a_record_that_arrives_late_does_not_lengthen_the_file(
    tmp_path: Path, samba: Samba, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, arrived, on_its_way = os.urandom(MIB), RangeSet(), trio.Event()
    async with world_of("odxfs", tmp_path, samba) as world, trio.open_nursery() as server:
        target, write = world.root.inside("target.bin"), SmbFile.write

        async def write_late(file: SmbFile, offset: int, data: Buffer) -> int:
            """What was sent is done, whether or not its sender still waits."""
            if offset == len(content) and arrived.total:
                done = trio.Event()
                server.start_soon(late, file, offset, data, done)
                on_its_way.set()
                await done.wait()
                return len(data)
            return await write(file, offset, data)

        async def late(file: SmbFile, offset: int, data: Buffer, done: trio.Event) -> None:
            for _ in range(3):  # round trips
                await file.read(0, 1)
            await write(file, offset, data)
            done.set()

        async def nothing(*_: object) -> None:
            pass

        monkeypatch.setattr(targets, "CHECKPOINT_SECONDS", 0.001)
        monkeypatch.setattr(SmbFile, "write", write_late)
        record = PartialRecord("source", "1", len(content), None, None)
        async with partial_target(target, arrived, record, nothing, nothing) as file:
            await file.write(0, content)
            arrived.add(0, len(content))
            await on_its_way.wait()
        found = await target.look()
        assert found is not None
        assert found.size == len(content)
