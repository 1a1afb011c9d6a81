"""CREATE and CLOSE: dispositions, kinds, rights, share modes and deletion."""

from contextlib import AbstractAsyncContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.errors import AttributeTooLarge, NotFound, QuotaExceeded
from odxfs.ntstatus import Status
from odxfs.smb.shares import Share
from odxfs.volume import AttributeChange, Inode, Volume
from odxfs.wire.close import CloseFlags, CloseRequest, CloseResponse
from odxfs.wire.create import CreateAction, CreateDisposition, CreateOptions, CreateRequest
from odxfs.wire.create_contexts import (
    EA_BUFFER,
    AllocationSize,
    QueryMaximalAccessResponse,
    QueryOnDiskIdResponse,
    find_create_context,
)
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea
from odxfs.wire.header import Command
from tests.support.peer import FILE_ALL_ACCESS, Peer, Refused, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

READ, WRITE, APPEND, ATTRIBUTES, DELETE, MAXIMUM = 0x1, 0x2, 0x4, 0x80, 0x10000, 0x2000000
READONLY, HIDDEN, DIRECTORY, ARCHIVE, NORMAL = 0x1, 0x2, 0x10, 0x20, 0x80
D = CreateDisposition


def _session(served: Served) -> AbstractAsyncContextManager[Peer]:
    return logged_in(served.port, USER, PASSWORD, SHARE)


async def _status(peer: Peer, name: str, disposition: int = D.OPEN_IF, **fields: int) -> Status:
    """The status of a CREATE; what it opens is closed again."""
    try:
        fid = await peer.open(name, disposition, **fields)
    except Refused as refused:
        return refused.status
    await peer.close(fid)
    return Status.SUCCESS


async def test_each_disposition_on_what_exists_and_what_does_not(tmp_path: Path) -> None:
    expected = {
        D.SUPERSEDE: (CreateAction.CREATED, CreateAction.SUPERSEDED, 0),
        D.OPEN: (Status.OBJECT_NAME_NOT_FOUND, CreateAction.OPENED, 7),
        D.CREATE: (CreateAction.CREATED, Status.OBJECT_NAME_COLLISION, 7),
        D.OPEN_IF: (CreateAction.CREATED, CreateAction.OPENED, 7),
        D.OVERWRITE: (Status.OBJECT_NAME_NOT_FOUND, CreateAction.OVERWRITTEN, 0),
        D.OVERWRITE_IF: (CreateAction.CREATED, CreateAction.OVERWRITTEN, 0),
    }
    async with serve(tmp_path) as served, _session(served) as peer:
        for disposition, (missing, existing, size) in expected.items():
            name = f"file {disposition}"
            assert await _outcome(peer, name, disposition) == missing
            fid = await peer.open(name)
            await peer.write(fid, 0, b"content")
            await peer.close(fid)
            assert await _outcome(peer, name, disposition) == existing
            inode = await served.volume.lookup(served.volume.root, name.encode())
            assert inode.size == size


async def _outcome(peer: Peer, name: str, disposition: int) -> int:
    try:
        created = await peer.create(name, disposition)
    except Refused as refused:
        return refused.status
    await peer.close(created.file_id)
    return created.create_action


async def test_a_new_file_says_what_it_is(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        contexts = ((b"MxAc", b""), (b"QFid", b""), (b"RqLs", bytes(32)), (b"????", b"x"))
        created = await peer.create("new", create_contexts=contexts)
        inode = await served.volume.lookup(served.volume.root, b"new")
        assert created.file_attributes == ARCHIVE
        assert (created.end_of_file, created.allocation_size) == (0, 0)
        assert created.creation_time == created.last_write_time == created.change_time
        maximal = find_create_context(created.create_contexts, b"MxAc")
        assert maximal is not None
        assert QueryMaximalAccessResponse.unpack(maximal) == QueryMaximalAccessResponse(0, FILE_ALL_ACCESS)
        on_disk = find_create_context(created.create_contexts, b"QFid")
        assert on_disk is not None
        assert QueryOnDiskIdResponse.unpack(on_disk).disk_file_id == inode.number
        assert find_create_context(created.create_contexts, b"RqLs") is None
        assert created.oplock_level == 0


async def test_directories_and_files_are_not_taken_for_each_other(tmp_path: Path) -> None:
    directory, no_directory = CreateOptions.DIRECTORY_FILE, CreateOptions.NON_DIRECTORY_FILE
    async with serve(tmp_path) as served, _session(served) as peer:
        made = await peer.create("folder", D.CREATE, create_options=directory)
        assert made.file_attributes == DIRECTORY
        await peer.close(made.file_id)
        assert await _status(peer, "file", D.CREATE) == Status.SUCCESS
        assert (
            await _status(peer, "folder", D.OPEN, create_options=no_directory) == Status.FILE_IS_A_DIRECTORY
        )
        assert await _status(peer, "file", D.OPEN, create_options=directory) == Status.NOT_A_DIRECTORY
        assert (
            await _status(peer, "folder", D.CREATE, create_options=directory) == Status.OBJECT_NAME_COLLISION
        )
        assert await _status(peer, "file\\below") == Status.OBJECT_PATH_NOT_FOUND
        assert await _status(peer, "missing\\below") == Status.OBJECT_PATH_NOT_FOUND
        both = directory | no_directory
        assert await _status(peer, "folder", D.OPEN, create_options=both) == Status.INVALID_PARAMETER
        assert await _status(peer, "", D.OPEN, create_options=directory) == Status.SUCCESS


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("\\file", Status.INVALID_PARAMETER),
        ("..\\file", Status.OBJECT_PATH_SYNTAX_BAD),
        ("folder\\..\\..\\file", Status.OBJECT_PATH_SYNTAX_BAD),
        ("folder\\..", Status.SUCCESS),
        ("folder\\..\\file", Status.SUCCESS),
        (".", Status.OBJECT_NAME_INVALID),
        ("folder\\\\file", Status.OBJECT_NAME_INVALID),
        ("fi*le", Status.OBJECT_NAME_INVALID),
        ("file?", Status.OBJECT_NAME_INVALID),
        ("file:stream:$FOO", Status.OBJECT_NAME_INVALID),
        ("a/b", Status.OBJECT_NAME_INVALID),
        ("nul\0", Status.OBJECT_NAME_INVALID),
        ("x" * 256, Status.OBJECT_NAME_INVALID),
        ("\uf02e\uf02e", Status.SUCCESS),
        ("\uf029", Status.OBJECT_NAME_INVALID),  # these characters stand for dots
        ("\uf029\uf029", Status.OBJECT_NAME_INVALID),
        ("\uf029\uf029\\file", Status.OBJECT_NAME_INVALID),
        ("a\\" * 2500 + "a", Status.OBJECT_NAME_INVALID),
    ],
)
async def test_paths_that_lead_nowhere(tmp_path: Path, path: str, status: Status) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        assert await _status(peer, path) == status
        await peer.open("the connection lives")


async def test_names_ignore_case_and_keep_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.close(await peer.open("Folder", D.CREATE, create_options=CreateOptions.DIRECTORY_FILE))
        await peer.close(await peer.open("FOLDER\\Gr\u00fc\u00dfe.TXT", D.CREATE))
        assert await _status(peer, "folder\\GR\u00dc\u00dfE.txt", D.OPEN) == Status.SUCCESS
        folder = await served.volume.lookup(served.volume.root, b"Folder")
        assert [entry.name for entry in await served.volume.list_directory(folder.number)] == [
            "Gr\u00fc\u00dfe.TXT".encode()
        ]


async def test_names_of_the_mount_that_windows_forbids_are_reachable(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        await served.volume.create(served.volume.root, b"a:b*c", 0o100644, 0, 0)
        assert await _status(peer, "a\uf022b\uf021c", D.OPEN) == Status.SUCCESS


async def test_symlinks_are_the_clients_to_follow(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        root = served.volume.root
        await served.volume.create(root, b"link", 0o120777, 0, 0, target=b"/etc")
        assert await _status(peer, "link", D.OPEN) == Status.STOPPED_ON_SYMLINK
        assert await _status(peer, "link\\passwd", D.OPEN) == Status.STOPPED_ON_SYMLINK
        options = CreateOptions.OPEN_REPARSE_POINT
        assert (
            await _status(peer, "link", D.OPEN, desired_access=ATTRIBUTES, create_options=options)
            == Status.SUCCESS
        )


async def test_share_modes_hold_between_clients(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        fid = await first.open("file", desired_access=READ, share_access=1)
        assert await _status(second, "file", desired_access=WRITE) == Status.SHARING_VIOLATION
        assert (
            await _status(second, "file", D.OVERWRITE, desired_access=ATTRIBUTES) == Status.SHARING_VIOLATION
        )
        assert await _status(second, "file", desired_access=READ) == Status.SUCCESS
        assert await _status(second, "file", desired_access=ATTRIBUTES, share_access=0) == Status.SUCCESS
        await first.close(fid)
        assert await _status(second, "file", desired_access=WRITE) == Status.SUCCESS


async def test_a_file_goes_with_its_last_close(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        other = await second.open("file")
        fid = await first.open("file", create_options=CreateOptions.DELETE_ON_CLOSE)
        await first.close(fid)
        assert await _status(first, "file", D.OPEN) == Status.DELETE_PENDING
        await second.write(other, 0, b"still usable")
        await second.close(other)
        assert await _status(first, "file", D.OPEN) == Status.OBJECT_NAME_NOT_FOUND
        assert (
            await _status(first, "file", create_options=0x1000, desired_access=READ) == Status.ACCESS_DENIED
        )


async def test_a_folder_that_is_not_empty_is_not_closed_to_others_by_who_would_delete_it(
    tmp_path: Path,
) -> None:
    directory, delete = CreateOptions.DIRECTORY_FILE, CreateOptions.DELETE_ON_CLOSE
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.open("d", create_options=directory)
        await peer.close(await peer.open("d\\f"))
        await peer.close(await peer.open("d", create_options=directory | delete))
        assert await _status(peer, "d\\f", D.OPEN) == Status.SUCCESS
        assert await _status(peer, "d\\g", D.CREATE, create_options=delete) == Status.SUCCESS
        assert await _status(peer, "d\\f", D.OPEN, create_options=delete) == Status.SUCCESS
        await peer.close(await peer.open("d", create_options=directory | delete))
        assert await _status(peer, "d", D.OPEN) == Status.DELETE_PENDING


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_what_goes_while_its_descriptor_is_read_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        volume, root = served.volume, served.volume.root
        inode = await volume.create(root, b"f", 0o100644, 0, 0)
        await volume.write(inode, 0, b"old")
        if is_replaced:
            await volume.write(await volume.create(root, b"new", 0o100644, 0, 0), 0, b"new bytes")
        number, plain = inode.number, Volume.security
        inode.security = None
        del inode  # what the test has in its hands would not go

        async def security(volume: Volume, inode: Inode) -> bytes:
            if inode.number == number and inode.nlink:
                if is_replaced:
                    await volume.rename(root, b"new", root, b"f")
                else:
                    await volume.unlink(root, b"f")
            return await plain(volume, inode)

        monkeypatch.setattr(Volume, "security", security)
        made = await peer.create("f")
        found = (CreateAction.OPENED, 9) if is_replaced else (CreateAction.CREATED, 0)
        assert (made.create_action, made.end_of_file) == found
        await peer.write(made.file_id, 0, b"kept")
        assert await peer.read(made.file_id, 0, 4) == b"kept"


async def test_the_readonly_attribute(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file", D.CREATE, file_attributes=READONLY)
        await peer.write(fid, 0, b"its maker may write")
        await peer.close(fid)
        assert await _status(peer, "file", desired_access=WRITE) == Status.ACCESS_DENIED
        assert await _status(peer, "file", D.OVERWRITE, desired_access=READ) == Status.ACCESS_DENIED
        assert (
            await _status(peer, "file", create_options=0x1000, desired_access=DELETE) == Status.CANNOT_DELETE
        )
        assert await _status(peer, "file", desired_access=READ) == Status.SUCCESS
        opened = await peer.open("file", desired_access=MAXIMUM)
        with pytest.raises(Refused):
            await peer.write(opened, 0, b"x")


async def test_hidden_files_are_overwritten_only_by_who_knows(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.close(await peer.open("file", D.CREATE, file_attributes=HIDDEN))
        assert await _status(peer, "file", D.OVERWRITE) == Status.ACCESS_DENIED
        assert await _status(peer, "file", D.OVERWRITE, file_attributes=HIDDEN) == Status.SUCCESS


async def test_mode_bits_are_what_another_user_may_do(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        volume = served.volume
        inode = await volume.create(volume.root, b"file", 0o100640, 0, 0)
        folder = await volume.create(volume.root, b"closed", 0o040700, 0, 0)
        await volume.create(folder.number, b"inside", 0o100666, 0, 0)
        async with logged_in(served.port, OTHER_USER, OTHER_PASSWORD, SHARE) as peer:
            assert await _status(peer, "file", D.OPEN, desired_access=READ) == Status.ACCESS_DENIED
            assert await _status(peer, "file", D.OPEN, desired_access=ATTRIBUTES) == Status.SUCCESS
            assert await _status(peer, "closed\\inside", D.OPEN, desired_access=READ) == Status.ACCESS_DENIED
            assert await _status(peer, "new", D.CREATE) == Status.ACCESS_DENIED
            await volume.set_attributes(inode, AttributeChange(mode=0o644))
            fid = await peer.open("file", D.OPEN, desired_access=MAXIMUM)
            with pytest.raises(Refused) as refused:
                await peer.write(fid, 0, b"x")
            assert refused.value.status == Status.ACCESS_DENIED
            assert await _status(peer, "file", D.OPEN, desired_access=WRITE) == Status.ACCESS_DENIED
            assert await _status(peer, "file", D.OVERWRITE, desired_access=READ) == Status.ACCESS_DENIED
            assert await _status(peer, "file", D.OPEN, desired_access=DELETE) == Status.ACCESS_DENIED


async def test_a_read_only_share_changes_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[Share("fixed", read_only=True)]) as served:
        inode = await served.volume.create(served.volume.root, b"file", 0o100666, 0, 0)
        await served.volume.write(inode, 0, b"content")
        async with logged_in(served.port, USER, PASSWORD, "fixed") as peer:
            for disposition in (D.SUPERSEDE, D.OVERWRITE, D.OVERWRITE_IF):
                assert await _status(peer, "file", disposition, desired_access=READ) == Status.ACCESS_DENIED
            for access in (WRITE, APPEND, DELETE, 0x100, 0x40000):
                assert await _status(peer, "file", D.OPEN, desired_access=access) == Status.ACCESS_DENIED
            assert await _status(peer, "new", D.CREATE) == Status.ACCESS_DENIED
            fid = await peer.open("file", D.OPEN, desired_access=MAXIMUM)
            assert await peer.read(fid, 0, 100) == b"content"


async def test_a_share_of_a_folder_ends_at_the_folder(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[Share("part", path="folder")]) as served:
        folder = await served.volume.create(served.volume.root, b"folder", 0o040755, 0, 0)
        await served.volume.create(served.volume.root, b"outside", 0o100644, 0, 0)
        async with logged_in(served.port, USER, PASSWORD, "part") as peer:
            await peer.open("inside")
            assert await _status(peer, "..\\outside", D.OPEN) == Status.OBJECT_PATH_SYNTAX_BAD
            assert await _status(peer, "outside", D.OPEN) == Status.OBJECT_NAME_NOT_FOUND
            assert [entry.name for entry in await served.volume.list_directory(folder.number)] == [b"inside"]
            root_delete = await _status(peer, "", D.OPEN, desired_access=DELETE, create_options=0x1000)
            assert root_delete == Status.CANNOT_DELETE


async def test_what_a_new_file_should_set_aside_counts_while_its_open_stands(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:

        async def allocated(name: str, asked: int, disposition: int = D.OPEN_IF) -> int:
            contexts = ((b"AlSi", asked.to_bytes(8, "little")),)
            made = await peer.create(name, disposition, create_contexts=contexts)
            await peer.write(made.file_id, 0, b"x")
            response = await peer.call(Command.CLOSE, CloseRequest(made.file_id, CloseFlags.POSTQUERY_ATTRIB))
            assert CloseResponse.unpack(response.pdu).allocation_size == max(made.allocation_size, 4096)
            return made.allocation_size

        assert await allocated("small", 1) == 4096
        assert await allocated("large", 10000) == 12288
        assert await allocated("large", 20000) == 4096
        assert await allocated("large", 20000, D.OVERWRITE) == 20480
        with pytest.raises(Refused) as refused:
            await allocated("huge", 2**64 - 1)
        assert refused.value.status == Status.DISK_FULL


async def test_what_is_not_served_says_so(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.close(await peer.open("file"))
        for name, data in ((b"TWrp", bytes(8)), (b"DHnC", bytes(16)), (b"DH2C", bytes(36))):
            with pytest.raises(Refused) as refused:
                await peer.open("file", D.OPEN, create_contexts=((name, data),))
            assert refused.value.status == Status.OBJECT_NAME_NOT_FOUND
        by_id = CreateOptions.OPEN_BY_FILE_ID
        assert await _status(peer, "file", D.OPEN, create_options=by_id) == Status.NOT_SUPPORTED
        assert await _status(peer, "file", 6) == Status.INVALID_PARAMETER
        assert await _status(peer, "file", share_access=8) == Status.INVALID_PARAMETER
        assert await _status(peer, "file", desired_access=0) == Status.ACCESS_DENIED


async def test_close_tells_the_attributes_when_asked(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, b"x" * 5000)
        response = await peer.call(Command.CLOSE, CloseRequest(fid, CloseFlags.POSTQUERY_ATTRIB))
        closed = CloseResponse.unpack(response.pdu)
        assert (closed.end_of_file, closed.allocation_size, closed.file_attributes) == (5000, 8192, ARCHIVE)
        with pytest.raises(Refused) as refused:
            await peer.close(fid)
        assert refused.value.status == Status.FILE_CLOSED


async def test_opens_of_a_session_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.opens.MAX_OPENS_PER_SESSION", 3)
    async with serve(tmp_path) as served, _session(served) as peer:
        fids = [await peer.open("file") for _ in range(3)]
        assert await _status(peer, "file") == Status.TOO_MANY_OPENED_FILES
        await peer.close(fids[0])
        assert await _status(peer, "file") == Status.SUCCESS


@pytest.mark.parametrize("stream", ["", ":s"])
async def test_creates_at_work_at_once_open_no_more_than_a_session_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    waiting, together, whole = count(1), trio.Event(), Volume.create

    async def create(*arguments: Any, **more: Any) -> Inode:
        if next(waiting) == 4:
            together.set()
        await together.wait()
        return await whole(*arguments, **more)

    monkeypatch.setattr("odxfs.smb.opens.MAX_OPENS_PER_SESSION", 3)
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.open("")
        await peer.open("")
        monkeypatch.setattr(Volume, "create", create)
        requests = [CreateRequest(f"{number}{stream}", FILE_ALL_ACCESS, 7, D.CREATE) for number in range(4)]
        messages = [await peer.send(Command.CREATE, request) for request in requests]
        found = [Status((await peer.final(message)).header.status) for message in messages]
        assert sorted(found) == [Status.SUCCESS] + 3 * [Status.TOO_MANY_OPENED_FILES]
        (entry,) = await served.volume.list_directory(served.volume.root)
        assert entry.name == str(found.index(Status.SUCCESS)).encode()


async def test_extended_attributes_of_a_new_file_are_kept(tmp_path: Path) -> None:
    ea = bytes.fromhex("00000000 00 04 0500") + b"NAME\0value"
    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.open("file", create_contexts=((b"ExtA", ea),))
        inode = await served.volume.lookup(served.volume.root, b"file")
        assert await served.volume.get_xattr(inode, b"user.NAME") == b"value"


def _extended_attribute(name: bytes, value: bytes = b"value") -> tuple[bytes, bytes]:
    return EA_BUFFER, pack_full_ea([ExtendedAttribute(name, value)])


@pytest.mark.parametrize(
    "refused_context",
    [
        _extended_attribute(b"a:b"),
        _extended_attribute(b"n" * 255),
        (AllocationSize.NAME, AllocationSize(1 << 60).pack()),
    ],
)
@pytest.mark.parametrize("stream", ["", ":s"])
async def test_what_is_refused_has_changed_nothing(
    tmp_path: Path, refused_context: tuple[bytes, bytes], stream: str
) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("f" + stream)
        await peer.write(fid, 0, b"precious")
        for name, disposition in (
            ("f", D.OVERWRITE_IF),
            ("f", D.SUPERSEDE),
            ("f", D.OVERWRITE),
            ("new", D.CREATE),
        ):
            with pytest.raises(Refused):
                await peer.create(name + stream, disposition, create_contexts=(refused_context,))
        assert await peer.read(fid, 0, 100) == b"precious"
        assert {entry.name for entry in await served.volume.list_directory(served.volume.root)} == {b"f"}
        await peer.create("f" + stream, D.OPEN, create_contexts=(refused_context,))


@pytest.mark.parametrize("stream", ["", ":s"])
@pytest.mark.parametrize("create_options", [0, CreateOptions.DELETE_ON_CLOSE])
async def test_who_may_not_have_what_he_makes_makes_nothing(
    tmp_path: Path, stream: str, create_options: int
) -> None:
    """To delete it when it is closed needs DELETE, which the open does not ask for."""
    async with serve(tmp_path) as served, _session(served) as peer:
        wishes = {"desired_access": 0x2, "create_options": create_options}
        expected = Status.ACCESS_DENIED if create_options else Status.SUCCESS
        assert await _status(peer, "new" + stream, D.CREATE, **wishes) == expected
        assert len(await served.volume.list_directory(served.volume.root)) == (not create_options)


async def test_a_file_is_not_made_for_a_stream_that_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise QuotaExceeded("there is no room for it")

    async with serve(tmp_path) as served, _session(served) as peer:
        with monkeypatch.context() as patch:
            patch.setattr(Volume, "create_stream", full)
            assert await _status(peer, "new:s", D.CREATE) == Status.DISK_FULL
        assert await served.volume.list_directory(served.volume.root) == []
        assert await _status(peer, "new:s", D.CREATE) == Status.SUCCESS


@pytest.mark.parametrize(
    ("name", "create_options"), [("new", 0), ("new", CreateOptions.DIRECTORY_FILE), ("new:s", 0)]
)
async def test_what_fails_when_it_is_made_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, create_options: int
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise AttributeTooLarge("there is no room for it")

    monkeypatch.setattr(Volume, "set_xattr", full)
    async with serve(tmp_path) as served, _session(served) as peer:
        with pytest.raises(Refused) as refused:
            await peer.open(
                name, create_options=create_options, create_contexts=(_extended_attribute(b"NAME"),)
            )
        assert refused.value.status == Status.EA_TOO_LARGE
        assert await served.volume.list_directory(served.volume.root) == []


@pytest.mark.parametrize("name", ["new", "new:s"])
@pytest.mark.parametrize(("found_name", "is_closed"), [("new", False), ("new", True), ("new:other", True)])
async def test_what_fails_when_it_is_made_stays_for_who_has_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, found_name: str, is_closed: bool
) -> None:
    made, found = trio.Event(), trio.Event()

    async def full(*_: object, **__: object) -> None:
        made.set()
        await found.wait()
        raise AttributeTooLarge("there is no room for it")

    monkeypatch.setattr(Volume, "set_xattr", full)
    async with serve(tmp_path) as served, _session(served) as peer, _session(served) as other:
        refused = await peer.send(
            Command.CREATE,
            CreateRequest(
                name, FILE_ALL_ACCESS, 7, D.CREATE, create_contexts=(_extended_attribute(b"NAME"),)
            ),
        )
        await made.wait()
        fid = await other.open(found_name)
        if is_closed:
            await other.write(fid, 0, b"theirs")
            await other.close(fid)
        found.set()
        assert (await peer.final(refused)).header.status == Status.EA_TOO_LARGE
        if not is_closed:
            await other.write(fid, 0, b"theirs")
            await other.close(fid)
        assert await other.read(await other.open(found_name, D.OPEN), 0, 100) == b"theirs"


async def test_an_open_that_fails_deletes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise NotFound("it has gone")

    async with serve(tmp_path) as served, _session(served) as peer:
        await peer.close(await peer.open("f"))
        with monkeypatch.context() as patch:
            patch.setattr("odxfs.smb.handlers.create.keep_record", fail)
            delete = CreateOptions.DELETE_ON_CLOSE
            assert await _status(peer, "f", D.OPEN, create_options=delete) == Status.OBJECT_NAME_NOT_FOUND
        assert await _status(peer, "f", D.OPEN) == Status.SUCCESS
