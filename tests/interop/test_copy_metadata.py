"""What a copy keeps beside the bytes, and where holes stay holes."""

import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from odxfs.client.client import Client, connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import RequestRefused
from odxfs.client.file import SmbFile
from odxfs.client.job import Job, Request
from odxfs.client.local import LocalPlace
from odxfs.client.local_file import LocalFile
from odxfs.client.metadata import Lost, Metadata
from odxfs.client.place import Place
from odxfs.client.places import SmbPlace
from odxfs.client.plan import CopyOptions, Wish
from odxfs.client.servers import open_servers
from odxfs.client.url import parse_location
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.fscc.classes import FileAttributes
from tests.interop.samba import Samba, run_samba
from tests.support.serving import PASSWORD, SHARE, USER, serve

MIB = 1024 * 1024
TIMES = Metadata(
    written_ns=1_500_000_000_123_456_700,
    accessed_ns=1_600_000_000_000_000_100,
    created_ns=1_400_000_000_000_000_000,
    attributes=FileAttributes.HIDDEN | FileAttributes.READONLY | FileAttributes.ARCHIVE,
)


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """With named streams and extended attributes."""
    extra = {"vfs objects": "streams_xattr", "ea support": "yes", "store dos attributes": "yes"}
    with run_samba(tmp_path_factory.mktemp("samba"), extra) as server:
        yield server


@pytest.fixture(scope="module")
def plain_samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """Without streams."""
    with run_samba(tmp_path_factory.mktemp("samba"), {"ea support": "no"}) as server:
        yield server


@asynccontextmanager
async def connected(samba: Samba) -> AsyncIterator[tuple[Client, SmbPlace]]:
    async with connect("127.0.0.1", samba.port, samba.user, samba.password) as client:
        yield client, SmbPlace(await client.tree("data"), "")


async def write(place: Place, content: bytes) -> None:
    file = await place.open_to_write()
    await file.write(0, content)
    await file.close()


async def make_rich(place: SmbPlace, content: bytes) -> None:
    """A file with everything."""
    await write(place, content)
    await write(place.stream("Zone.Identifier"), b"[ZoneTransfer]\r\nZoneId=3\r\n")
    await write(place.stream("other"), b"o" * 3_000)
    file = await place.open_to_write()
    await file.set_attributes({b"AUTHOR": b"somebody"})
    await file.set_metadata(TIMES)
    await file.close()


async def test_everything_is_kept_on_one_server(samba: Samba) -> None:
    async with connected(samba) as (_, root):
        source, target = root.inside("rich"), root.inside("rich copy")
        await make_rich(source, b"x" * 300_000)
        result = await copy_file(source, target)
        assert result.not_kept == frozenset()
        copy = await target.open_to_read()
        assert sorted(await copy.streams()) == ["Zone.Identifier", "other"]
        assert (await copy.attributes())[b"AUTHOR"] == b"somebody"
        found = copy.metadata
        assert found.written_ns == TIMES.written_ns
        assert found.created_ns == TIMES.created_ns
        assert found.accessed_ns == TIMES.accessed_ns
        assert found.attributes == TIMES.attributes
        await copy.close()
        stream = await target.stream("other").open_to_read()
        assert bytes(await stream.read(0, 30_000)) == b"o" * 3_000
        await stream.close()


async def test_the_streams_of_an_overwritten_file_go(samba: Samba, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    async with connected(samba) as (_, root):
        target = root.inside("overwritten")
        await write(target, b"old")
        await write(target.stream("of the older file"), b"old")
        result = await copy_file(LocalPlace(tmp_path / "new"), target)
        assert result.not_kept == {Lost.MODE}
        copy = await target.open_to_read()
        assert await copy.streams() == []
        await copy.close()


async def test_what_the_other_side_has_not_is_told(samba: Samba, plain_samba: Samba, tmp_path: Path) -> None:
    async with connected(samba) as (_, rich), connected(plain_samba) as (_, plain):
        source = rich.inside("told")
        await make_rich(source, b"x" * 1000)
        across = await copy_file(source, plain.inside("told"))
        assert across.not_kept == {Lost.STREAMS, Lost.EXTENDED_ATTRIBUTES}
        down = await copy_file(source, LocalPlace(tmp_path / "told"))
        assert down.not_kept == {Lost.STREAMS, Lost.CREATION_TIME, Lost.ATTRIBUTES}
        assert os.getxattr(tmp_path / "told", "user.AUTHOR") == b"somebody"
        assert (tmp_path / "told").stat().st_mtime_ns == TIMES.written_ns
        up = await copy_file(LocalPlace(tmp_path / "told"), rich.inside("up"))
        assert up.not_kept == {Lost.MODE}
        copy = await rich.inside("up").open_to_read()
        assert copy.metadata.written_ns == TIMES.written_ns
        assert (await copy.attributes())[b"AUTHOR"] == b"somebody"
        await copy.close()


async def test_times_and_attributes_are_kept_by_a_token_copy(tmp_path: Path) -> None:
    async with (
        serve(tmp_path / "pool") as served,
        connect("127.0.0.1", served.port, USER, PASSWORD) as client,
    ):
        root = SmbPlace(await client.tree(SHARE), "")
        await write(root.inside("source"), os.urandom(MIB))
        file = await root.inside("source").open_to_write()
        await file.set_attributes({b"AUTHOR": b"somebody"})
        await file.set_metadata(TIMES)
        await file.close()
        for resume in (False, True):
            target = root.inside(f"target {resume}")
            result = await copy_file(root.inside("source"), target, Wish.REQUIRED, resume=resume)
            assert result.not_kept == frozenset()
            copy = await target.open_to_read()
            assert copy.metadata.written_ns == TIMES.written_ns
            assert copy.metadata.created_ns == TIMES.created_ns
            assert copy.metadata.attributes == TIMES.attributes
            assert await copy.attributes() == {b"AUTHOR": b"somebody"}
            await copy.close()


def make_sparse(path: Path, islands: int = 3) -> int:
    """256 MiB with some islands of 64 KiB; how many bytes they are."""
    with path.open("wb") as stream:
        stream.truncate(256 * MIB)
        for number in range(islands):
            stream.seek(number * 100 * MIB)
            stream.write(b"i" * 65536)
    return islands * 65536


async def test_a_copy_is_private_until_it_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: set[int] = set()
    write = LocalFile.write

    async def seen(self: LocalFile, offset: int, data: Buffer) -> int:
        modes.add(stat.S_IMODE(os.fstat(self.descriptor).st_mode))
        return await write(self, offset, data)

    monkeypatch.setattr(LocalFile, "write", seen)
    before = os.umask(0o027)
    try:
        source = tmp_path / "source"
        source.write_bytes(b"x" * 100_000)
        for mode in (0o600, 0o664):
            source.chmod(mode)
            copy = tmp_path / f"copy-{mode:o}"
            await copy_file(LocalPlace(source), LocalPlace(copy))
            assert stat.S_IMODE(copy.stat().st_mode) == mode
        async with (
            serve(tmp_path / "pool") as served,
            connect("127.0.0.1", served.port, USER, PASSWORD) as client,
        ):
            there = SmbPlace(await client.tree(SHARE), "file")
            await copy_file(LocalPlace(source), there)
            await copy_file(there, LocalPlace(tmp_path / "back"))
        assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o640  # as any new file
    finally:
        os.umask(before)
    assert modes == {0o600}


async def test_holes_are_not_moved_to_samba_and_back(samba: Samba, tmp_path: Path) -> None:
    data_bytes = make_sparse(tmp_path / "sparse")
    async with connected(samba) as (_, root):
        target = root.inside("sparse")
        up = await copy_file(LocalPlace(tmp_path / "sparse"), target, verify=True)
        assert up.tally.plain_bytes == data_bytes
        assert up.tally.hole_bytes == 256 * MIB - data_bytes
        assert up.wire_sent_bytes < MIB
        file = await target.open_to_write()
        assert await file.mark_sparse()
        await file.close()
        across = await copy_file(target, root.inside("sparse copy"), verify=True)
        assert across.tally.copychunk_bytes == data_bytes
        down = await copy_file(root.inside("sparse copy"), LocalPlace(tmp_path / "back"), verify=True)
        assert down.tally.plain_bytes == data_bytes
        assert down.wire_received_bytes < 2 * MIB
    for path in (samba.data / "sparse", samba.data / "sparse copy", tmp_path / "back"):
        assert path.stat().st_blocks * 512 <= data_bytes + MIB


async def test_more_islands_than_one_answer_tells(tmp_path: Path) -> None:
    """The server's answer to QUERY_ALLOCATED_RANGES is full several times over."""
    path = tmp_path / "islands"
    islands = 5000
    with path.open("wb") as stream:
        stream.truncate(islands * 8192 + 5)
        for number in range(islands):
            stream.seek(number * 8192)
            stream.write(number.to_bytes(4, "big"))
    async with (
        serve(tmp_path / "pool") as served,
        connect("127.0.0.1", served.port, USER, PASSWORD) as client,
    ):
        target = SmbPlace(await client.tree(SHARE), "islands")
        up = await copy_file(LocalPlace(path), target)
        file = await target.open_to_write()
        assert await file.mark_sparse()
        await file.close()
        assert up.tally.hole_bytes >= islands * 4096
        down = await copy_file(target, LocalPlace(tmp_path / "back"))
        assert down.tally.hole_bytes >= islands * 4096
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


async def test_zeros_that_nobody_calls_a_hole_become_one(samba: Samba, tmp_path: Path) -> None:
    content = bytes(20 * MIB) + b"end"
    (samba.data / "zeros").write_bytes(content)
    async with connected(samba) as (_, root):
        result = await copy_file(root.inside("zeros"), LocalPlace(tmp_path / "zeros"))
    assert result.tally.plain_bytes == len(content)
    assert (tmp_path / "zeros").read_bytes() == content
    assert (tmp_path / "zeros").stat().st_blocks * 512 < MIB


@asynccontextmanager
async def served_root(tmp_path: Path) -> AsyncIterator[SmbPlace]:
    async with (
        serve(tmp_path / "pool") as served,
        connect("127.0.0.1", served.port, USER, PASSWORD) as client,
    ):
        yield SmbPlace(await client.tree(SHARE), "")


async def streams_of(place: Place) -> dict[str, bytes]:
    """Each stream of a file with its bytes."""
    file = await place.open_to_read()
    names = await file.streams()
    await file.close()
    found = dict[str, bytes]()
    for name in names:
        stream = await place.stream(name).open_to_read()
        found[name] = bytes(await stream.read(0, 65536)) if stream.size else b""
        await stream.close()
    return found


async def test_a_stream_replaces_one_whose_name_differs_by_case(tmp_path: Path) -> None:
    async with served_root(tmp_path) as root:
        source, target = root.inside("source"), root.inside("target")
        for place, streams in ((source, ("Author", "new")), (target, ("author", "old", "new"))):
            await write(place, b"x")
            for stream in streams:
                await write(place.stream(stream), f"{stream} of {place.path}".encode())
        result = await copy_file(source, target)
        assert result.not_kept == frozenset()
        assert await streams_of(target) == {"Author": b"Author of source", "new": b"new of source"}


async def test_a_stream_that_breaks_off_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served_root(tmp_path) as root:
        source, target = root.inside("source"), root.inside("target")
        await write(source, b"x")
        for stream in ("broken", "whole"):
            await write(source.stream(stream), stream.encode())
        read = SmbFile.read

        async def break_off(self: SmbFile, offset: int, length: int) -> Buffer:
            if self.path.endswith(":broken"):
                raise RequestRefused(Status.FILE_LOCK_CONFLICT, self.name)
            return await read(self, offset, length)

        with monkeypatch.context() as patch:
            patch.setattr(SmbFile, "read", break_off)
            result = await copy_file(source, target)
        assert result.not_kept == {Lost.STREAMS}
        assert await streams_of(target) == {"whole": b"whole"}


async def test_an_attribute_that_has_no_room_over_smb_is_told_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_bytes(b"x")

    async def attributes(file: LocalFile) -> dict[bytes, bytes]:
        return {b"LARGE": bytes(65536), b"SMALL": b"small"}

    monkeypatch.setattr(LocalFile, "attributes", attributes)
    async with served_root(tmp_path) as root:
        result = await copy_file(LocalPlace(tmp_path / "source"), root.inside("target"))
        assert Lost.EXTENDED_ATTRIBUTES in result.not_kept
        copy = await root.inside("target").open_to_read()
        assert await copy.attributes() == {b"SMALL": b"small"}
        await copy.close()


async def test_a_path_that_has_no_room_over_smb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    async with served_root(tmp_path) as root:
        for name in ("a" * 32_768, "\N{GRINNING FACE}" * 16_384):
            with pytest.raises(RequestRefused, match="too long"):
                await copy_file(LocalPlace(tmp_path / "source"), root.inside(name))


async def test_a_folder_is_private_until_it_has_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in it has its own mode long before, and may be open to all because the source's folder is not."""
    for name, mode in (("private", 0o700), ("open", 0o755)):
        (tmp_path / "source" / name).mkdir(parents=True)
        (tmp_path / "source" / name / "file").write_bytes(b"x")
        (tmp_path / "source" / name).chmod(mode)
    modes = dict[str, int]()
    read = LocalFile.read

    async def look_and_read(self: LocalFile, offset: int, length: int) -> Buffer:
        folder = Path(self.name).parent.name
        modes[folder] = stat.S_IMODE((tmp_path / "copy" / folder).stat().st_mode)
        return await read(self, offset, length)

    monkeypatch.setattr(LocalFile, "read", look_and_read)
    await copy_tree(tmp_path / "source", tmp_path / "copy")
    assert modes == {"private": 0o700, "open": 0o700}
    for name in modes:
        copy, source = tmp_path / "copy" / name, tmp_path / "source" / name
        assert copy.stat().st_mode == source.stat().st_mode


async def test_a_folder_of_a_share_becomes_one_like_any_other(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        url = f"smb://{USER}@127.0.0.1:{served.port}/{SHARE}/folder"
        (tmp_path / "source").mkdir(mode=0o700)
        before = os.umask(0o027)
        try:
            await copy_tree(tmp_path / "source", url)
            await copy_tree(url, tmp_path / "back")
        finally:
            os.umask(before)
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o750


async def copy_tree(source: Path | str, destination: Path | str) -> None:
    """`odxfs cp -r` in this process."""
    async with open_servers(lambda url: PASSWORD) as servers:
        job = Job(servers, CopyOptions(), lambda record: None)
        await job.run(
            Request([parse_location(str(source))], parse_location(str(destination)), recursive=True)
        )
