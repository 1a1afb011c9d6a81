"""QUERY_DIRECTORY: listings in pieces, patterns, restarts, and what is not shown."""

import stat
from pathlib import Path

import pytest
import trio

from odxfs.errors import Corrupt
from odxfs.ntstatus import Status
from odxfs.smb.directory.enumeration import NAMES_BETWEEN_CHECKPOINTS
from odxfs.smb.directory.pattern import Pattern
from odxfs.types import InodeNumber
from odxfs.volume import Inode, Volume
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileAttributes
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.directory_information import FORMS, DirectoryInformation, unpack_entries
from odxfs.wire.header import Command
from odxfs.wire.query_directory import QueryDirectoryFlags, QueryDirectoryRequest, QueryDirectoryResponse
from tests.support.remote import DIRECTORY, Remote, remote, served

RESTART = QueryDirectoryFlags.RESTART_SCANS
SINGLE = QueryDirectoryFlags.RETURN_SINGLE_ENTRY
REOPEN = QueryDirectoryFlags.REOPEN


async def ask(
    client: Remote,
    fid: FileId,
    pattern: str = "*",
    info_class: int = Class.ID_BOTH_DIRECTORY,
    flags: int = 0,
    room: int = 65536,
    index: int = 0,
) -> tuple[Status, list[DirectoryInformation]]:
    request = QueryDirectoryRequest(info_class, fid, pattern, room, flags, index)
    response = await client.call(Command.QUERY_DIRECTORY, request.pack())
    status = Status(response.header.status)
    if status is not Status.SUCCESS:
        return status, []
    data = QueryDirectoryResponse.unpack(response.pdu).output_buffer
    assert len(data) <= room
    return status, list(unpack_entries(info_class, data))


async def whole(client: Remote, fid: FileId, pattern: str = "*", room: int = 65536) -> list[str]:
    names: list[str] = []
    while True:
        status, entries = await ask(client, fid, pattern, room=room)
        if status is not Status.SUCCESS:
            assert status is Status.NO_MORE_FILES
            return names
        names += [entry.file_name for entry in entries]


async def test_a_large_directory_comes_in_pieces_each_name_once(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        expected = {".", ".."}
        for number in range(1500):
            name = f"file{number}"
            await volume.create(volume.root, name.encode(), stat.S_IFREG | 0o644, 0, 0)
            expected.add(name)
        fid = await client.create("", options=DIRECTORY)
        names = await whole(client, fid, room=4096)
        assert names[:2] == [".", ".."]
        assert len(names) == len(expected)
        assert set(names) == expected


@pytest.mark.parametrize("info_class", sorted(FORMS))
async def test_every_class_lists_the_same_names(tmp_path: Path, info_class: int) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("a.txt", b"x" * 5000))
        await client.close(await client.make_directory("b"))
        fid = await client.create("", options=DIRECTORY)
        status, entries = await ask(client, fid, info_class=info_class)
        assert status is Status.SUCCESS
        assert [entry.file_name for entry in entries] == [".", "..", "a.txt", "b"]
        if info_class != Class.NAMES:
            assert (entries[2].end_of_file, entries[2].allocation_size) == (5000, 8192)
            assert entries[3].file_attributes == FileAttributes.DIRECTORY
        minimum = FORMS[info_class].minimum_bytes
        assert (await ask(client, fid, "*", info_class, RESTART, minimum - 1))[
            0
        ] is Status.INFO_LENGTH_MISMATCH
        status, entries = await ask(client, fid, "*", info_class, RESTART | SINGLE)
        assert [entry.file_name for entry in entries] == ["."]


async def test_patterns_find_by_windows_rules(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        for name in ("One.txt", "two.TXT", "three", "a.b.c"):
            await client.close(await client.make_file(name))
        fid = await client.create("", options=DIRECTORY)
        for pattern, expected in (
            ("*.txt", ["One.txt", "two.TXT"]),
            ("ONE.TXT", ["One.txt"]),
            ("t*", ["two.TXT", "three"]),
            ("<.c", ["a.b.c"]),
            ("*.", []),
            ("nothing", []),
        ):
            status, entries = await ask(client, fid, pattern, flags=RESTART)
            found = [entry.file_name for entry in entries if entry.file_name not in (".", "..")]
            assert found == expected, pattern
            if pattern == "nothing":
                assert status is Status.NO_SUCH_FILE
                assert await ask(client, fid, pattern) == (Status.NO_MORE_FILES, [])


class NamesOfOneStep(trio.abc.Instrument):
    """How many names are held against a pattern between two checkpoints, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self.total = self._now = 0
        plain = Pattern.matches

        def counted(pattern: Pattern, name: str) -> bool:
            self._now += 1
            return plain(pattern, name)

        monkeypatch.setattr(Pattern, "matches", counted)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.most, self.total, self._now = max(self.most, self._now), self.total + self._now, 0


async def test_others_are_served_between_the_names_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        for number in range(300):
            await volume.create(volume.root, b"%d" % number, stat.S_IFREG | 0o644, 0, 0)
        fid = await client.create("", options=DIRECTORY)
        names = NamesOfOneStep(monkeypatch)
        trio.lowlevel.add_instrument(names)
        try:
            assert (await ask(client, fid, "*.none"))[0] is Status.NO_SUCH_FILE
        finally:
            trio.lowlevel.remove_instrument(names)
        assert names.total == 302
        assert names.most <= NAMES_BETWEEN_CHECKPOINTS + 2  # and the two that are not stored


async def test_a_scan_goes_on_until_it_is_restarted(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("a"))
        fid = await client.create("", options=DIRECTORY)
        seen = []
        for _ in range(3):
            _, entries = await ask(client, fid, flags=SINGLE)
            seen += [entry.file_name for entry in entries]
        assert seen == [".", "..", "a"]
        assert await ask(client, fid) == (Status.NO_MORE_FILES, [])
        _, entries = await ask(client, fid, "a", flags=REOPEN)
        assert [entry.file_name for entry in entries] == ["a"]
        assert await ask(client, fid) == (Status.NO_MORE_FILES, [])


async def test_what_is_created_and_deleted_during_a_scan_disturbs_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        for number in range(10):
            await volume.create(volume.root, b"f%d" % number, stat.S_IFREG | 0o644, 0, 0)
        fid = await client.create("", options=DIRECTORY)
        seen = []
        for _ in range(5):
            _, entries = await ask(client, fid, flags=SINGLE)
            seen += [entry.file_name for entry in entries]
        await volume.unlink(volume.root, b"f0")
        await volume.unlink(volume.root, b"f9")
        await volume.create(volume.root, b"late", stat.S_IFREG | 0o644, 0, 0)
        seen += await whole(client, fid)
        assert [name for name in seen if name.startswith("f")][:9] == [f"f{number}" for number in range(9)]
        assert len(seen) == len(set(seen))


async def test_names_that_lead_nowhere_are_hidden_and_forbidden_characters_are_mapped(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        for name in (b"\xff\xfe", "a\uf022b".encode(), b"a:b", "\u00fc".encode()):
            await volume.create(volume.root, name, stat.S_IFREG | 0o644, 0, 0)
        fid = await client.create("", options=DIRECTORY)
        names = await whole(client, fid)
        assert names == [".", "..", "a\uf022b", "\u00fc"]
        for shown in names[2:]:
            await client.close(await client.create(shown, disposition=1))


async def test_an_error_in_a_scan_loses_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume, plain = share.volume, Volume.inode
        for number in range(10):
            await volume.create(volume.root, b"n%d" % number, stat.S_IFREG | 0o644, 0, 0)
        bad = (await volume.lookup(volume.root, b"n5")).number

        async def inode(self: Volume, number: InodeNumber) -> Inode:
            if number == bad:
                raise Corrupt("one bad read")
            return await plain(self, number)

        fid = await client.create("", options=DIRECTORY)
        monkeypatch.setattr(Volume, "inode", inode)
        status, first = await ask(client, fid)
        assert status is Status.SUCCESS
        assert [entry.file_name for entry in first] == [".", "..", *(f"n{number}" for number in range(5))]
        assert (await ask(client, fid))[0] is Status.DATA_CHECKSUM_ERROR
        monkeypatch.undo()
        assert await whole(client, fid) == [f"n{number}" for number in range(5, 10)]


async def test_special_files_are_shown_with_their_tags(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await volume.create(volume.root, b"fifo", stat.S_IFIFO | 0o644, 0, 0)
        await volume.create(volume.root, b"link", stat.S_IFLNK | 0o777, 0, 0, target=b"x")
        fid = await client.create("", options=DIRECTORY)
        _, entries = await ask(client, fid)
        tags = {entry.file_name: entry.ea_size for entry in entries[2:]}
        assert tags == {"fifo": 0x80000024, "link": 0xA000000C}
        assert all(entry.file_attributes & FileAttributes.REPARSE_POINT for entry in entries[2:])


async def test_refusals(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        file = await client.make_file("f")
        assert (await ask(client, file))[0] is Status.INVALID_PARAMETER
        blind = await client.create("", options=DIRECTORY, access=0x80)
        assert (await ask(client, blind))[0] is Status.ACCESS_DENIED
        fid = await client.create("", options=DIRECTORY)
        assert (await ask(client, fid, info_class=Class.BASIC))[0] is Status.INVALID_INFO_CLASS
        assert (await ask(client, fid, "a\\b"))[0] is Status.OBJECT_NAME_INVALID
        assert (await ask(client, fid, "x" * 1025))[0] is Status.OBJECT_NAME_INVALID
        assert (await ask(client, fid, "f", room=104))[0] is Status.INFO_LENGTH_MISMATCH


async def test_a_file_index_does_nothing_as_on_windows(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        for number in range(3):
            await client.close(await client.make_file(f"f{number}"))
        fid = await client.create("", options=DIRECTORY)
        found: list[str] = []
        while (answer := await ask(client, fid, flags=SINGLE | QueryDirectoryFlags.INDEX_SPECIFIED, index=1))[
            1
        ]:
            assert answer[1][0].file_index == 0
            found.append(answer[1][0].file_name)
        assert found == [".", "..", "f0", "f1", "f2"]
