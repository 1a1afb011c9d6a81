"""Opens that outlive their connection, and requests that are sent again, as a client whose network fails sees them."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.withdrawal import end_withdrawn
from odxfs.wire.create import CreateAction, CreateDisposition, CreateResponse
from odxfs.wire.create_contexts import (
    DURABLE_HANDLE_RECONNECT,
    DURABLE_HANDLE_REQUEST_V2,
    AppInstanceId,
    AppInstanceVersion,
    DurableHandleReconnect,
    DurableHandleReconnectV2,
    DurableHandleRequestV2,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.fsctl.resiliency import NetworkResiliencyRequest
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import Peer, Refused, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

LOCK_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
GUID = uuid.UUID(int=77).bytes
OTHER_GUID = uuid.UUID(int=78).bytes
ALL_DIALECTS = (Dialect.SMB_2_1, Dialect.SMB_3_0, Dialect.SMB_3_0_2, Dialect.SMB_3_1_1)


@asynccontextmanager
async def session(served: Served, user: str = USER, **options: Any) -> AsyncIterator[Peer]:
    password = PASSWORD if user == USER else OTHER_PASSWORD
    async with logged_in(served.port, user, password, SHARE, **options) as peer:
        yield peer


async def make_resilient(peer: Peer, fid: FileId, milliseconds: int = 60_000) -> None:
    wish = NetworkResiliencyRequest(milliseconds).pack()
    await peer.call(Command.IOCTL, IoctlRequest(Fsctl.LMR_REQUEST_RESILIENCY, fid, wish))


async def reconnect(peer: Peer, fid: FileId, name: str = "file") -> CreateResponse:
    context = (DURABLE_HANDLE_RECONNECT, DurableHandleReconnect(fid).pack())
    return await peer.create(name, CreateDisposition.OPEN, create_contexts=(context,))


async def refusal(awaitable: Any) -> Status:
    with pytest.raises(Refused) as refused:
        await awaitable
    return refused.value.status


def lock_of(fid: FileId, offset: int, flags: int = LOCK_NOW, number: int = 0, index: int = 0) -> LockRequest:
    return LockRequest(fid, (LockElement(offset, 10, flags),), number, index)


async def parked_file(served: Served, milliseconds: int = 60_000, **options: Any) -> FileId:
    """A resilient open of `file` with a lock, whose connection is gone."""
    async with session(served, **options) as peer:
        fid = await peer.open("file", share_access=0)
        await peer.write(fid, 0, b"before")
        await peer.call(Command.LOCK, lock_of(fid, 0))
        await make_resilient(peer, fid, milliseconds)
    await until(lambda: len(served.server.durable) == 1)
    return fid


@pytest.mark.parametrize("dialect", ALL_DIALECTS)
async def test_a_resilient_open_waits_for_its_client(tmp_path: Path, dialect: Dialect) -> None:
    async with serve(tmp_path) as served:
        fid = await parked_file(served, dialects=(dialect,))
        async with session(served, dialects=(dialect,)) as peer:
            assert await refusal(peer.open("file")) is Status.SHARING_VIOLATION
            again = await reconnect(peer, fid)
            assert again.create_action == CreateAction.OPENED
            assert again.file_id.persistent == fid.persistent
            assert again.file_id != fid
            assert await peer.read(again.file_id, 0, 6) == b"before"
            assert await refusal(peer.read(fid, 0, 6)) is Status.FILE_CLOSED
            await peer.call(Command.LOCK, lock_of(again.file_id, 0, LockFlags.UNLOCK))
            assert await refusal(reconnect(peer, again.file_id)) is Status.OBJECT_NAME_NOT_FOUND
            await peer.close(again.file_id)
            await peer.open("file")


async def test_a_client_may_be_back_before_its_lost_connection_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the lost connection has still at work, here a write that the disk takes its time for, comes first."""
    begun, go_on = trio.Event(), trio.Event()
    async with serve(tmp_path) as served:
        sync = type(served.volume).sync

        async def slow(*arguments: Any) -> None:
            begun.set()
            with trio.CancelScope(shield=True):
                await go_on.wait()
            await sync(*arguments)

        async with session(served) as peer:
            fid = await peer.open("file")
            await make_resilient(peer, fid)
            monkeypatch.setattr(type(served.volume), "sync", slow)
            await peer.send(Command.WRITE, WriteRequest(fid, 0, b"late", 1))
            await begun.wait()
        async with session(served) as peer, trio.open_nursery() as nursery:
            found = []

            async def come_back() -> None:
                found.append((await reconnect(peer, fid)).file_id)

            nursery.start_soon(come_back)
            await until(lambda: any(connection.is_ending for connection in served.server.connections))
            assert found == []
            go_on.set()
            await until(lambda: bool(found))
            assert await peer.read(found[0], 0, 4) == b"late"


async def test_an_open_that_is_not_resilient_ends_with_its_connection(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            fid = await peer.open("file", share_access=0)
        async with session(served) as peer:
            await until(lambda: not len(served.server.registry))
            assert await refusal(reconnect(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND


async def test_only_its_own_user_gets_an_open_back(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        fid = await parked_file(served)
        async with session(served, OTHER_USER) as peer:
            assert await refusal(reconnect(peer, fid)) is Status.ACCESS_DENIED
        async with session(served) as peer:
            wrong = FileId(fid.persistent ^ 1, fid.volatile)
            assert await refusal(reconnect(peer, wrong)) is Status.OBJECT_NAME_NOT_FOUND
            await reconnect(peer, fid)


async def test_an_open_that_nobody_comes_back_for_is_closed(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        fid = await parked_file(served, milliseconds=20)
        await until(lambda: not len(served.server.registry))
        async with session(served) as peer:
            assert await refusal(reconnect(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND
            await peer.open("file", share_access=0)


async def test_a_tree_disconnect_closes_what_a_lost_connection_would_not(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("file")
        await make_resilient(peer, fid)
        await peer.call(Command.TREE_DISCONNECT, TreeDisconnectRequest())
        assert len(served.server.registry) == 0


async def test_a_user_has_a_bound_of_parked_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.durable.table.MAX_PARKED_OPENS_PER_USER", 2)
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            for name in "abc":
                await make_resilient(peer, await peer.open(name))
        await until(lambda: len(served.server.registry) == 2)
        assert len(served.server.durable) == 2


async def test_a_server_that_loses_a_volume_closes_what_is_parked_of_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await parked_file(served)
        await end_withdrawn(served.server)
        assert len(served.server.durable) == 1
        served.server.owns_volume = lambda _: False
        await end_withdrawn(served.server)
        assert len(served.server.registry) == len(served.server.opens) == 0


async def test_a_server_that_ends_closes_what_is_parked(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await parked_file(served)
        server = served.server
    assert len(server.registry) == 0
    assert len(server.opens) == 0


async def test_a_resilient_open_wants_a_time_that_is_not_too_long(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("file")
        await make_resilient(peer, fid, 300_000)
        assert await refusal(make_resilient(peer, fid, 300_001)) is Status.INVALID_PARAMETER
        folder = await peer.open("folder", create_options=1)
        assert await refusal(make_resilient(peer, folder)) is Status.INVALID_DEVICE_REQUEST


async def test_a_lock_that_is_sent_again_is_not_taken_twice(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("file")
        await make_resilient(peer, fid)
        for _ in range(2):
            await peer.call(Command.LOCK, lock_of(fid, 0, number=3, index=1))
        assert (
            await refusal(peer.call(Command.LOCK, lock_of(fid, 0, number=4, index=1)))
            is Status.LOCK_NOT_GRANTED
        )
        # What did not succeed is not remembered, nor is anything behind the last index.
        assert (
            await refusal(peer.call(Command.LOCK, lock_of(fid, 0, number=3, index=1)))
            is Status.LOCK_NOT_GRANTED
        )
        await peer.call(Command.LOCK, lock_of(fid, 20, number=3, index=65))
        assert (
            await refusal(peer.call(Command.LOCK, lock_of(fid, 20, number=3, index=65)))
            is Status.LOCK_NOT_GRANTED
        )
        for _ in range(2):
            await peer.call(Command.LOCK, lock_of(fid, 0, LockFlags.UNLOCK, number=5, index=64))


async def test_a_change_from_before_a_channel_failure_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, b"one")
        peer.channel_sequence = 1
        await peer.write(fid, 0, b"two")
        peer.channel_sequence = 0
        assert await refusal(peer.write(fid, 0, b"old")) is Status.FILE_NOT_AVAILABLE
        assert await peer.read(fid, 0, 3) == b"two"
        peer.channel_sequence = 0x8000
        await peer.write(fid, 0, b"far")
        peer.channel_sequence = 0xFFFF
        await peer.write(fid, 0, b"on.")
        peer.channel_sequence = 3
        peer.replay = True
        await peer.write(fid, 0, b"3rd")
        assert await peer.read(fid, 0, 3) == b"3rd"


async def test_a_change_is_not_repeated_while_the_first_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = trio.Event(), trio.Event()
    async with serve(tmp_path) as served, session(served) as peer:
        fid = await peer.open("file")
        sync = type(served.volume).sync

        async def slow(*arguments: Any) -> None:
            begun.set()
            await go_on.wait()
            await sync(*arguments)

        monkeypatch.setattr(type(served.volume), "sync", slow)
        first = await peer.send(Command.WRITE, WriteRequest(fid, 0, b"first", 1))
        await begun.wait()
        peer.channel_sequence, peer.replay = 1, True
        assert await refusal(peer.write(fid, 0, b"again")) is Status.FILE_NOT_AVAILABLE
        peer.replay = False
        await peer.write(fid, 8, b"another")
        go_on.set()
        assert (await peer.final(first)).header.status == Status.SUCCESS
        peer.replay = True
        await peer.write(fid, 0, b"again")
        assert await peer.read(fid, 0, 5) == b"again"


def request_v2(create_guid: bytes = GUID, timeout: int = 0, flags: int = 0) -> tuple[bytes, bytes]:
    return (DURABLE_HANDLE_REQUEST_V2, DurableHandleRequestV2(timeout, flags, create_guid).pack())


async def test_a_create_that_is_sent_again_is_answered_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        first = await peer.create("file", CreateDisposition.CREATE, create_contexts=(request_v2(),))
        second = peer.create("file", CreateDisposition.CREATE, create_contexts=(request_v2(),))
        assert await refusal(second) is Status.DUPLICATE_OBJECTID
        peer.replay = True
        assert await peer.create("file", CreateDisposition.CREATE, create_contexts=(request_v2(),)) == first
        peer.replay = False
        await peer.write(first.file_id, 0, b"used")
        peer.replay = True
        third = peer.create("file", CreateDisposition.CREATE, create_contexts=(request_v2(),))
        assert await refusal(third) is Status.OBJECT_NAME_COLLISION


async def test_another_client_may_use_the_same_create_guid(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served, guid=GUID) as one, session(served) as two:
        first = await one.open("file", create_contexts=(request_v2(),))
        assert await two.open("file", create_contexts=(request_v2(),)) != first


async def test_durable_contexts_that_exclude_each_other(tmp_path: Path) -> None:
    again = (DURABLE_HANDLE_RECONNECT, DurableHandleReconnect(FileId(1, 1)).pack())
    again_v2 = (DurableHandleReconnectV2.NAME, DurableHandleReconnectV2(FileId(1, 1), GUID).pack())
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            for contexts in ((request_v2(), again), (request_v2(), again_v2), (again, again_v2)):
                assert await refusal(peer.open("file", create_contexts=contexts)) is Status.INVALID_PARAMETER
        async with session(served, dialects=(Dialect.SMB_2_1,)) as peer:
            await peer.open("file", create_contexts=(request_v2(), again_v2))


def instance(version: int | None = None) -> tuple[tuple[bytes, bytes], ...]:
    named = (AppInstanceId.NAME, AppInstanceId(OTHER_GUID).pack())
    if version is None:
        return (named,)
    return (named, (AppInstanceVersion.NAME, AppInstanceVersion(1, version).pack()))


async def test_an_application_that_moved_takes_its_file_over(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as old, session(served) as new:
        before = await old.open("file", share_access=0, create_contexts=instance(5))
        assert await refusal(new.open("file")) is Status.SHARING_VIOLATION
        assert await refusal(new.open("file", create_contexts=instance(5))) is Status.FILE_FORCED_CLOSED
        other = new.open("file", share_access=0, create_contexts=instance(4))
        assert await refusal(other) is Status.FILE_FORCED_CLOSED
        taken = await new.open("file", share_access=0, create_contexts=instance(6))
        assert await refusal(old.read(before, 0, 1)) is Status.FILE_CLOSED
        # The same client does not drive itself out.
        assert await refusal(new.open("file", create_contexts=instance(7))) is Status.SHARING_VIOLATION
        await new.close(taken)
