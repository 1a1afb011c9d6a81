"""Security descriptors over SMB: kept whole, obeyed, inherited, and what the mount's chmod does to them."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from odxfs.client.client import connect
from odxfs.ntstatus import Status
from odxfs.smb.shares import Share
from odxfs.volume import AttributeChange
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.directory_information import unpack_entries
from odxfs.wire.fscc.security_descriptor import (
    Ace,
    AceFlags,
    AceType,
    Acl,
    Control,
    OpaqueAce,
    SecurityDescriptor,
)
from odxfs.wire.fscc.sid import ADMINISTRATORS, CREATOR_OWNER, EVERYONE, LOCAL_SYSTEM, Sid, unix_user
from odxfs.wire.header import Command
from odxfs.wire.query_directory import QueryDirectoryRequest, QueryDirectoryResponse
from odxfs.wire.query_info import InfoType, SecurityInformation
from tests.support.remote import DIRECTORY, Remote, remote, served
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, SHARE, Served, serve

OWNER, GROUP, DACL, SACL = (
    SecurityInformation.OWNER,
    SecurityInformation.GROUP,
    SecurityInformation.DACL,
    SecurityInformation.SACL,
)
VIRTUAL_MACHINE = Sid.parse("S-1-5-83-1-2571430233-1208214391-3040432568-3921107337")
COMPUTER = Sid.parse("S-1-5-21-1004336348-1177238915-682003330-1187")
SECURITY_ACCESS = Access.READ_CONTROL | Access.WRITE_DAC | Access.WRITE_OWNER | Access.DELETE
BOTH = AceFlags.OBJECT_INHERIT | AceFlags.CONTAINER_INHERIT


def allow(sid: Sid, mask: int, flags: int = 0) -> Ace:
    return Ace(AceType.ACCESS_ALLOWED, flags, mask, sid)


def deny(sid: Sid, mask: int) -> Ace:
    return Ace(AceType.ACCESS_DENIED, 0, mask, sid)


def dacl(*aces: Ace | OpaqueAce, control: int = 0) -> bytes:
    return SecurityDescriptor(dacl=Acl(aces), control=control).pack()


async def get(client: Remote, fid: FileId, parts: int = OWNER | GROUP | DACL) -> SecurityDescriptor:
    status, data = await client.query(fid, 0, InfoType.SECURITY, parts=parts)
    assert status is Status.SUCCESS
    return SecurityDescriptor.unpack(data)


async def put(client: Remote, fid: FileId, data: bytes, parts: int = DACL) -> Status:
    return await client.set(fid, 0, data, InfoType.SECURITY, parts=parts)


@asynccontextmanager
async def bob_on(running: Served) -> AsyncIterator[Remote]:
    async with connect("127.0.0.1", running.port, OTHER_USER, OTHER_PASSWORD, dialects=(0x0311,)) as client:
        yield Remote(await client.tree(SHARE))


def sid_of(running: Served, name: str) -> Sid:
    user = running.server.users.find(name)
    assert user is not None
    return Sid.parse(user.sid)


async def test_what_a_client_sets_is_kept_whole(tmp_path: Path) -> None:
    object_ace = OpaqueAce(0x05, 0, b"\x01\0\0\0" + bytes(4) + COMPUTER.pack())
    callback = Ace(AceType.ACCESS_ALLOWED_CALLBACK, 0, 1, EVERYONE, b"artx\0\0\0\0")
    entries = (deny(COMPUTER, 2), allow(VIRTUAL_MACHINE, 0x1F01FF), object_ace, callback)
    wanted = SecurityDescriptor(VIRTUAL_MACHINE, COMPUTER, Acl(entries, 4), control=Control.DACL_PROTECTED)
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("f", access=SECURITY_ACCESS)
        assert await put(client, fid, wanted.pack(), OWNER | GROUP | DACL) is Status.SUCCESS
        assert (await get(client, fid)).pack() == wanted.pack()
        await client.close(fid)
        snapshot = await share.pool.snapshots.create("main", "s")
        inode = await share.volume.lookup(share.volume.root, b"f")
        await share.volume.set_attributes(inode, AttributeChange(security=b""))
        then = share.pool.snapshot_volume("main", snapshot.name)
        assert await then.security(await then.lookup(then.root, b"f")) == wanted.pack()


async def test_a_descriptor_that_is_none_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("f", access=SECURITY_ACCESS)
        before = await get(client, fid)
        for data in (b"", bytes(20), dacl(allow(EVERYONE, 1))[:-1]):
            assert await put(client, fid, data) is not Status.SUCCESS
        assert await get(client, fid) == before


async def test_the_list_decides_and_nothing_else(tmp_path: Path) -> None:
    """Bob may what the entries allow him in their order; mode bits of before count no more."""
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        fid = await client.make_file("f", b"data")
        bobs = sid_of(share, OTHER_USER)
        full = allow(EVERYONE, Access.FILE_ALL_ACCESS)
        for data, asked, status in (
            (dacl(allow(bobs, Access.GENERIC_READ)), Access.FILE_GENERIC_READ, Status.SUCCESS),
            (dacl(allow(bobs, Access.GENERIC_READ)), Access.FILE_WRITE_DATA, Status.ACCESS_DENIED),
            (dacl(deny(bobs, Access.FILE_READ_DATA), full), Access.FILE_READ_DATA, Status.ACCESS_DENIED),
            (dacl(deny(bobs, Access.FILE_READ_DATA), full), Access.FILE_WRITE_DATA, Status.SUCCESS),
            (dacl(full, deny(bobs, Access.FILE_READ_DATA)), Access.FILE_READ_DATA, Status.SUCCESS),
            (dacl(allow(unix_user(1001), 1)), Access.FILE_READ_DATA, Status.SUCCESS),
            (dacl(), Access.FILE_READ_DATA, Status.ACCESS_DENIED),
            (dacl(allow(EVERYONE, 1, AceFlags.INHERIT_ONLY)), Access.FILE_READ_DATA, Status.ACCESS_DENIED),
        ):
            assert await put(client, fid, data) is Status.SUCCESS
            found, opened = await bob.try_create("f", CreateDisposition.OPEN, access=asked)
            assert found is status
            if status is Status.SUCCESS:
                await bob.close(opened)


async def test_an_administrator_is_locked_out_by_a_list_and_comes_in_with_backup_intent(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("f", access=SECURITY_ACCESS)
        taken = SecurityDescriptor(LOCAL_SYSTEM, None, Acl()).pack()
        assert await put(client, fid, taken, OWNER | DACL) is Status.SUCCESS
        await client.close(fid)
        refused, _ = await client.try_create("f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
        assert refused is Status.ACCESS_DENIED
        intent = CreateOptions.OPEN_FOR_BACKUP_INTENT
        again = await client.create("f", CreateDisposition.OPEN, intent, access=SECURITY_ACCESS)
        owner = SecurityDescriptor(owner=ADMINISTRATORS).pack()
        assert await put(client, again, owner, OWNER) is Status.SUCCESS
        await client.close(again)
        await client.close(await client.create("f", CreateDisposition.OPEN, access=Access.WRITE_DAC))


async def test_only_who_holds_the_privilege_makes_others_owners_and_sees_audit_lists(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        root = await share.volume.inode(share.volume.root)
        await share.volume.set_attributes(root, AttributeChange(mode=0o777))
        fid = await bob.create("f", access=SECURITY_ACCESS)
        for owner in (ADMINISTRATORS, sid_of(share, "alice"), EVERYONE):
            given = SecurityDescriptor(owner=owner).pack()
            assert await put(bob, fid, given, OWNER) is Status.INVALID_OWNER
        system = Access.ACCESS_SYSTEM_SECURITY
        assert (await bob.try_create("f", access=system))[0] is Status.PRIVILEGE_NOT_HELD
        audited = await client.create("f", access=system | Access.READ_CONTROL)
        sacl = SecurityDescriptor(sacl=Acl((Ace(AceType.SYSTEM_AUDIT, 0x40, 2, EVERYONE),))).pack()
        assert await put(client, audited, sacl, SACL) is Status.SUCCESS
        assert (await get(client, audited, SACL)).pack() == sacl
        assert (await get(client, audited, DACL)).sacl is None
        assert (await bob.query(fid, 0, InfoType.SECURITY, parts=SACL))[0] is Status.ACCESS_DENIED


async def test_new_files_inherit_and_may_be_opened_by_who_inherits(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        bobs = sid_of(share, OTHER_USER)
        entries = (
            allow(bobs, Access.FILE_ALL_ACCESS, BOTH),
            allow(CREATOR_OWNER, Access.GENERIC_ALL, BOTH | AceFlags.INHERIT_ONLY),
        )
        both = Control.DACL_AUTO_INHERITED | Control.DACL_AUTO_INHERIT_REQUIRED
        assert await put(client, folder, dacl(*entries, control=both)) is Status.SUCCESS
        fid = await bob.make_file(r"d\f")
        made = await get(bob, fid)
        inherited = AceFlags.INHERITED
        assert made.owner == bobs
        assert made.control & Control.DACL_AUTO_INHERITED
        assert made.dacl == Acl((allow(bobs, 0x1F01FF, inherited), allow(bobs, 0x1F01FF, inherited)))
        below = await get(bob, await bob.make_directory(r"d\e"))
        assert below.dacl is not None
        assert [ace.ace_flags for ace in below.dacl.aces] == [
            BOTH | inherited,
            inherited,
            BOTH | inherited | AceFlags.INHERIT_ONLY,
        ]
        refused, _ = await client.try_create(r"d\f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
        assert refused is Status.ACCESS_DENIED


async def test_what_inherits_nothing_below_a_list_is_its_makers_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        assert await put(client, folder, dacl(allow(EVERYONE, Access.FILE_ALL_ACCESS))) is Status.SUCCESS
        await client.close(await client.make_file(r"d\f"))
        refused, _ = await bob.try_create(r"d\f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
        assert refused is Status.ACCESS_DENIED
        inode = await share.volume.lookup((await share.volume.lookup(share.volume.root, b"d")).number, b"f")
        assert stat.S_IMODE(inode.mode) == 0o700


async def test_a_parent_gives_the_right_to_delete(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        bobs = sid_of(share, OTHER_USER)
        fid = await client.create(r"d\f", access=SECURITY_ACCESS)
        assert await put(client, fid, dacl()) is Status.SUCCESS
        await client.close(fid)
        enter = Access.FILE_TRAVERSE | Access.FILE_ADD_FILE
        for mask, status in (
            (enter, Status.ACCESS_DENIED),
            (enter | Access.FILE_DELETE_CHILD, Status.SUCCESS),
        ):
            assert await put(client, folder, dacl(allow(bobs, mask))) is Status.SUCCESS
            options = CreateOptions.DELETE_ON_CLOSE
            found, opened = await bob.try_create(
                r"d\f", CreateDisposition.OPEN, options, access=Access.DELETE
            )
            assert found is status
        await bob.close(opened)
        assert (await bob.try_create(r"d\f", CreateDisposition.OPEN))[0] is Status.OBJECT_NAME_NOT_FOUND


async def test_files_and_folders_are_added_by_different_rights(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        bobs = sid_of(share, OTHER_USER)
        for right, file, directory in (
            (Access.FILE_ADD_FILE, Status.SUCCESS, Status.ACCESS_DENIED),
            (Access.FILE_ADD_SUBDIRECTORY, Status.ACCESS_DENIED, Status.SUCCESS),
        ):
            assert (
                await put(client, folder, dacl(allow(bobs, right | Access.FILE_TRAVERSE))) is Status.SUCCESS
            )
            create = CreateDisposition.CREATE
            assert (await bob.try_create(rf"d\f{right}", create))[0] is file
            assert (await bob.try_create(rf"d\d{right}", create, DIRECTORY))[0] is directory


async def test_a_closed_folder_closes_what_is_in_it(tmp_path: Path) -> None:
    """No bypass of traverse checking: as on the mount, what lies in a folder that one may not pass is out of reach."""
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        await client.close(await client.make_file(r"d\f"))
        await bob.close(await bob.create(r"d\f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA))
        full = allow(sid_of(share, "alice"), Access.FILE_ALL_ACCESS)
        assert await put(client, folder, dacl(full)) is Status.SUCCESS
        refused, _ = await bob.try_create(r"d\f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
        assert refused is Status.ACCESS_DENIED


async def test_all_that_is_allowed_is_refused_where_that_is_nothing(tmp_path: Path) -> None:
    """An open without rights would be told size, times and streams, and would keep the name of what its owner deletes."""
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        folder = await client.make_directory("d")
        fid = await client.make_file(r"d\f", b"secret")
        bobs = sid_of(share, OTHER_USER)
        assert await put(client, folder, dacl(allow(bobs, Access.FILE_TRAVERSE))) is Status.SUCCESS
        for mask, status in ((0, Status.ACCESS_DENIED), (Access.FILE_READ_ATTRIBUTES, Status.SUCCESS)):
            assert await put(client, fid, dacl(allow(bobs, mask))) is Status.SUCCESS
            found, _ = await bob.try_create(r"d\f", CreateDisposition.OPEN, access=Access.MAXIMUM_ALLOWED)
            assert found is status


async def test_the_mode_never_gives_more_than_the_list(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("f", access=SECURITY_ACCESS)
        alice, bobs = sid_of(share, "alice"), sid_of(share, OTHER_USER)
        full, read = Access.FILE_ALL_ACCESS, Access.GENERIC_READ
        inode = await share.volume.lookup(share.volume.root, b"f")
        for entries, mode in (
            ((allow(alice, full),), 0o700),
            ((allow(alice, full), allow(EVERYONE, read)), 0o744),
            ((deny(bobs, Access.FILE_READ_DATA), allow(alice, full), allow(EVERYONE, read)), 0o700),
            ((deny(COMPUTER, Access.FILE_EXECUTE), allow(alice, full)), 0o600),
            ((allow(bobs, full), allow(VIRTUAL_MACHINE, full)), 0o000),
        ):
            assert await put(client, fid, dacl(*entries)) is Status.SUCCESS
            assert oct(stat.S_IMODE(inode.mode)) == oct(mode)
        nobodys = SecurityDescriptor(owner=COMPUTER).pack()
        assert await put(client, fid, nobodys, OWNER) is Status.SUCCESS
        assert inode.uid == 0
        assert await put(client, fid, SecurityDescriptor(owner=bobs).pack(), OWNER) is Status.SUCCESS
        assert (inode.uid, stat.S_IMODE(inode.mode)) == (1001, 0o700)


async def test_chmod_has_the_last_word(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, bob_on(share) as bob:
        fid = await client.create("f", access=SECURITY_ACCESS)
        bobs = sid_of(share, OTHER_USER)
        assert await put(client, fid, dacl(allow(bobs, Access.FILE_ALL_ACCESS))) is Status.SUCCESS
        await client.close(fid)
        await bob.close(await bob.create("f", CreateDisposition.OPEN))
        inode = await share.volume.lookup(share.volume.root, b"f")
        await share.volume.set_attributes(inode, AttributeChange(mtime_ns=5))
        await bob.close(await bob.create("f", CreateDisposition.OPEN))
        await share.volume.set_attributes(inode, AttributeChange(mode=0o600))
        refused, _ = await bob.try_create("f", CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
        assert refused is Status.ACCESS_DENIED


async def test_the_groups_of_a_user_count_from_his_next_login(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        users = share.server.users
        staff = users.add_group("staff", 2001)
        fid = await client.make_file("f")
        assert await put(client, fid, dacl(allow(Sid.parse(staff.sid), 1))) is Status.SUCCESS
        await client.close(await client.make_file("g"))
        inode = await share.volume.lookup(share.volume.root, b"g")
        await share.volume.set_attributes(inode, AttributeChange(mode=0o640, gid=2001))
        for member, status in ((False, Status.ACCESS_DENIED), (True, Status.SUCCESS)):
            if member:
                users.set_member("STAFF", OTHER_USER, member=True)
            async with bob_on(share) as bob:
                for name in "fg":
                    opened = await bob.try_create(name, CreateDisposition.OPEN, access=Access.FILE_READ_DATA)
                    assert opened[0] is status


async def test_a_clone_and_a_copy_of_a_tree_carry_descriptors(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        wanted = dacl(allow(VIRTUAL_MACHINE, 1))
        assert await put(client, folder, wanted) is Status.SUCCESS
        kept = await share.volume.security(await share.volume.lookup(share.volume.root, b"d"))
        await client.close(folder)
        await share.pool.snapshots.create("main", "s")
        await share.pool.volumes.clone("copy", "main", "s")
        clone = share.pool.volume("copy")
        assert await clone.security(await clone.lookup(clone.root, b"d")) == kept
        await share.pool.snapshots.restore_path("main", "s", "d", "e", replace=False)
        assert await share.volume.security(await share.volume.lookup(share.volume.root, b"e")) == kept


async def test_a_share_may_hide_what_one_may_not_read(tmp_path: Path) -> None:
    hiding = Share("hiding", access_based_enumeration=True)
    async with serve(tmp_path / "pool", shares=[hiding]) as share, remote(share) as client:
        secret = await client.make_file("secret")
        assert await put(client, secret, dacl(allow(sid_of(share, "alice"), 0x1F01FF))) is Status.SUCCESS
        await client.close(await client.make_file("open"))
        for name, seen in ((SHARE, {"open", "secret"}), ("hiding", {"open"})):
            async with connect("127.0.0.1", share.port, OTHER_USER, OTHER_PASSWORD) as other:
                tree = await other.tree(name)
                bob = Remote(tree)
                root = await bob.create("", CreateDisposition.OPEN, access=Access.FILE_LIST_DIRECTORY)
                request = QueryDirectoryRequest(FileInformationClass.NAMES, root, "*", 65536)
                response = await bob.call(Command.QUERY_DIRECTORY, request.pack())
                listed = QueryDirectoryResponse.unpack(response.pdu).output_buffer
                names = {entry.file_name for entry in unpack_entries(FileInformationClass.NAMES, listed)}
                assert names - {".", ".."} == seen


async def test_lists_are_as_long_as_lists_may_be_and_no_longer(tmp_path: Path) -> None:
    """A list of full length is kept; one that would grow past it, by inheritance or by a part that is added, is refused."""
    longest = tuple(allow(CREATOR_OWNER, 1 << number % 9, BOTH) for number in range(2048))
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.create("d", options=DIRECTORY, access=Access.FILE_ALL_ACCESS | 0x01000000)
        assert await put(client, folder, dacl(*longest)) is Status.SUCCESS
        assert (await get(client, folder, DACL)).dacl == Acl(longest)
        assert (await client.try_create(r"d\\e", CreateDisposition.CREATE, DIRECTORY))[
            0
        ] is not Status.INTERNAL_ERROR
        audits = Acl(tuple(Ace(AceType.SYSTEM_AUDIT, 0x40, 1, VIRTUAL_MACHINE) for _ in range(1400)))
        refused = await put(client, folder, SecurityDescriptor(sacl=audits).pack(), SACL)
        assert refused is Status.INVALID_SECURITY_DESCR
        assert (await get(client, folder, DACL)).dacl == Acl(longest)
