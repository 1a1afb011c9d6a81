"""Durable opens rest on what their client caches: what is granted with which oplock or lease, and who drives them out."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from odxfs.ntstatus import Status
from odxfs.smb.shares import Share
from odxfs.wire.create import CreateAction, CreateDisposition, CreateRequest, CreateResponse, OplockLevel
from odxfs.wire.create_contexts import (
    DurableHandleFlags,
    DurableHandleReconnect,
    DurableHandleReconnectV2,
    DurableHandleRequest,
    DurableHandleRequestV2,
    DurableHandleResponseV2,
    LeaseV2,
    find_create_context,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.oplock_break import LeaseBreakAcknowledgment
from tests.support.peer import Peer, Refused, connect
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

R, H, W = 1, 2, 4
CLIENT, GUID, KEY, OTHER_KEY = (uuid.UUID(int=number).bytes for number in range(1, 5))
CA = Share("ca", continuously_available=True)
LOCK_NOW = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY


@asynccontextmanager
async def session(
    served: Served, share: str = SHARE, previous: int = 0, **options: Any
) -> AsyncIterator[Peer]:
    async with connect(served.port, **{"guid": CLIENT, **options}) as peer:
        await peer.login(USER, PASSWORD, previous=previous)
        await peer.connect_tree(share)
        yield peer


async def refusal(awaitable: Any) -> Status:
    with pytest.raises(Refused) as refused:
        await awaitable
    return refused.value.status


def wish_v2(create_guid: bytes = GUID, timeout: int = 0, flags: int = 0) -> tuple[bytes, bytes]:
    return (DurableHandleRequestV2.NAME, DurableHandleRequestV2(timeout, flags, create_guid).pack())


def lease(state: int, key: bytes = KEY, epoch: int = 0) -> tuple[bytes, bytes]:
    return (LeaseV2.NAME, LeaseV2(key, state, epoch=epoch).pack())


WISH = (DurableHandleRequest.NAME, DurableHandleRequest().pack())


async def create(
    peer: Peer, *contexts: tuple[bytes, bytes], name: str = "file", **fields: Any
) -> CreateResponse:
    leased = any(kind == LeaseV2.NAME for kind, _ in contexts)
    values = {"requested_oplock_level": OplockLevel.LEASE if leased else OplockLevel.BATCH, **fields}
    return await peer.create(name, create_contexts=contexts, **values)


async def come_back(
    peer: Peer, fid: FileId, *contexts: tuple[bytes, bytes], name: str = "file"
) -> CreateResponse:
    again = (DurableHandleReconnect.NAME, DurableHandleReconnect(fid).pack())
    return await peer.create(name, CreateDisposition.OPEN, create_contexts=(again, *contexts))


async def come_back_v2(
    peer: Peer, fid: FileId, *contexts: tuple[bytes, bytes], flags: int = 0, name: str = "file"
) -> CreateResponse:
    again = (DurableHandleReconnectV2.NAME, DurableHandleReconnectV2(fid, GUID, flags).pack())
    return await peer.create(name, CreateDisposition.OPEN, create_contexts=(again, *contexts))


def granted_v2(response: CreateResponse) -> DurableHandleResponseV2 | None:
    data = find_create_context(response.create_contexts, DurableHandleResponseV2.NAME)
    return DurableHandleResponseV2.unpack(data) if data is not None else None


def leased(response: CreateResponse) -> tuple[int, int]:
    """State and epoch."""
    data = find_create_context(response.create_contexts, LeaseV2.NAME)
    assert data is not None
    answer = LeaseV2.unpack(data)
    return answer.lease_state, answer.epoch


@pytest.mark.parametrize("dialect", [Dialect.SMB_2_1, Dialect.SMB_3_1_1])
@pytest.mark.parametrize(
    "level", [OplockLevel.NONE, OplockLevel.II, OplockLevel.EXCLUSIVE, OplockLevel.BATCH]
)
async def test_a_durable_open_needs_a_batch_oplock(
    tmp_path: Path, dialect: Dialect, level: OplockLevel
) -> None:
    async with serve(tmp_path) as served:
        async with session(served, dialects=(dialect,)) as peer:
            made = await create(peer, WISH, requested_oplock_level=level)
            is_durable = find_create_context(made.create_contexts, WISH[0]) is not None
            assert is_durable == (level is OplockLevel.BATCH)
            await peer.write(made.file_id, 0, b"data")
        kept = int(is_durable)
        await until(lambda: (len(served.server.registry), len(served.server.durable)) == (kept, kept))
        async with session(served, dialects=(dialect,), guid=GUID) as peer:
            if not is_durable:
                assert await refusal(come_back(peer, made.file_id)) is Status.OBJECT_NAME_NOT_FOUND
                return
            again = await come_back(peer, made.file_id, name="nonsense")
            assert (again.create_action, again.oplock_level) == (CreateAction.OPENED, OplockLevel.BATCH)
            assert await peer.read(again.file_id, 0, 4) == b"data"


@pytest.mark.parametrize("state", [0, R, R | W, R | H, R | W | H])
async def test_a_durable_open_of_version_2_needs_a_lease_with_handle(tmp_path: Path, state: int) -> None:
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            made = await create(peer, wish_v2(timeout=1000), lease(state))
            answer = granted_v2(made)
            assert (answer is not None) == bool(state & H)
            assert answer is None or (answer.timeout, answer.flags) == (1000, 0)
        kept = int(bool(state & H))
        await until(lambda: (len(served.server.registry), len(served.server.durable)) == (kept, kept))


@pytest.mark.parametrize(("asked", "granted"), [(0, 60_000), (1, 1), (2**32 - 1, 300_000)])
async def test_the_time_that_a_client_gets(tmp_path: Path, asked: int, granted: int) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        answer = granted_v2(await create(peer, wish_v2(timeout=asked)))
        assert answer is not None
        assert answer.timeout == granted


async def test_a_leased_open_wants_its_client_its_key_and_its_name(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            fid = (await create(peer, wish_v2(), lease(R | W | H, epoch=4))).file_id
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, guid=GUID) as other:
            assert await refusal(come_back_v2(other, fid, lease(0))) is Status.OBJECT_NAME_NOT_FOUND
        async with session(served) as peer:
            assert await refusal(come_back_v2(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND
            assert await refusal(come_back_v2(peer, fid, lease(0, OTHER_KEY))) is Status.OBJECT_NAME_NOT_FOUND
            wrong_name = come_back_v2(peer, fid, lease(0), name="other")
            assert await refusal(wrong_name) is Status.INVALID_PARAMETER
            again = await come_back_v2(peer, fid, lease(0))
            assert again.oplock_level == OplockLevel.LEASE
            assert leased(again) == (R | W | H, 5)


async def test_whoever_wants_the_file_drives_a_parked_durable_open_out(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            fid = (await create(peer, wish_v2(), share_access=0)).file_id
            await peer.call(Command.LOCK, LockRequest(fid, (LockElement(0, 10, LOCK_NOW),)))
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, guid=GUID) as other:
            mine = await other.open("file", share_access=0)
            await other.call(Command.LOCK, LockRequest(mine, (LockElement(0, 10, LOCK_NOW),)))
            assert len(served.server.durable) == 0
        async with session(served) as peer:
            assert await refusal(come_back_v2(peer, fid)) is Status.OBJECT_NAME_NOT_FOUND


async def test_a_parked_open_stays_where_nothing_is_taken_from_it(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with session(served) as peer:
            fid = (await create(peer, wish_v2(), lease(R | H))).file_id
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, guid=GUID) as other:
            await other.close(await other.open("file"))
        async with session(served) as peer:
            assert leased(await come_back_v2(peer, fid, lease(0)))[0] == R | H


@pytest.mark.parametrize("way", ["logoff", "previous session"])
async def test_a_session_that_ends_leaves_its_durable_opens(tmp_path: Path, way: str) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        fid = (await create(peer, wish_v2())).file_id
        previous = peer.session_id
        if way == "logoff":
            await peer.call(Command.LOGOFF, LogoffRequest())
            previous = 0
        async with session(served, previous=previous) as again:
            assert (await come_back_v2(again, fid)).file_id.persistent == fid.persistent


async def test_a_repeated_create_speaks_of_the_oplock_that_it_asks_for(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as peer:
        first = await create(peer, wish_v2())
        peer.replay = True
        weaker = await create(peer, wish_v2(), requested_oplock_level=OplockLevel.NONE)
        assert (weaker.file_id, weaker.oplock_level, granted_v2(weaker)) == (first.file_id, 0, None)
        assert await create(peer, wish_v2()) == first
        assert await refusal(create(peer, wish_v2(), lease(R | H))) is Status.ACCESS_DENIED


async def test_a_create_that_waits_is_not_done_twice(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, session(served) as holder, session(served, guid=GUID) as peer:
        held = (await create(holder, lease(R | W | H))).file_id
        fields = {"create_contexts": (wish_v2(),), "create_disposition": CreateDisposition.OPEN}
        waiting = await peer.send(Command.CREATE, _request(**fields))
        assert (await peer.next_response(waiting)).interim
        assert await refusal(create(peer, wish_v2())) is Status.DUPLICATE_OBJECTID
        peer.replay = True
        assert await refusal(create(peer, wish_v2())) is Status.FILE_NOT_AVAILABLE
        await holder.close(held)
        made = CreateResponse.unpack((await peer.final(waiting)).pdu)
        repeated = await create(peer, wish_v2(), requested_oplock_level=OplockLevel.NONE)
        assert repeated.file_id == made.file_id


def _request(**fields: Any) -> CreateRequest:
    return CreateRequest("file", 0x001F01FF, 7, **fields)


PERSISTENT = DurableHandleFlags.PERSISTENT


async def test_a_lease_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served, "ca") as peer:
        first = await create(peer, wish_v2(flags=PERSISTENT), lease(R | H, epoch=6))
        assert leased(first) == (R | H, 7)
        second = await create(peer, wish_v2(OTHER_KEY, flags=PERSISTENT), lease(R | W | H))
        assert leased(second)[0] == R | W | H
        state = leased(second)
    async with serve(tmp_path) as served, session(served, "ca") as peer:
        again = await come_back_v2(peer, first.file_id, lease(0), flags=PERSISTENT)
        assert leased(again) == state
        # It is one lease: who writes elsewhere takes it from both.
        async with session(served, "ca", guid=GUID) as other:
            opening = await other.send(Command.CREATE, _request(create_disposition=CreateDisposition.OPEN))
            assert (await other.next_response(opening)).interim
            await peer.close(again.file_id)


async def test_an_oplock_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served, session(served, "ca") as peer:
        fid = (await create(peer, wish_v2(flags=PERSISTENT))).file_id
    async with serve(tmp_path) as served, session(served, "ca") as peer:
        again = await come_back_v2(peer, fid, flags=PERSISTENT)
        assert again.oplock_level == OplockLevel.BATCH


async def test_a_persistent_open_stays_when_somebody_wants_its_file(tmp_path: Path) -> None:
    async with serve(tmp_path, shares=[CA]) as served:
        async with session(served, "ca") as peer:
            fid = (
                await create(peer, wish_v2(flags=PERSISTENT), share_access=0, requested_oplock_level=0)
            ).file_id
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, "ca", guid=GUID) as other:
            assert await refusal(other.open("file")) is Status.SHARING_VIOLATION
        async with session(served, "ca") as peer:
            await come_back_v2(peer, fid, flags=PERSISTENT)


async def test_a_lease_that_was_taken_meanwhile_does_not_come_back_with_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client would believe in what it has cached, though somebody else has written since."""
    monkeypatch.setattr("odxfs.smb.caching.breaks.BREAK_SECONDS", 0.02)
    async with serve(tmp_path, shares=[CA]) as served:
        async with session(served, "ca") as peer:
            fid = (await create(peer, wish_v2(flags=PERSISTENT), lease(R | W | H))).file_id
        await until(lambda: len(served.server.durable) == 1)
        async with session(served, "ca", guid=GUID) as other:
            taken = await other.open("file")
            await other.write(taken, 0, b"since", flags=1)
    async with serve(tmp_path) as served, session(served, "ca") as peer:
        again = await come_back_v2(peer, fid, lease(0), flags=PERSISTENT)
        assert leased(again)[0] & (R | W) == 0
        assert await peer.read(again.file_id, 0, 5) == b"since"


async def test_an_acknowledged_break_is_what_a_restart_brings_back(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, shares=[CA]) as served,
        session(served, "ca") as peer,
        session(served, "ca", guid=GUID) as other,
    ):
        fid = (await create(peer, wish_v2(flags=PERSISTENT), lease(R | W | H))).file_id
        opening = await other.send(Command.CREATE, _request(create_disposition=CreateDisposition.OPEN))
        assert (await other.next_response(opening)).interim
        await peer.call(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(KEY, R | H))
        assert (await other.final(opening)).header.status == Status.SUCCESS
    async with serve(tmp_path) as served, session(served, "ca") as peer:
        assert leased(await come_back_v2(peer, fid, lease(0), flags=PERSISTENT))[0] == R | H
