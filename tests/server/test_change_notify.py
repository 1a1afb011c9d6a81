"""CHANGE_NOTIFY: changes from SMB and from the mount's side, filters, depth, cancel, overflow and the end of a watch."""

import stat
from pathlib import Path

import trio

from odxfs.client.connection import Pending
from odxfs.ntstatus import Status
from odxfs.smb.notify.watch import Filter
from odxfs.volume import AttributeChange
from odxfs.wire.change_notify import ChangeNotifyFlags, ChangeNotifyRequest, ChangeNotifyResponse
from odxfs.wire.create import CreateDisposition, CreateOptions
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fscc.notify import NotifyAction, unpack_notify_information
from odxfs.wire.header import Command
from tests.support.remote import DIRECTORY, Remote, remote, served
from tests.support.serving import OTHER_PASSWORD, OTHER_USER

NAMES = 0x3
EVERYTHING = 0xFFF
TREE = ChangeNotifyFlags.WATCH_TREE


async def watch(
    client: Remote, fid: FileId, wanted: int = EVERYTHING, flags: int = 0, room: int = 4096
) -> Pending:
    """A CHANGE_NOTIFY under way; the server has answered it or told that it waits."""
    request = ChangeNotifyRequest(fid, wanted, room, flags)
    pending = client.tree.submit(Command.CHANGE_NOTIFY, request.pack())
    await client.tree.session.connection.flush()
    while not pending.interim and not pending.done:
        await trio.lowlevel.checkpoint()
    return pending


async def told(pending: Pending) -> tuple[Status, list[tuple[int, str]]]:
    with trio.fail_after(60):
        response = await pending.wait()
    status = Status(response.header.status)
    if status is not Status.SUCCESS:
        return status, []
    data = ChangeNotifyResponse.unpack(response.pdu).output_buffer
    return status, [(entry.action, entry.file_name) for entry in unpack_notify_information(data)]


async def test_a_waiting_client_hears_of_smb_and_of_the_mount(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid, NAMES)
        await client.close(await client.make_file("by-smb"))
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.ADDED, "by-smb")])
        pending = await watch(client, fid, NAMES)
        await volume.create(volume.root, b"by-mount", stat.S_IFREG | 0o644, 0, 0)
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.ADDED, "by-mount")])


async def test_what_happens_between_two_requests_is_gathered(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("", options=DIRECTORY, access=0x81)
        first = await watch(client, fid, NAMES)
        await client.close(await client.make_file("a"))
        await told(first)
        await client.close(await client.make_directory("b"))
        file = await client.create("a", CreateDisposition.OPEN)
        assert await client.set(file, Class.RENAME, FileRenameInformation("c").pack()) is Status.SUCCESS
        assert await told(await watch(client, fid, NAMES)) == (
            Status.SUCCESS,
            [
                (NotifyAction.ADDED, "b"),
                (NotifyAction.RENAMED_OLD_NAME, "a"),
                (NotifyAction.RENAMED_NEW_NAME, "c"),
            ],
        )


async def test_two_waiting_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("", options=DIRECTORY)
        first, second = await watch(client, fid, NAMES), await watch(client, fid, NAMES)
        await client.make_file("one")
        await client.make_file("two")
        assert await told(first) == (Status.SUCCESS, [(NotifyAction.ADDED, "one")])
        assert await told(second) == (Status.SUCCESS, [(NotifyAction.ADDED, "two")])


async def test_depth(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_directory("d"))
        await client.close(await client.make_directory("d\\e"))
        flat = await client.create("", options=DIRECTORY)
        deep = await client.create("", options=DIRECTORY)
        flat_watch = await watch(client, flat, NAMES)
        deep_watch = await watch(client, deep, NAMES, TREE)
        await client.make_file("d\\e\\f")
        assert await told(deep_watch) == (Status.SUCCESS, [(NotifyAction.ADDED, "d\\e\\f")])
        assert not flat_watch.done
        await client.make_file("top")
        assert await told(flat_watch) == (Status.SUCCESS, [(NotifyAction.ADDED, "top")])


async def test_a_move_between_directories_is_gone_here_and_new_there(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await client.close(await client.make_directory("d"))
        file = await volume.create(volume.root, b"f", stat.S_IFREG | 0o644, 0, 0)
        folder = await volume.lookup(volume.root, b"d")
        top = await client.create("", options=DIRECTORY)
        below = await client.create("d", options=DIRECTORY)
        top_watch, below_watch = await watch(client, top, NAMES), await watch(client, below, NAMES)
        await volume.rename(volume.root, b"f", folder.number, b"g")
        assert await told(top_watch) == (Status.SUCCESS, [(NotifyAction.REMOVED, "f")])
        assert await told(below_watch) == (Status.SUCCESS, [(NotifyAction.ADDED, "g")])
        assert file.nlink == 1


async def test_a_name_that_becomes_visible_is_new_and_one_that_becomes_hidden_is_gone(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await volume.create(volume.root, b"odd\xff", stat.S_IFREG | 0o644, 0, 0)
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid, NAMES)
        await volume.rename(volume.root, b"odd\xff", volume.root, b"even")
        await client.close(await client.make_file("after"))
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.ADDED, "even")])
        pending = await watch(client, fid, NAMES)
        assert (await told(pending))[1] == [(NotifyAction.ADDED, "after")]
        pending = await watch(client, fid, NAMES)
        await volume.rename(volume.root, b"even", volume.root, b"odd\xff")
        await client.close(await client.make_file("last"))
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.REMOVED, "even")])


async def test_filters(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        inode = await volume.create(volume.root, b"f", stat.S_IFREG | 0o644, 0, 0)
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid, 0x100)
        await client.make_file("name-only")
        await volume.write(inode, 0, b"data")
        await volume.set_attributes(inode, AttributeChange(dos_attributes=2))
        await volume.set_attributes(inode, AttributeChange(mode=0o600))
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.MODIFIED, "f")])
        writes = await client.create("", options=DIRECTORY)
        pending = await watch(client, writes, 0x18)
        await volume.write(inode, 0, b"more data")
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.MODIFIED, "f")])


async def test_too_much_to_tell_means_list_again(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        fid = await client.create("", options=DIRECTORY)
        first = await watch(client, fid, NAMES, room=200)
        for number in range(50):
            await volume.create(volume.root, b"a-name-%d" % number, stat.S_IFREG | 0o644, 0, 0)
        await told(first)
        assert await told(await watch(client, fid, NAMES, room=200)) == (Status.NOTIFY_ENUM_DIR, [])
        await client.make_file("z")
        assert await told(await watch(client, fid, NAMES)) == (Status.SUCCESS, [(NotifyAction.ADDED, "z")])


async def test_closing_and_deleting_end_a_watch(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid)
        assert await client.close(fid) is Status.SUCCESS
        assert await told(pending) == (Status.NOTIFY_CLEANUP, [])
        folder = await client.make_directory("d")
        pending = await watch(client, folder)
        assert await client.set(folder, Class.DISPOSITION, b"\1") is Status.SUCCESS
        assert await told(pending) == (Status.DELETE_PENDING, [])


async def test_a_folder_whose_deletion_is_taken_back_is_watched_on(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        pending = await watch(client, folder, NAMES)
        assert await client.set(folder, Class.DISPOSITION, b"\1") is Status.SUCCESS
        assert await told(pending) == (Status.DELETE_PENDING, [])
        assert await told(await watch(client, folder, NAMES)) == (Status.DELETE_PENDING, [])
        assert await client.set(folder, Class.DISPOSITION, b"\0") is Status.SUCCESS
        await client.make_file("d\\f")
        assert await told(await watch(client, folder, NAMES)) == (Status.SUCCESS, [(NotifyAction.ADDED, "f")])


async def test_a_directory_deleted_on_the_mount_ends_its_watch(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        pending = await watch(client, folder)
        await share.volume.rmdir(share.volume.root, b"d")
        assert await told(pending) == (Status.DELETE_PENDING, [])


async def test_what_cannot_be_watched(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        file = await client.make_file("f")
        assert (await told(await watch(client, file)))[0] is Status.INVALID_PARAMETER
        blind = await client.create("", options=DIRECTORY, access=0x80)
        assert (await told(await watch(client, blind)))[0] is Status.ACCESS_DENIED


async def test_a_watch_gone_with_its_session_leaves_no_observer(tmp_path: Path) -> None:
    async with served(tmp_path) as share:
        async with remote(share) as client:
            await watch(client, await client.create("", options=DIRECTORY))
            assert share.pool.has_observers
        with trio.fail_after(60):
            while share.pool.has_observers:
                await trio.lowlevel.checkpoint()


async def test_named_streams_have_filters_of_their_own(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("f"))
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid, Filter.STREAM_NAME)
        stream = await client.create("f:s")
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.ADDED_STREAM, "f:s")])
        await client.write(stream, 0, b"bytes")
        renaming = FileRenameInformation(":t").pack()
        assert await client.set(stream, Class.RENAME, renaming) is Status.SUCCESS
        await client.close(stream)
        await client.close(await client.create("f:t", options=CreateOptions.DELETE_ON_CLOSE))
        assert await told(await watch(client, fid, Filter.STREAM_NAME)) == (
            Status.SUCCESS,
            [
                (NotifyAction.REMOVED_STREAM, "f:s"),
                (NotifyAction.ADDED_STREAM, "f:t"),
                (NotifyAction.REMOVED_STREAM, "f:t"),
            ],
        )
        await client.close(fid)
        fid = await client.create("", options=DIRECTORY)
        pending = await watch(client, fid, Filter.STREAM_WRITE | Filter.STREAM_SIZE)
        file, stream = await client.create("f"), await client.create("f:s")
        await client.write(file, 0, b"not a stream's")
        await client.write(stream, 0, b"bytes")
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.MODIFIED_STREAM, "f:s")])


async def test_a_watch_of_a_tree_tells_nothing_of_folders_that_are_closed_to_its_user(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, login=(OTHER_USER, OTHER_PASSWORD)) as client:
        volume = share.volume
        closed = [
            await volume.create(volume.root, b"%o" % mode, stat.S_IFDIR | mode, 0, 0)
            for mode in (0o700, 0o711, 0o744)
        ]
        below = await volume.create(closed[0].number, b"below", stat.S_IFDIR | 0o755, 0, 0)
        opened = await volume.create(volume.root, b"open", stat.S_IFDIR | 0o755, 0, 0)
        root = await client.create("", options=DIRECTORY, access=1)
        pending = await watch(client, root, NAMES, TREE)
        for folder in (*closed, below, opened):
            await volume.create(folder.number, b"letter", stat.S_IFREG | 0o600, 0, 0)
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.ADDED, "open\\letter")])


async def test_what_goes_with_its_folder_is_no_reason_to_list_again(tmp_path: Path) -> None:
    """By the time that it is told nobody knows where the file was; that the folder has gone says all."""
    async with served(tmp_path) as share, remote(share) as client:
        volume, hub = share.volume, share.server.notifications
        folder = await volume.create(volume.root, b"folder", stat.S_IFDIR | 0o755, 0, 0)
        await volume.create(folder.number, b"file", stat.S_IFREG | 0o644, 0, 0)
        pending = await watch(client, await client.create("", options=DIRECTORY), NAMES, TREE)
        async with hub._telling:
            await volume.unlink(folder.number, b"file")
            await volume.rmdir(volume.root, b"folder")
        assert await told(pending) == (Status.SUCCESS, [(NotifyAction.REMOVED, "folder")])
