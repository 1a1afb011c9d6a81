"""Requests that wait while others come in between: for the disk, for a commit, for somebody's answer."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import spnego
import trio

from odxfs.ntstatus import Status
from odxfs.smb.closing import close_open
from odxfs.smb.durable.channel_sequence import any_left_at_work
from odxfs.smb.opens import SmbOpen
from odxfs.smb.server import SmbServer
from odxfs.types import Buffer
from odxfs.volume import Inode, Pool, StreamEntry, Volume
from odxfs.volume.blocks.files import Files
from odxfs.wire.client_exchange import ALL_ONES, Call
from odxfs.wire.create import (
    CreateAction,
    CreateDisposition,
    CreateOptions,
    CreateRequest,
    CreateResponse,
    OplockLevel,
)
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.ea import unpack_full_ea
from odxfs.wire.fscc.file_names import FileRenameInformation, unpack_streams
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.oplock_break import LeaseBreakNotification
from odxfs.wire.query_info import InfoType
from odxfs.wire.session_setup import SessionSetupRequest
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from odxfs.wire.write import WriteRequest
from tests.server.test_caching import two_clients
from tests.server.test_durable_caching import (
    CA,
    CLIENT,
    GUID,
    PERSISTENT,
    H,
    R,
    W,
    come_back_v2,
    create,
    lease,
    leased,
    refusal,
    session,
    wish_v2,
)
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Body, Peer, connect
from tests.support.remote import Remote, remote, served
from tests.support.serving import PASSWORD, USER, Served, serve
from tests.support.waiting import until

LONG = (1 << 20) + 65536
"""Bytes that a write hands to another thread."""


class SlowWrites(Files):
    """Made on the trio thread. Once `armed` it keeps the long writes of other threads until `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.waiting = 0
        self.go_on = threading.Event()
        self._trio_thread = threading.get_ident()

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        is_long = sum(map(len, buffers)) > 65536
        if self.armed and is_long and threading.get_ident() != self._trio_thread:
            self.waiting += 1
            assert self.go_on.wait(60), "the test never let the disk go on"
        super().write(descriptor, buffers, offset)


class HeldCommits:
    """From `hold` on each commit that a request asks for waits until `go_on`; `begun` counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.begun = 0
        self.go_on = trio.Event()

    def hold(self) -> None:
        commit = Pool.commit

        async def held(pool: Pool) -> None:
            self.begun += 1
            await self.go_on.wait()
            await commit(pool)

        self._monkeypatch.setattr(Pool, "commit", held)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> HeldCommits:
    return HeldCommits(monkeypatch)


def disposition(fid: FileId, *, delete: bool) -> SetInfoRequest:
    return SetInfoRequest(InfoType.FILE, FileInformationClass.DISPOSITION, fid, bytes([delete]))


async def test_who_comes_to_cache_a_file_while_it_is_written_hears_of_the_new_bytes(tmp_path: Path) -> None:
    files = SlowWrites()
    async with (
        serve(tmp_path, files=files) as served,
        session(served) as writer,
        session(served, guid=GUID) as reader,
    ):
        written = await writer.open("file")
        await writer.write(written, 0, b"old")
        files.armed = True
        writing = await writer.send(Command.WRITE, WriteRequest(written, 0, b"n" * LONG), charge=17)
        await until(lambda: files.waiting > 0)
        made = await create(reader, lease(R | H))
        assert leased(made)[0] & R
        assert await reader.read(made.file_id, 0, 3) == b"old"
        files.go_on.set()
        assert (await writer.final(writing)).header.status == Status.SUCCESS
        with trio.fail_after(10):
            told = LeaseBreakNotification.unpack((await reader.next_response(ALL_ONES)).pdu)
        assert told.new_lease_state == 0
        assert await reader.read(made.file_id, 0, 3) == b"nnn"


async def test_what_is_asked_for_twice_is_answered_twice_when_it_is_durable(
    tmp_path: Path, commits: HeldCommits
) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served, "ca") as peer:
        fid = (await create(peer, wish_v2(flags=PERSISTENT))).file_id
        commits.hold()
        asked = []
        for number in (1, 2):
            asked.append(await peer.send(Command.SET_INFO, disposition(fid, delete=True)))
            with trio.fail_after(10):
                await until(lambda expected=number: commits.begun == expected)
        commits.go_on.set()
        for each in asked:
            assert (await peer.final(each)).header.status == Status.SUCCESS
        begun = commits.begun
        await peer.call(Command.SET_INFO, disposition(fid, delete=True))
        assert commits.begun == begun
        assert served.pool.persistent_opens.body_of(fid.persistent)


async def leave_writing(peer: Peer, files: SlowWrites, fid: FileId) -> None:
    """Have a write of old bytes at work that the disk keeps."""
    files.armed = True
    await peer.send(Command.WRITE, WriteRequest(fid, 0, b"o" * LONG), charge=17)
    await until(lambda: files.waiting > 0)
    files.armed = False


async def test_who_comes_back_waits_for_what_the_lost_session_still_writes(tmp_path: Path) -> None:
    files = SlowWrites()
    async with serve(tmp_path, files=files) as served, session(served) as peer:
        fid = (await create(peer, wish_v2())).file_id
        await leave_writing(peer, files, fid)
        async with session(served, previous=peer.session_id) as again, trio.open_nursery() as nursery:
            back: list[FileId] = []

            async def return_to_it() -> None:
                back.append((await come_back_v2(again, fid)).file_id)

            nursery.start_soon(return_to_it)
            await trio.sleep(0.1)
            assert not back
            files.go_on.set()
            await until(lambda: bool(back))
            await again.write(back[0], 0, b"new")
            assert await again.read(back[0], 0, 4) == b"newo"


async def test_a_write_that_is_sent_again_does_not_overtake_what_the_lost_session_still_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.durable.losing.LOSS_SECONDS", 0.05)
    files = SlowWrites()
    async with serve(tmp_path, files=files) as served, session(served) as peer:
        fid = (await create(peer, wish_v2())).file_id
        await leave_writing(peer, files, fid)
        async with session(served, previous=peer.session_id) as again:
            fid = (await come_back_v2(again, fid)).file_id
            again.channel_sequence, again.replay = 1, True
            assert await refusal(again.write(fid, 0, b"new")) is Status.FILE_NOT_AVAILABLE
            files.go_on.set()
            opened = served.server.registry.find(fid)
            assert opened is not None
            await until(lambda: not any_left_at_work(opened))
            await again.write(fid, 0, b"new")
            assert await again.read(fid, 0, 4) == b"newo"


def send_now(peer: Peer, command: int, body: Body, *, replay: bool = False) -> int:
    """Send without a checkpoint: what several peers send in a row reaches the server in one turn. Returns the message id."""
    call = Call(command, body.pack(), None, peer.tree_id, peer.session_id, 1, replay=replay)
    (message_id,), buffers = peer.wire.compound([call])
    frame = b"".join(buffers)
    assert peer.stream.socket._sock.send(frame) == len(frame)  # type: ignore[attr-defined]
    return message_id


async def test_a_create_that_comes_by_two_channels_at_once_is_done_once(tmp_path: Path) -> None:
    async with (
        serve(tmp_path) as served,
        session(served) as first,
        connect(served.port, guid=CLIENT) as second,
    ):
        await second.bind(first, USER, PASSWORD)
        request = CreateRequest(
            "file", FILE_ALL_ACCESS, SHARE_ALL, CreateDisposition.OPEN_IF, create_contexts=(wish_v2(),)
        )
        ids = [
            (peer, send_now(peer, Command.CREATE, request, replay=peer is second)) for peer in (first, second)
        ]
        statuses = [(await peer.final(message_id)).header.status for peer, message_id in ids]
        refused = {0: Status.DUPLICATE_OBJECTID, 1: Status.FILE_NOT_AVAILABLE}  # whichever went second
        done = statuses.index(Status.SUCCESS)
        assert statuses[1 - done] == refused[1 - done]
        assert len(served.server.registry) == 1


def lock_of(fid: FileId, flags: int = LockFlags.EXCLUSIVE_LOCK) -> LockRequest:
    return LockRequest(fid, (LockElement(0, 10, flags),))


async def test_a_lock_that_is_held_is_not_answered_as_cancelled(tmp_path: Path, commits: HeldCommits) -> None:
    async with (
        serve(tmp_path, shares=[CA]) as served,
        session(served, "ca") as peer,
        session(served, "ca", guid=GUID) as other,
    ):
        fid = (await create(peer, wish_v2(flags=PERSISTENT), requested_oplock_level=0)).file_id
        in_the_way = await other.open("file")
        await other.call(Command.LOCK, lock_of(in_the_way))
        locking = await peer.send(Command.LOCK, lock_of(fid))
        interim = await peer.next_response(locking)
        assert interim.interim
        commits.hold()
        await other.call(Command.LOCK, lock_of(in_the_way, LockFlags.UNLOCK))
        await until(lambda: commits.begun == 1)
        await peer.cancel(locking, interim.header.async_id)
        await peer.call(Command.ECHO, EchoRequest())
        commits.go_on.set()
        assert (await peer.final(locking)).header.status == Status.SUCCESS
        await peer.call(Command.LOCK, lock_of(fid, LockFlags.UNLOCK))


async def test_who_comes_to_cache_a_file_before_a_waiting_lock_is_taken_gives_that_up(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer, session(served, guid=GUID) as other:
        held, waiting = await other.open("file"), await peer.open("file")
        await other.call(Command.LOCK, lock_of(held))
        locking = await peer.send(Command.LOCK, lock_of(waiting))
        assert (await peer.next_response(locking)).interim
        leased_create = CreateRequest(
            "file",
            FILE_ALL_ACCESS,
            SHARE_ALL,
            requested_oplock_level=OplockLevel.LEASE,
            create_contexts=(lease(R | H),),
        )
        send_now(other, Command.LOCK, lock_of(held, LockFlags.UNLOCK))
        creating = send_now(other, Command.CREATE, leased_create)
        assert leased(CreateResponse.unpack((await other.final(creating)).pdu))[0] == R | H
        assert (await peer.final(locking)).header.status == Status.SUCCESS
        with trio.fail_after(10):
            told = LeaseBreakNotification.unpack((await other.next_response(ALL_ONES)).pdu)
        assert told.new_lease_state == 0


async def test_what_waits_behind_a_login_counts_once(tmp_path: Path) -> None:
    """A request that waits gives back what it counts for: this one must have counted."""
    async with serve(tmp_path) as served, session(served) as peer, session(served, guid=GUID) as other:
        held, waiting = await other.open("file"), await peer.open("file")
        await other.call(Command.LOCK, lock_of(held))
        token = spnego.client(USER, PASSWORD, hostname="127.0.0.1", service="cifs", protocol="ntlm").step()
        (connection,) = (each for each in served.server.connections if peer.session_id in each.sessions)
        async with trio.open_nursery() as nursery:

            async def log_in_and_lock() -> None:
                calls = (
                    (Command.SESSION_SETUP, SessionSetupRequest(token or b"")),
                    (Command.LOCK, lock_of(waiting)),
                )
                answers = await peer.compound(calls, related=False)
                statuses = [answer.header.status for answer in answers]
                assert statuses == [Status.MORE_PROCESSING_REQUIRED, Status.SUCCESS]

            nursery.start_soon(log_in_and_lock)
            await until(lambda: len(connection.pending) == 1)
            await other.call(Command.LOCK, lock_of(held, LockFlags.UNLOCK))
        await until(lambda: not connection.pending)
        assert connection._working_credits == 0


async def test_an_open_that_is_given_up_for_somebody_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client would have a FileId of an open that is closed the next moment."""
    go_on = trio.Event()

    async def close_later(server: SmbServer, opened: SmbOpen) -> None:
        await go_on.wait()
        await close_open(server, opened)

    monkeypatch.setattr("odxfs.smb.caching.breaks.close_open", close_later)
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            fid = (await create(peer, wish_v2())).file_id
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, guid=GUID) as other, session(served) as peer:
            request = CreateRequest("file", FILE_ALL_ACCESS, SHARE_ALL)
            opening = await other.send(Command.CREATE, request)
            assert (await other.next_response(opening)).interim
            assert await refusal(come_back_v2(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND
            go_on.set()
            assert (await other.final(opening)).header.status == Status.SUCCESS
        assert len(served.server.durable) == 0


@pytest.mark.parametrize("by_lease", [False, True])
async def test_what_is_broken_before_it_is_answered_is_not_told_as_granted(
    tmp_path: Path, commits: HeldCommits, by_lease: bool
) -> None:
    async with (
        serve(tmp_path, shares=[CA]) as served,
        session(served, "ca") as peer,
        session(served, "ca", guid=GUID) as other,
    ):
        wished = (wish_v2(flags=PERSISTENT), lease(R | W | H)) if by_lease else (wish_v2(flags=PERSISTENT),)
        level = OplockLevel.LEASE if by_lease else OplockLevel.BATCH
        await other.close(await other.open("file"))
        commits.hold()
        request = CreateRequest(
            "file", FILE_ALL_ACCESS, SHARE_ALL, requested_oplock_level=level, create_contexts=wished
        )
        creating = await peer.send(Command.CREATE, request)
        await until(lambda: commits.begun == 1)
        opening = await other.send(Command.CREATE, CreateRequest("file", FILE_ALL_ACCESS, SHARE_ALL))
        assert (await other.next_response(opening)).interim
        commits.go_on.set()
        made = CreateResponse.unpack((await peer.final(creating)).pdu)
        assert leased(made)[0] == R | H if by_lease else made.oplock_level == OplockLevel.II
        with trio.fail_after(10):
            assert (await other.final(opening)).header.status == Status.SUCCESS
    assert len(served.server.breaks) == 0


@pytest.mark.parametrize("with_one", [True, False])
async def test_a_tree_that_ends_with_persistent_opens_is_answered_when_they_are_gone_durably(
    tmp_path: Path, commits: HeldCommits, with_one: bool
) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served, "ca") as peer:
        await create(peer, wish_v2(flags=PERSISTENT if with_one else 0))
        commits.hold()
        commits.go_on.set()
        await peer.call(Command.TREE_DISCONNECT, TreeDisconnectRequest())
        assert commits.begun == with_one
        assert len(served.pool.persistent_opens) == 0


async def test_names_that_differ_in_case_only_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clients find nothing of that name, and wait before they make it."""
    waiting, go = 0, trio.Event()

    async def ready_to_add(_: Pool) -> None:
        nonlocal waiting
        waiting += 1
        await go.wait()

    async with two_clients(tmp_path) as two:
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "ready_to_add", ready_to_add)
            asked = [
                await each.send(
                    Command.CREATE, CreateRequest(name, FILE_ALL_ACCESS, SHARE_ALL, CreateDisposition.OPEN_IF)
                )
                for each, name in ((two.first, "File"), (two.second, "FILE"))
            ]
            await until(lambda: waiting == 2)
            go.set()
            answers = [
                CreateResponse.unpack((await each.final(message)).pdu)
                for each, message in zip((two.first, two.second), asked, strict=True)
            ]
        actions = sorted(answer.create_action for answer in answers)
        assert actions == [CreateAction.OPENED, CreateAction.CREATED]
        assert len(await two.served.volume.list_directory(two.served.volume.root)) == 1


async def test_a_folder_stays_when_something_in_it_is_opened_while_its_rename_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, reached, go = Volume.rename, trio.Event(), trio.Event()

    async def slow(self: Volume, *arguments: Any, **named: Any) -> None:
        reached.set()
        await go.wait()
        await plain(self, *arguments, **named)

    async with two_clients(tmp_path) as two:
        folder = await two.first.open(
            "d", CreateDisposition.CREATE, create_options=CreateOptions.DIRECTORY_FILE
        )
        await two.first.close(await two.first.open("d\\f", CreateDisposition.CREATE))
        monkeypatch.setattr(Volume, "rename", slow)
        renaming = FileRenameInformation("e").pack()
        change = SetInfoRequest(InfoType.FILE, FileInformationClass.RENAME, folder, renaming)
        message = await two.first.send(Command.SET_INFO, change)
        await reached.wait()
        await two.second.open("d\\f", CreateDisposition.OPEN)
        go.set()
        assert (await two.first.final(message)).header.status == Status.ACCESS_DENIED
        assert {opened.path for opened in two.served.server.registry} == {"d", "d\\f"}


@pytest.fixture
def what_is_listed_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever streams or extended attributes are listed, the first is removed before anybody looks at it."""
    list_streams, list_xattrs = Volume.list_streams, Volume.list_xattrs

    async def streams(volume: Volume, base: Inode) -> list[StreamEntry]:
        found = await list_streams(volume, base)
        await volume.remove_stream(base, found[0].name)
        return found

    async def xattrs(volume: Volume, inode: Inode) -> list[bytes]:
        found = await list_xattrs(volume, inode)
        await volume.remove_xattr(inode, found[0])
        return found

    monkeypatch.setattr(Volume, "list_streams", streams)
    monkeypatch.setattr(Volume, "list_xattrs", xattrs)


async def _make_file_with_attributes(share: Served, client: Remote) -> tuple[FileId, Inode]:
    fid = await client.make_file("f", b"data")
    for stream in ("f:s", "f:t"):
        await client.close(await client.create(stream, CreateDisposition.CREATE))
    inode = await share.volume.lookup(share.volume.root, b"f")
    for xattr in (b"user.A", b"user.B"):
        await share.volume.set_xattr(inode, xattr, b"value")
    return fid, inode


@pytest.mark.usefixtures("what_is_listed_goes")
async def test_what_goes_while_it_is_asked_for_is_left_out(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid, _ = await _make_file_with_attributes(share, client)
        status, data = await client.query(fid, FileInformationClass.STREAM)
        assert status is Status.SUCCESS
        assert [found.stream_name for found in unpack_streams(data)] == ["::$DATA", ":t:$DATA"]
        status, data = await client.query(fid, FileInformationClass.FULL_EA)
        assert status is Status.SUCCESS
        assert [ea.name for ea in unpack_full_ea(data)] == [b"B"]


@pytest.mark.usefixtures("what_is_listed_goes")
async def test_a_file_is_overwritten_while_others_remove_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid, inode = await _make_file_with_attributes(share, client)
        await client.close(fid)
        await client.create("f", CreateDisposition.OVERWRITE)
        monkeypatch.undo()
        assert (inode.size, await share.volume.list_streams(inode)) == (0, [])
        assert await share.volume.list_xattrs(inode) == []
