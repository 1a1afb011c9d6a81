"""What the share lets a user do to what is not his, by mode bits: no more than the mount."""

import os
import stat
from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.volume import AttributeChange, create_pool, open_pool
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.classes import ReparseTag
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea
from odxfs.wire.fscc.file_names import FileLinkInformation, FileRenameInformation
from odxfs.wire.fscc.security_descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from odxfs.wire.fscc.sid import Sid
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.reparse import RELATIVE, ReparseData, SymbolicLinkData
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType, SecurityInformation
from odxfs.wire.read import ReadRequest
from tests.support.remote import DIRECTORY, READ_ONLY_SHARE, Remote, remote, served
from tests.support.serving import OTHER_PASSWORD, OTHER_USER

BOB = (OTHER_USER, OTHER_PASSWORD)
BOBS_UID = 1001
OPEN, ITSELF = CreateDisposition.OPEN, CreateOptions.OPEN_REPARSE_POINT
GONE = ReparseData(ReparseTag.SYMLINK).pack()
NOTHING = SecurityDescriptor(None, None, None, None, Control.SELF_RELATIVE).pack()
READ, WRITE, WRITE_EA, EXECUTE, READ_ATTRIBUTES, WRITE_ATTRIBUTES, DELETE = (
    1,
    2,
    0x10,
    0x20,
    0x80,
    0x100,
    0x10000,
)
MAXIMUM_ALLOWED = 0x0200_0000


def link(target: str) -> bytes:
    return ReparseData(ReparseTag.SYMLINK, SymbolicLinkData(target, target, RELATIVE).pack()).pack()


@pytest.mark.parametrize(
    ("control", "data"),
    [(Fsctl.SET_REPARSE_POINT, link("..\\evil")), (Fsctl.DELETE_REPARSE_POINT, GONE)],
)
async def test_a_link_of_another_stays_what_it_is(tmp_path: Path, control: int, data: bytes) -> None:
    async with served(tmp_path) as share, remote(share, login=BOB) as bob:
        made = await share.volume.create(
            share.volume.root, b"current", stat.S_IFLNK | 0o777, 0, 0, target=b"releases/1"
        )
        await share.volume.create(share.volume.root, b"bob", stat.S_IFDIR | 0o755, BOBS_UID, BOBS_UID)
        for access in (WRITE_ATTRIBUTES, WRITE_EA):
            assert (await bob.try_create("current", OPEN, ITSELF, access=access))[0] is Status.ACCESS_DENIED
        fid = await bob.create("current", OPEN, ITSELF, access=READ_ATTRIBUTES)
        assert (await bob.fsctl(fid, control, data))[0] is Status.ACCESS_DENIED
        assert await bob.set(fid, Class.LINK, FileLinkInformation("bob\\l").pack()) is Status.ACCESS_DENIED
        assert (made.is_symlink, made.target, made.nlink) == (True, b"releases/1", 1)


async def test_who_names_no_part_of_a_descriptor_changes_nothing(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as share,
        remote(share, READ_ONLY_SHARE, login=BOB) as bob,
        remote(share) as administrator,
    ):
        volume = share.volume
        tool = await volume.create(volume.root, b"tool", stat.S_IFREG | 0o6755, 1000, 1000)
        folder = await volume.create(volume.root, b"open", stat.S_IFDIR | 0o777, 1000, 1000)
        for name in ("tool", "open"):
            fid = await bob.create(name, OPEN, access=READ_ATTRIBUTES)
            await bob.set(fid, 0, NOTHING, InfoType.SECURITY, 0)
            await bob.close(fid)
        assert (tool.mode & 0o7777, folder.mode & 0o7777) == (0o6755, 0o777)
        assert await volume.security(tool) == b""
        assert (await administrator.try_create("tool", OPEN, access=WRITE))[0] is Status.SUCCESS


async def test_the_catalog_of_a_pool_in_an_open_folder_is_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        directory = tmp_path / "pool"
        directory.mkdir(mode=0o755)
        create_pool(directory)
        (directory / "catalog.db").chmod(0o644)  # as pools have it that were made before
        async with open_pool(directory, owner="tests") as pool:
            volume = pool.volume("main")
            inode = await volume.create(volume.root, b"letter to my lawyer", stat.S_IFREG | 0o600, 1000, 1000)
            await volume.sync(inode)
            assert [path.name for path in directory.rglob("*") if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


async def _through_a_link(client: Remote, name: str) -> None:
    fid = await client.create(name, OPEN, ITSELF)
    assert (await client.fsctl(fid, Fsctl.SET_REPARSE_POINT, link("there")))[0] is Status.SUCCESS
    assert (await client.fsctl(fid, Fsctl.DELETE_REPARSE_POINT, GONE))[0] is Status.SUCCESS
    await client.close(fid)


async def test_what_was_private_before_it_was_a_link_is_private_afterwards(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, login=BOB) as bob:
        made = await share.volume.create(share.volume.root, b"mine", stat.S_IFREG | 0o600, BOBS_UID, BOBS_UID)
        await _through_a_link(bob, "mine")
        assert stat.S_IMODE(made.mode) == 0o600
        sid = Sid.parse(next(user.sid for user in share.server.users.list() if user.name == OTHER_USER))
        entry = Ace(AceType.ACCESS_ALLOWED, 0, 0x1F01FF, sid)
        listed = SecurityDescriptor(
            None, None, Acl((entry,)), None, Control.SELF_RELATIVE | Control.DACL_PRESENT
        )
        fid = await bob.create("mine", OPEN)
        assert (
            await bob.set(fid, 0, listed.pack(), InfoType.SECURITY, SecurityInformation.DACL)
            is Status.SUCCESS
        )
        await bob.close(fid)
        mode = made.mode
        await _through_a_link(bob, "mine")
        assert made.mode == mode


async def test_what_others_may_fill_stays_what_it_is(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, login=BOB) as bob:
        made = await share.volume.create(share.volume.root, b"tmp", stat.S_IFDIR | 0o1777, 0, 0)
        fid = await bob.create("tmp", OPEN, DIRECTORY, access=WRITE)
        refused = await bob.fsctl(fid, Fsctl.SET_REPARSE_POINT, link("..\\evil"))
        assert refused[0] is Status.ACCESS_DENIED
        assert made.is_directory


async def test_a_program_that_may_only_be_run_is_not_read(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, login=BOB) as bob:
        made = await share.volume.create(share.volume.root, b"program", stat.S_IFREG | 0o711, 0, 0)
        await share.volume.write(made, 0, b"secret bytes")
        for access in (READ, EXECUTE):
            assert (await bob.try_create("program", OPEN, access=access))[0] is Status.ACCESS_DENIED
        made = await share.volume.create(share.volume.root, b"open", stat.S_IFREG | 0o755, 0, 0)
        await share.volume.write(made, 0, b"bytes")
        fid = await bob.create("open", OPEN, access=EXECUTE)
        assert (await bob.call(Command.READ, ReadRequest(fid, 0, 5).pack())).header.status == 0


async def test_an_owner_deletes_nothing_from_a_folder_that_he_may_not_write(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, login=BOB) as bob:
        folder = await share.volume.create(share.volume.root, b"d", stat.S_IFDIR | 0o755, 0, 0)
        await share.volume.create(folder.number, b"f", stat.S_IFREG | 0o644, BOBS_UID, BOBS_UID)
        refused, _ = await bob.try_create("d\\f", OPEN, CreateOptions.DELETE_ON_CLOSE, access=DELETE)
        assert refused is Status.ACCESS_DENIED
        fid = await bob.create("d\\f", OPEN)  # all that an owner may ask for
        assert await bob.set(fid, Class.DISPOSITION, b"\1") is Status.ACCESS_DENIED
        await bob.close(fid)
        assert len(await share.volume.list_directory(folder.number)) == 1


async def test_a_stream_becomes_the_data_of_a_file_only_for_who_may_write_it(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as share,
        remote(share) as administrator,
        remote(share, login=BOB) as bob,
    ):
        folder = await share.volume.create(share.volume.root, b"d", stat.S_IFDIR | 0o777, 0, 0)
        made = await share.volume.create(folder.number, b"f", stat.S_IFREG | 0o666, 0, 0)
        fid = await administrator.create("d\\f:s", CreateDisposition.CREATE)
        await administrator.write(fid, 0, b"stream")
        await administrator.close(fid)
        fid = await bob.create("d\\f:s", OPEN, access=DELETE)
        await share.volume.set_attributes(made, AttributeChange(mode=stat.S_IFREG | 0o644))
        refused = await bob.set(fid, Class.RENAME, FileRenameInformation("::$DATA").pack())
        assert refused is Status.ACCESS_DENIED
        assert made.size == 0


async def test_the_right_to_remove_names_deletes_no_stream_of_a_file_that_one_may_not_write(
    tmp_path: Path,
) -> None:
    """The bytes that would go are those of the file's name in a closed folder as well."""
    async with (
        served(tmp_path) as share,
        remote(share) as administrator,
        remote(share, login=BOB) as bob,
    ):
        volume = share.volume
        folder = await volume.create(volume.root, b"d", stat.S_IFDIR | 0o777, 0, 0)
        closed = await volume.create(volume.root, b"closed", stat.S_IFDIR | 0o700, 0, 0)
        made = await volume.create(closed.number, b"f", stat.S_IFREG | 0o644, 0, 0)
        await administrator.close(await administrator.create("closed\\f:s", CreateDisposition.CREATE))
        await volume.link(made, folder.number, b"f")
        for options in (0, CreateOptions.DELETE_ON_CLOSE):
            refused, _ = await bob.try_create("d\\f:s", OPEN, options, access=DELETE)
            assert refused is Status.ACCESS_DENIED
        await bob.close(await bob.create("d\\f:s", OPEN, access=MAXIMUM_ALLOWED))
        assert [entry.name for entry in await volume.list_streams(made)] == [b"s"]
        await volume.set_attributes(made, AttributeChange(mode=stat.S_IFREG | 0o666))
        await bob.close(await bob.create("d\\f:s", OPEN, CreateOptions.DELETE_ON_CLOSE, access=DELETE))
        assert await volume.list_streams(made) == []


@pytest.mark.parametrize("name", [b"odxfs.token.0.512", b"ODXFS.write.0.512.0"])
async def test_no_client_stores_what_programs_on_the_mount_take_for_a_token(
    tmp_path: Path, name: bytes
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("file")
        reserved = pack_full_ea([ExtendedAttribute(name, b"x")])
        assert await client.set(fid, Class.FULL_EA, reserved) is Status.INVALID_EA_NAME
