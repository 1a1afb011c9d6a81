"""A break comes when its client can know what it is about: behind the answers that it builds on, and again after a loss."""

import uuid
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.shares import Share
from odxfs.types import Buffer
from odxfs.volume import Inode, Volume
from odxfs.wire.create import CreateDisposition, CreateRequest, CreateResponse, OplockLevel
from odxfs.wire.create_contexts import (
    DurableHandleFlags,
    DurableHandleReconnectV2,
    DurableHandleRequestV2,
    LeaseV2,
    find_create_context,
)
from odxfs.wire.file_id import ANY
from odxfs.wire.header import Command
from odxfs.wire.oplock_break import (
    LeaseBreakAcknowledgment,
    LeaseBreakNotification,
    OplockBreakAcknowledgment,
    OplockBreakNotification,
    unpack_notification,
)
from odxfs.wire.read import ReadRequest
from tests.support.peer import Peer, connect
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve
from tests.support.waiting import until

R, H, W = 1, 2, 4
CLIENT, GUID, KEY = (uuid.UUID(int=number).bytes for number in range(1, 4))
CA = Share("ca", continuously_available=True)
ALL_ONES = (1 << 64) - 1
PERSISTENT = DurableHandleFlags.PERSISTENT


async def come_in(served: Served, peer: Peer, share: str = SHARE) -> None:
    await peer.login(USER, PASSWORD)
    await peer.connect_tree(share)


def request(
    disposition: int = CreateDisposition.OPEN_IF, *contexts: tuple[bytes, bytes], oplock: int = 0
) -> CreateRequest:
    leased = any(name == LeaseV2.NAME for name, _ in contexts)
    level = OplockLevel.LEASE if leased else oplock
    return CreateRequest(
        "file",
        0x001F01FF,
        7,
        create_disposition=disposition,
        requested_oplock_level=level,
        create_contexts=contexts,
    )


def lease(state: int, epoch: int = 0) -> tuple[bytes, bytes]:
    return LeaseV2.NAME, LeaseV2(KEY, state, epoch=epoch).pack()


def lease_of(response: CreateResponse) -> LeaseV2:
    data = find_create_context(response.create_contexts, LeaseV2.NAME)
    assert data is not None
    return LeaseV2.unpack(data)


WISH = DurableHandleRequestV2.NAME, DurableHandleRequestV2(0, PERSISTENT, GUID).pack()


async def told(peer: Peer) -> LeaseBreakNotification | OplockBreakNotification:
    with trio.fail_after(60):
        return unpack_notification((await peer.next_response(ALL_ONES)).pdu)


async def begin_waiting(peer: Peer, disposition: int = CreateDisposition.OPEN) -> int:
    """Open the file, which has to wait for a break: its message id."""
    waiting = await peer.send(Command.CREATE, request(disposition))
    assert (await peer.next_response(waiting)).interim
    return waiting


async def test_what_follows_from_an_acknowledgement_comes_behind_its_answer(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, connect(served.port) as holder, connect(served.port) as other:
        await come_in(served, holder)
        await come_in(served, other)
        await holder.call(Command.CREATE, request(CreateDisposition.OPEN_IF, lease(R | W | H)))
        opening = await begin_waiting(other)
        overwriting = await begin_waiting(other, CreateDisposition.OVERWRITE)
        first = await told(holder)
        assert isinstance(first, LeaseBreakNotification)
        assert first.new_lease_state == R | H
        acknowledging = await holder.send(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(KEY, R | H))
        second = await told(holder)
        assert isinstance(second, LeaseBreakNotification)
        assert second.new_lease_state == R
        assert holder.arrived[-2:] == [acknowledging, ALL_ONES]
        await holder.call(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(KEY, 0))
        for waiting in (opening, overwriting):
            assert (await other.final(waiting)).header.status == Status.SUCCESS


@pytest.mark.parametrize("kind", ["lease", "oplock"])
async def test_a_client_that_comes_back_is_told_again_what_it_may_not_have_heard(
    tmp_path: Path, kind: str
) -> None:
    """Else it goes on with what it caches, and from the end of the time for its answer on that is old."""
    caching = (lease(R | W | H),) if kind == "lease" else ()
    async with serve(tmp_path, shares=[CA]) as served, connect(served.port) as other:
        await come_in(served, other, "ca")
        async with connect(served.port, guid=CLIENT) as holder:
            await come_in(served, holder, "ca")
            made = await holder.call(
                Command.CREATE, request(CreateDisposition.OPEN_IF, WISH, *caching, oplock=OplockLevel.BATCH)
            )
            fid = CreateResponse.unpack(made.pdu).file_id
        await until(lambda: len(served.server.durable) == 1)
        waiting = await begin_waiting(other)
        async with connect(served.port, guid=CLIENT) as holder:
            await come_in(served, holder, "ca")
            again = (DurableHandleReconnectV2.NAME, DurableHandleReconnectV2(fid, GUID, PERSISTENT).pack())
            coming = await holder.send(Command.CREATE, request(CreateDisposition.OPEN, again, *caching))
            notice = await told(holder)
            assert holder.arrived[-2:] == [coming, ALL_ONES]
            back = CreateResponse.unpack((await holder.final(coming)).pdu)
            if isinstance(notice, LeaseBreakNotification):
                assert (kind, notice.current_lease_state, notice.new_lease_state) == (
                    "lease",
                    R | W | H,
                    R | H,
                )
                assert notice.new_epoch == lease_of(back).epoch
                await holder.call(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(KEY, R | H))
            else:
                assert (kind, notice.file_id) == ("oplock", back.file_id)
                await holder.call(
                    Command.OPLOCK_BREAK, OplockBreakAcknowledgment(notice.oplock_level, back.file_id)
                )
            assert (await other.final(waiting)).header.status == Status.SUCCESS


async def test_a_break_does_not_overtake_the_answer_that_grants_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CREATE of a compound is done while what follows it still waits for the disk."""
    begun, goes_on = trio.Event(), trio.Event()
    read = Volume.read

    async def slow_read(volume: Volume, inode: Inode, offset: int, length: int) -> Buffer:
        begun.set()
        await goes_on.wait()
        return await read(volume, inode, offset, length)

    monkeypatch.setattr(Volume, "read_nowait", lambda *_: None)
    monkeypatch.setattr(Volume, "read", slow_read)
    async with serve(tmp_path) as served, connect(served.port) as holder, connect(served.port) as other:
        await come_in(served, holder)
        await come_in(served, other)
        fid = await holder.open("file")
        await holder.write(fid, 0, b"data")
        await holder.close(fid)
        create = request(CreateDisposition.OPEN, lease(R | W | H))
        answers: list[Status] = []

        async def run_compound() -> None:
            calls = ((Command.CREATE, create), (Command.READ, ReadRequest(ANY, 0, 4)))
            answers.extend(Status(answer.header.status) for answer in await holder.compound(calls))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_compound)
            await begun.wait()
            waiting = await begin_waiting(other)
            await until(lambda: ALL_ONES in holder.arrived)
            assert holder.arrived.index(ALL_ONES) > 0
            created = holder.arrived[holder.arrived.index(ALL_ONES) - 1]
            goes_on.set()
        assert answers == [Status.SUCCESS, Status.SUCCESS]
        assert holder.arrived[-1] == created + 1, "the READ's answer comes last"
        await holder.call(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(KEY, R | H))
        assert (await other.final(waiting)).header.status == Status.SUCCESS


async def test_a_lease_that_is_broken_is_in_its_next_epoch_after_a_restart(tmp_path: Path) -> None:
    """Its client may have heard of the break, and disregards what is older."""
    async with serve(tmp_path, shares=[CA]) as served, connect(served.port) as other:
        await come_in(served, other, "ca")
        async with connect(served.port, guid=CLIENT) as holder:
            await come_in(served, holder, "ca")
            made = await holder.call(
                Command.CREATE, request(CreateDisposition.OPEN_IF, WISH, lease(R | W | H, epoch=4))
            )
            before = lease_of(CreateResponse.unpack(made.pdu)).epoch
            await begin_waiting(other)
            notice = await told(holder)
            assert isinstance(notice, LeaseBreakNotification)
            assert notice.new_epoch == before + 1
            fid = CreateResponse.unpack(made.pdu).file_id
    async with serve(tmp_path) as served, connect(served.port, guid=CLIENT) as holder:
        await come_in(served, holder, "ca")
        again = (DurableHandleReconnectV2.NAME, DurableHandleReconnectV2(fid, GUID, PERSISTENT).pack())
        back = await holder.call(Command.CREATE, request(CreateDisposition.OPEN, again, lease(0)))
        assert lease_of(CreateResponse.unpack(back.pdu)).epoch >= notice.new_epoch
