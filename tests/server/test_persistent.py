"""Persistent opens: what a client of a continuously available share finds after the server was started again."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from odxfs.ntstatus import Status
from odxfs.smb.closing import close_open
from odxfs.smb.durable import scavenger
from odxfs.smb.durable.record import OpenRecord, pack_record, unpack_record
from odxfs.smb.shares import Share, ShareStore
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateOptions, CreateResponse
from odxfs.wire.create_contexts import (
    DURABLE_HANDLE_RECONNECT_V2,
    DURABLE_HANDLE_REQUEST_V2,
    QUERY_MAXIMAL_ACCESS,
    AppInstanceId,
    DurableHandleFlags,
    DurableHandleReconnectV2,
    DurableHandleRequestV2,
    DurableHandleResponseV2,
    find_create_context,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass, ReparseTag
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fscc.filetime import NONE, Filetime
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.reparse import RELATIVE, ReparseData, SymbolicLinkData
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.negotiate import Capabilities
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.tree_connect import ShareCapabilities, TreeConnectRequest, TreeConnectResponse
from tests.support.peer import Peer, Refused, connect
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

CA = Share("ca", continuously_available=True)
GUID = uuid.UUID(int=1).bytes
PERSISTENT = DurableHandleFlags.PERSISTENT
LOCK_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY


@asynccontextmanager
async def session(served: Served, user: str = USER, share: str = "ca", **options: Any) -> AsyncIterator[Peer]:
    async with connect(served.port, **options) as peer:
        await peer.login(user, PASSWORD if user == USER else OTHER_PASSWORD)
        await peer.connect_tree(share)
        yield peer


def wish(create_guid: bytes = GUID, timeout: int = 0) -> tuple[bytes, bytes]:
    return (DURABLE_HANDLE_REQUEST_V2, DurableHandleRequestV2(timeout, PERSISTENT, create_guid).pack())


async def open_persistent(peer: Peer, name: str = "file", **fields: Any) -> FileId:
    timeout = fields.pop("timeout", 0)
    created = await peer.create(name, share_access=0, create_contexts=(wish(timeout=timeout),), **fields)
    answer = find_create_context(created.create_contexts, DURABLE_HANDLE_REQUEST_V2)
    assert answer is not None
    assert DurableHandleResponseV2.unpack(answer).flags == PERSISTENT
    return created.file_id


async def reconnect(
    peer: Peer, fid: FileId, create_guid: bytes = GUID, flags: int = PERSISTENT
) -> CreateResponse:
    context = (DURABLE_HANDLE_RECONNECT_V2, DurableHandleReconnectV2(fid, create_guid, flags).pack())
    return await peer.create("file", CreateDisposition.OPEN, create_contexts=(context,))


async def refusal(awaitable: Any) -> Status:
    with pytest.raises(Refused) as refused:
        await awaitable
    return refused.value.status


def lock_of(fid: FileId, offset: int, flags: int = LOCK_NOW, number: int = 0, index: int = 0) -> LockRequest:
    return LockRequest(fid, (LockElement(offset, 10, flags),), number, index)


async def test_a_continuously_available_share_says_so(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        assert peer.wire.server_capabilities & Capabilities.PERSISTENT_HANDLES
        found = {}
        for share in ("ca", SHARE):
            response = await peer.call(Command.TREE_CONNECT, TreeConnectRequest(f"\\\\127.0.0.1\\{share}"))
            found[share] = TreeConnectResponse.unpack(response.pdu).capabilities
        assert found == {"ca": ShareCapabilities.CONTINUOUS_AVAILABILITY, SHARE: 0}


async def test_a_plain_share_has_no_persistent_opens(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served, share=SHARE) as peer:
        created = await peer.create("file", create_contexts=(wish(),))
        assert find_create_context(created.create_contexts, DURABLE_HANDLE_REQUEST_V2) is None
        assert len(served.pool.persistent_opens) == 0


async def test_an_open_is_there_after_a_restart_with_its_locks(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        await peer.write(fid, 0, b"before")
        await peer.call(Command.LOCK, lock_of(fid, 0, number=1, index=1))
        await peer.call(Command.LOCK, lock_of(fid, 20, LockFlags.SHARED_LOCK))
    async with serve(tmp_path) as served, session(served) as peer:
        assert await refusal(peer.open("file")) is Status.SHARING_VIOLATION
        assert await refusal(reconnect(peer, fid, uuid.UUID(int=2).bytes)) is Status.OBJECT_NAME_NOT_FOUND
        assert await refusal(reconnect(peer, fid, flags=0)) is Status.OBJECT_NAME_NOT_FOUND
        async with session(served, OTHER_USER) as stranger:
            assert await refusal(reconnect(stranger, fid)) is Status.ACCESS_DENIED
        again = (await reconnect(peer, fid)).file_id
        assert again.persistent == fid.persistent
        assert await peer.read(again, 0, 6) == b"before"
        await peer.call(Command.LOCK, lock_of(again, 0, number=1, index=1))  # sent again
        assert await refusal(peer.call(Command.LOCK, lock_of(again, 20))) is Status.LOCK_NOT_GRANTED
        await peer.call(Command.LOCK, lock_of(again, 0, LockFlags.UNLOCK))
        await peer.call(Command.CLOSE, CloseRequest(again))
        await peer.open("file")
        assert await served.pool.check() == []
    async with serve(tmp_path) as served:
        assert len(served.server.registry) == 0


async def test_locks_that_lie_over_each_other_are_there_after_a_restart(tmp_path: Path) -> None:
    """An open may lock what it has exclusively once more to share it; the other way round it would be refused."""
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        await peer.call(Command.LOCK, LockRequest(fid, (LockElement(5, 10, LOCK_NOW),)))
        await peer.call(Command.LOCK, LockRequest(fid, (LockElement(0, 10, LockFlags.SHARED_LOCK),)))
    async with serve(tmp_path) as served:
        (opened,) = served.server.durable
        assert opened.entry is not None
        assert sorted(served.server.opens.locks_of(opened.entry), reverse=True) == [
            (5, 10, True),
            (0, 10, False),
        ]


async def test_what_was_unlocked_before_a_failure_stays_so_over_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        await peer.call(Command.LOCK, lock_of(fid, 0))
        ranges = tuple(LockElement(offset, 10, LockFlags.UNLOCK) for offset in (0, 50))
        refused = peer.call(Command.LOCK, LockRequest(fid, ranges))
        assert await refusal(refused) is Status.RANGE_NOT_LOCKED
    async with serve(tmp_path) as served:
        (opened,) = served.server.durable
        assert opened.entry is not None
        assert served.server.opens.locks_of(opened.entry) == []


async def test_a_server_that_is_stopped_keeps_the_opens_of_clients_that_are_there(tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        async with serve(tmp_path, shares=[CA]) as served:
            peer = await clients.enter_async_context(session(served))
            fid = await open_persistent(peer)
            await peer.call(Command.LOCK, lock_of(fid, 0))
            number = served.server.registry.find(fid).inode.number  # type: ignore[union-attr]
            server = served.server
        assert len(server.registry) == len(server.opens) == 0
    async with serve(tmp_path) as served, session(served) as peer:
        assert [kept.inode.number for kept in served.pool.persistent_opens.list()] == [number]
        await peer.call(Command.LOCK, lock_of((await reconnect(peer, fid)).file_id, 0, LockFlags.UNLOCK))


async def test_an_open_that_may_write_does_not_come_back_through_a_share_that_may_not(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
    ShareStore(tmp_path).change("ca", {"read_only": True})
    async with serve(tmp_path) as served, session(served) as peer:
        assert await refusal(reconnect(peer, fid)) is Status.ACCESS_DENIED


async def test_an_open_that_comes_back_to_what_has_become_a_link_writes_nothing(tmp_path: Path) -> None:
    link = ReparseData(ReparseTag.SYMLINK, SymbolicLinkData("there", "there", RELATIVE).pack()).pack()
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        request = IoctlRequest(Fsctl.SET_REPARSE_POINT, fid, link, 0, 0, flags=1)
        await peer.call(Command.IOCTL, request)
    async with serve(tmp_path) as served, session(served) as peer:
        fid = (await reconnect(peer, fid)).file_id
        assert await refusal(peer.write(fid, 0, b"data")) is Status.INVALID_DEVICE_REQUEST
        assert await refusal(peer.write(fid, 0, bytes(2 << 20))) is Status.INVALID_DEVICE_REQUEST
        await served.pool.commit()
        assert await served.pool.check() == []


async def test_what_may_be_done_is_told_after_a_restart_as_before(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        query = (QUERY_MAXIMAL_ACCESS, b"")
        other = await peer.create("other", create_contexts=(query,))
    async with serve(tmp_path) as served, session(served) as peer:
        again = (DURABLE_HANDLE_RECONNECT_V2, DurableHandleReconnectV2(fid, GUID, PERSISTENT).pack())
        found = await peer.create("file", CreateDisposition.OPEN, create_contexts=(again, query))
        answers = [find_create_context(made.create_contexts, QUERY_MAXIMAL_ACCESS) for made in (found, other)]
        assert answers[0] is not None
        assert answers[0] == answers[1]


async def test_an_application_that_moved_takes_over_what_a_restart_brought_back(tmp_path: Path) -> None:
    instance = (AppInstanceId.NAME, AppInstanceId(bytes(range(16))).pack())
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        await peer.create("file", share_access=0, create_contexts=(wish(), instance))
    async with serve(tmp_path) as served, session(served) as peer:
        assert await refusal(peer.open("file")) is Status.SHARING_VIOLATION
        await peer.open("file", create_contexts=(instance,))
        assert len(served.pool.persistent_opens) == 0


async def test_a_create_may_be_sent_again_to_the_restarted_server(tmp_path: Path) -> None:
    guid = uuid.uuid4().bytes
    async with serve(tmp_path, shares=[CA]) as served, session(served, guid=guid) as peer:
        fid = await open_persistent(peer)
        await peer.write(fid, 0, b"used")
    async with serve(tmp_path) as served, session(served, guid=guid) as peer:
        again = peer.create("file", share_access=0, create_contexts=(wish(),))
        assert await refusal(again) is Status.DUPLICATE_OBJECTID
        peer.replay = True
        created = await peer.create("file", share_access=0, create_contexts=(wish(),))
        assert created.file_id.persistent == fid.persistent
        assert await peer.read(created.file_id, 0, 4) == b"used"


async def test_a_file_that_lost_its_name_meanwhile_is_still_there(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        await peer.write(fid, 0, b"nameless")
        await served.volume.unlink(served.volume.root, b"file")
    async with serve(tmp_path) as served, session(served) as peer:
        again = (await reconnect(peer, fid)).file_id
        assert await peer.read(again, 0, 8) == b"nameless"
        number = served.server.registry.find(again).inode.number  # type: ignore[union-attr]
        assert await served.pool.check() == []
        await peer.call(Command.CLOSE, CloseRequest(again))
        await served.pool.settle()
        assert served.pool.namespace.inodes.cached(number) is None
        assert await served.pool.check() == []


@pytest.mark.parametrize("by_set_info", [False, True])
async def test_a_wish_to_delete_outlives_the_server(tmp_path: Path, *, by_set_info: bool) -> None:
    options = 0 if by_set_info else CreateOptions.DELETE_ON_CLOSE
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer, create_options=options)
        if by_set_info:
            delete = SetInfoRequest(InfoType.FILE, FileInformationClass.DISPOSITION, fid, b"\x01")
            await peer.call(Command.SET_INFO, delete)
    async with serve(tmp_path) as served, session(served) as peer:
        assert await served.volume.lookup(served.volume.root, b"file")
        again = (await reconnect(peer, fid)).file_id
        await peer.call(Command.CLOSE, CloseRequest(again))
        assert await served.volume.list_directory(served.volume.root) == []


async def test_what_nobody_comes_back_for_is_closed_after_its_time(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer, timeout=50)
        await served.volume.unlink(served.volume.root, b"file")
    async with serve(tmp_path) as served:
        with trio.fail_after(60):
            while len(served.server.registry):
                await trio.sleep(0.01)
        assert len(served.pool.persistent_opens) == 0
        await served.pool.settle()
        assert await served.pool.check() == []
        async with session(served) as peer:
            assert await refusal(reconnect(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND


async def test_an_open_whose_share_is_gone_is_closed(tmp_path: Path, expect_log: Any) -> None:
    expect_log("is lost")
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        await open_persistent(peer)
        served.server.shares.delete("ca")  # type: ignore[attr-defined]
    async with serve(tmp_path) as served:
        assert len(served.pool.persistent_opens) == 0


async def test_a_user_has_a_bound_of_persistent_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.smb.durable.table.MAX_PERSISTENT_OPENS_PER_USER", 1)
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        created = await peer.create("other", create_contexts=(wish(bytes(16)),))
        assert find_create_context(created.create_contexts, DURABLE_HANDLE_REQUEST_V2) is None
        await peer.call(Command.CLOSE, CloseRequest(fid))
        await open_persistent(peer)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b"\xff", b"null", b"[" * 100000, b'{"form": 2}', b'{"form": 1}'],
    ids=lambda body: str(body[:12]),
)
def test_a_body_that_makes_no_sense_is_no_record(body: bytes) -> None:
    assert unpack_record(body) is None


@given(st.data())
def test_a_record_with_a_field_of_another_kind_is_none(data: st.DataObject) -> None:
    content = json.loads(pack_record(RECORD))
    assert unpack_record(json.dumps(content).encode()) == RECORD
    name = data.draw(st.sampled_from(sorted(content)))
    content[name] = [["x"]]
    assert unpack_record(json.dumps(content).encode()) is None


RECORD = OpenRecord(
    svm="default",
    share="ca",
    path="a\\b",
    user="alice",
    client_guid="00" * 16,
    create_guid="11" * 16,
    timeout=60.0,
    action=2,
    access=1,
    share_access=7,
    create_options=0,
    parent=1,
    name="62",
    mode=0,
    position=0,
    delete_on_close=False,
    delete_pending=False,
    keeps_change_time=False,
    keeps_write_time=False,
    app_instance="",
    app_version=(1, 2),
    locks=((0, 2**64 - 1, True),),
    lock_sequences=((1, 15),),
    caching={},
)


async def test_an_open_of_a_named_stream_is_one_again_after_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer, "file:s")
        await peer.write(fid, 0, b"of a stream")
    async with serve(tmp_path) as served, session(served) as peer:
        again = (await reconnect(peer, fid)).file_id
        assert await peer.read(again, 0, 11) == b"of a stream"
        opened = served.server.registry.find(again)
        assert opened is not None
        assert opened.full_path == "file:s"
        file = await served.volume.lookup(served.volume.root, b"file")
        assert opened.file_inode is file
        delete = SetInfoRequest(InfoType.FILE, FileInformationClass.DISPOSITION, again, b"\x01")
        await peer.call(Command.SET_INFO, delete)
        await peer.call(Command.CLOSE, CloseRequest(again))
        assert await served.volume.list_streams(file) == []
        assert await served.pool.check() == []


async def test_a_server_that_leaves_its_opens_behind_leaves_no_place_in_the_table(tmp_path: Path) -> None:
    """Where the process goes on with other servers, they could not delete the file of an open stream any more."""
    async with serve(tmp_path, shares=[CA]) as served:
        async with session(served) as peer:
            await peer.write(await open_persistent(peer, "file:stream"), 0, b"x")
        while not len(served.server.durable):
            await trio.sleep(0.01)
        await scavenger.close_all(served.server)
        assert len(served.server.opens) == 0


async def open_two(peer: Peer) -> tuple[FileId, FileId]:
    """Two persistent opens of one file."""
    fids = []
    for number in (1, 2):
        wished = (wish(uuid.UUID(int=number).bytes),)
        fids.append((await peer.create("file", create_contexts=wished)).file_id)
    return fids[0], fids[1]


async def test_a_wish_to_delete_that_another_open_took_back_does_not_return(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        for fid, wanted in zip(await open_two(peer), (b"\x01", b"\x00"), strict=True):
            delete = SetInfoRequest(InfoType.FILE, FileInformationClass.DISPOSITION, fid, wanted)
            await peer.call(Command.SET_INFO, delete)
    async with serve(tmp_path) as served:
        for opened in served.server.durable:
            await close_open(served.server, opened)
        async with session(served) as peer:
            await peer.open("file", CreateDisposition.OPEN)


async def test_a_name_that_another_open_gave_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        _, other = await open_two(peer)
        renaming = FileRenameInformation("renamed").pack()
        rename = SetInfoRequest(InfoType.FILE, FileInformationClass.RENAME, other, renaming)
        await peer.call(Command.SET_INFO, rename)
    async with serve(tmp_path) as served:
        assert {opened.name for opened in served.server.registry} == {b"renamed"}
        assert {opened.path for opened in served.server.registry} == {"renamed"}


async def test_a_name_that_a_local_program_gave_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served) as peer:
        fid = await open_persistent(peer)
        root, opened = served.volume.root, served.server.registry.find(fid)
        assert opened is not None
        await served.volume.rename(root, b"file", root, b"renamed")
        served.server.opens.renamed(opened.inode.number, (root, b"file"), (root, b"renamed"))
    async with serve(tmp_path) as served:
        assert [opened.name for opened in served.server.registry] == [b"renamed"]


TIME = Filetime(132_000_000_000_000_000)


async def last_write_time(peer: Peer, fid: FileId) -> int:
    query = QueryInfoRequest(InfoType.FILE, FileInformationClass.BASIC, fid, 4096, 0, 0, b"")
    answer = QueryInfoResponse.unpack((await peer.call(Command.QUERY_INFO, query)).pdu)
    return FileBasicInformation.unpack(answer.output_buffer).last_write_time


async def test_a_write_time_that_a_client_has_set_stays_over_a_restart(tmp_path: Path) -> None:
    given = FileBasicInformation(NONE, NONE, TIME, NONE, 0).pack()
    async with serve(tmp_path, shares=[CA]) as running, session(running) as peer:
        fid = await open_persistent(peer)
        change = SetInfoRequest(InfoType.FILE, FileInformationClass.BASIC, fid, given)
        await peer.call(Command.SET_INFO, change)
        await peer.write(fid, 0, b"before")
        assert await last_write_time(peer, fid) == TIME
    async with serve(tmp_path) as running, session(running) as peer:
        fid = (await reconnect(peer, fid)).file_id
        await peer.write(fid, 0, b"behind")
        assert await last_write_time(peer, fid) == TIME
