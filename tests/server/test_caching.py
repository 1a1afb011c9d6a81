"""Oplocks and leases as clients see them: what they get, what they are told, who waits, and what a silent client costs."""

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.smb.caching import breaks, leases
from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.volume import Pool, Volume
from odxfs.wire.client_exchange import ALL_ONES
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateOptions, CreateRequest, CreateResponse, OplockLevel
from odxfs.wire.create_contexts import (
    REQUEST_LEASE,
    Lease,
    LeaseFlags,
    LeaseV2,
    find_create_context,
    unpack_lease,
)
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.negotiate import Capabilities
from odxfs.wire.oplock_break import (
    LeaseBreakAcknowledgment,
    LeaseBreakFlags,
    LeaseBreakNotification,
    OplockBreakAcknowledgment,
    OplockBreakNotification,
    unpack_notification,
)
from odxfs.wire.set_info import SetInfoRequest
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Peer, logged_in
from tests.support.serving import OTHER_PASSWORD, OTHER_USER, PASSWORD, SHARE, USER, Served, serve

R, H, W = 1, 2, 4
RH, RWH = R | H, R | W | H
KEY, OTHER_KEY, FOLDER_KEY = b"k" * 16, b"o" * 16, b"f" * 16


@dataclass(frozen=True)
class Two:
    """A server, and two clients of it."""

    served: Served
    first: Peer
    second: Peer


@asynccontextmanager
async def two_clients(directory: Path, settings: ServerSettings | None = None) -> AsyncIterator[Two]:
    with trio.fail_after(60):
        async with (
            serve(directory, settings) as served,
            logged_in(served.port, USER, PASSWORD, SHARE) as first,
            logged_in(served.port, USER, PASSWORD, SHARE) as second,
        ):
            yield Two(served, first, second)


def lease_v1(state: int, key: bytes = KEY) -> dict[str, object]:
    """The fields of a CREATE that asks for a lease."""
    context = (REQUEST_LEASE, Lease(key, state).pack())
    return {"requested_oplock_level": OplockLevel.LEASE, "create_contexts": (context,)}


def lease_v2(state: int, key: bytes = KEY, parent: bytes | None = None, epoch: int = 0) -> dict[str, object]:
    flags = LeaseFlags.PARENT_LEASE_KEY_SET if parent is not None else 0
    context = (REQUEST_LEASE, LeaseV2(key, state, flags, 0, parent or bytes(16), epoch).pack())
    return {"requested_oplock_level": OplockLevel.LEASE, "create_contexts": (context,)}


def oplock(level: int) -> dict[str, object]:
    return {"requested_oplock_level": level}


def leased(response: CreateResponse) -> Lease | LeaseV2:
    """What the answer to a CREATE says of its lease."""
    assert response.oplock_level == OplockLevel.LEASE
    data = find_create_context(response.create_contexts, REQUEST_LEASE)
    assert data is not None
    return unpack_lease(data)


async def told(peer: Peer) -> LeaseBreakNotification | OplockBreakNotification:
    """The next break that the server tells the client of."""
    return unpack_notification((await peer.next_response(ALL_ONES)).pdu)


async def agree(peer: Peer, state: int, key: bytes = KEY) -> Status:
    response = await peer.answer(Command.OPLOCK_BREAK, LeaseBreakAcknowledgment(key, state))
    return Status(response.header.status)


async def agree_oplock(peer: Peer, fid: FileId, level: int) -> Status:
    response = await peer.answer(Command.OPLOCK_BREAK, OplockBreakAcknowledgment(level, fid))
    return Status(response.header.status)


def opening(name: str, **fields: object) -> CreateRequest:
    values = {"desired_access": FILE_ALL_ACCESS, "share_access": SHARE_ALL, "create_disposition": 1, **fields}
    return CreateRequest(name, **values)  # type: ignore[arg-type]


async def test_leasing_is_announced(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        (connection, _) = two.served.server.connections
        assert connection.server_capabilities & Capabilities.LEASING


async def test_an_oplock_is_granted_broken_for_another_open_and_agreed_to(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        held = await two.first.create("file", **oplock(OplockLevel.BATCH))
        assert held.oplock_level == OplockLevel.BATCH
        waiting = await two.second.send(Command.CREATE, opening("file", **oplock(OplockLevel.BATCH)))
        assert (await two.second.next_response(waiting)).interim
        assert await told(two.first) == OplockBreakNotification(OplockLevel.II, held.file_id)
        assert await agree_oplock(two.first, held.file_id, OplockLevel.II) is Status.SUCCESS
        second = CreateResponse.unpack((await two.second.final(waiting)).pdu)
        assert second.oplock_level == OplockLevel.II
        assert await agree_oplock(two.first, held.file_id, OplockLevel.NONE) is Status.INVALID_OPLOCK_PROTOCOL


async def test_who_agrees_to_nonsense_loses_the_oplock(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        held = await two.first.create("file", **oplock(OplockLevel.EXCLUSIVE))
        assert await agree_oplock(two.first, held.file_id, OplockLevel.II) is Status.INVALID_DEVICE_STATE
        waiting = await two.second.send(Command.CREATE, opening("file", **oplock(OplockLevel.II)))
        await told(two.first)
        assert (
            await agree_oplock(two.first, held.file_id, OplockLevel.BATCH) is Status.INVALID_OPLOCK_PROTOCOL
        )
        assert CreateResponse.unpack((await two.second.final(waiting)).pdu).oplock_level == OplockLevel.II


async def test_a_lease_belongs_to_all_opens_of_its_key_and_counts_its_epochs(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        assert leased(await two.first.create("file", **lease_v2(RWH, epoch=7))).epoch == 8
        again = leased(await two.first.create("file", **lease_v2(0)))
        assert (again.lease_state, again.epoch) == (RWH, 8)
        waiting = await two.second.send(Command.CREATE, opening("file", **lease_v2(RWH, OTHER_KEY)))
        assert await told(two.first) == LeaseBreakNotification(KEY, RWH, RH, 9, LeaseBreakFlags.ACK_REQUIRED)
        during = leased(await two.first.create("file", **lease_v2(RWH)))
        assert (during.lease_state, during.lease_flags) == (RWH, LeaseFlags.BREAK_IN_PROGRESS)
        assert await agree(two.first, RWH) is Status.REQUEST_NOT_ACCEPTED
        assert await agree(two.first, RH) is Status.SUCCESS
        assert await agree(two.first, RH) is Status.UNSUCCESSFUL
        assert leased(CreateResponse.unpack((await two.second.final(waiting)).pdu)).lease_state == RH


async def test_an_acknowledgement_is_the_clients_own(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        await two.first.create("file", **lease_v1(RWH))
        waiting = await two.second.send(Command.CREATE, opening("file"))
        await told(two.first)
        assert await agree(two.second, 0) is Status.OBJECT_NAME_NOT_FOUND
        assert await agree(two.first, 0, OTHER_KEY) is Status.OBJECT_NAME_NOT_FOUND
        assert await agree(two.first, RH) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS


async def test_an_acknowledgement_is_the_users_own(tmp_path: Path) -> None:
    guid = uuid.uuid4().bytes
    async with (
        serve(tmp_path) as served,
        logged_in(served.port, USER, PASSWORD, SHARE, guid=guid) as owner,
        logged_in(served.port, OTHER_USER, OTHER_PASSWORD, SHARE, guid=guid) as stranger,
        logged_in(served.port, USER, PASSWORD, SHARE) as other,
    ):
        await owner.create("file", **lease_v1(RWH))
        waiting = await other.send(Command.CREATE, opening("file"))
        await told(owner)
        assert await agree(stranger, RH) is Status.OBJECT_NAME_NOT_FOUND
        assert await agree(owner, RH) is Status.SUCCESS
        assert (await other.final(waiting)).header.status == Status.SUCCESS


async def test_leases_of_a_client_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_LEASES_PER_CLIENT", 1)
    async with two_clients(tmp_path) as two:
        first = await two.first.create("one", **lease_v1(R))
        assert leased(first).lease_state == R
        more = await two.first.create("two", **lease_v1(R, OTHER_KEY))
        assert find_create_context(more.create_contexts, REQUEST_LEASE) is None, "open, but not to be cached"
        await two.first.close(first.file_id)
        assert leased(await two.first.create("three", **lease_v1(R, OTHER_KEY))).lease_state == R


async def test_a_key_is_refused_for_another_file_which_is_not_made(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        held = await two.first.open("file", **lease_v1(R))
        request = opening("other", create_disposition=CreateDisposition.CREATE, **lease_v1(R))
        refused = await two.first.answer(Command.CREATE, request)
        assert refused.header.status == Status.INVALID_PARAMETER
        missing = await two.first.answer(Command.CREATE, opening("other"))
        assert missing.header.status == Status.OBJECT_NAME_NOT_FOUND
        await two.first.close(held)
        assert leased(await two.first.create("other", **lease_v1(R))).lease_state == R


async def test_a_client_that_does_not_answer_costs_the_others_one_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaks, "BREAK_SECONDS", 0.05)
    async with two_clients(tmp_path) as two:
        await two.first.create("file", **lease_v1(RWH))
        assert leased(await two.second.create("file", **lease_v1(RWH, OTHER_KEY))).lease_state == RH
        assert await agree(two.first, RH) is Status.UNSUCCESSFUL
        assert leased(await two.first.create("file", **lease_v1(0))).lease_state == 0
        assert len(two.served.server.breaks) == 0


async def test_a_client_that_is_lost_is_not_waited_for(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        async with logged_in(two.served.port, USER, PASSWORD, SHARE) as lost:
            await lost.create("file", **lease_v1(RWH))
            waiting = await two.second.send(Command.CREATE, opening("file"))
            await told(lost)
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS
        assert len(two.served.server.leases) == 0
        assert len(two.served.server.breaks) == 0


async def test_a_file_that_is_only_cached_open_is_closed_for_who_wants_it_alone(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        held = await two.first.open("file", **lease_v1(RH))
        waiting = await two.second.send(Command.CREATE, opening("file", share_access=0))
        assert await told(two.first) == LeaseBreakNotification(KEY, RH, R, flags=LeaseBreakFlags.ACK_REQUIRED)
        await two.first.close(held)
        opened = CreateResponse.unpack((await two.second.final(waiting)).pdu)
        await two.second.close(opened.file_id)
        await two.first.open("file", **lease_v1(RH))
        waiting = await two.second.send(Command.CREATE, opening("file", share_access=0))
        await told(two.first)
        assert await agree(two.first, R) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SHARING_VIOLATION


async def test_a_waiting_open_can_be_cancelled_and_leaves_nothing(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        held = await two.first.open("file", **lease_v1(RWH))
        waiting = await two.second.send(Command.CREATE, opening("file"))
        interim = await two.second.next_response(waiting)
        await two.second.cancel(waiting, interim.header.async_id)
        assert (await two.second.final(waiting)).header.status == Status.CANCELLED
        await two.first.close(held)
        assert len(two.served.server.opens) == 0


@dataclass(frozen=True)
class Slowed:
    """A step of the server that begins when it is reached and ends when the test says so."""

    reached: trio.Event
    go_on: trio.Event


def slow_down(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> Slowed:
    slowed, plain = Slowed(trio.Event(), trio.Event()), getattr(owner, name)

    async def slow(*arguments: object) -> object:
        slowed.reached.set()
        await slowed.go_on.wait()
        return await plain(*arguments)

    monkeypatch.setattr(owner, name, slow)
    return slowed


async def test_a_rename_that_is_done_is_not_cancelled_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        await two.second.create("f", **lease_v2(RH))
        fid = await two.first.open("f")
        kernel = slow_down(monkeypatch, Pool, "followed")
        rename = FileRenameInformation("g").pack()
        waiting = await two.first.send(
            Command.SET_INFO, SetInfoRequest(1, FileInformationClass.RENAME, fid, rename)
        )
        assert (await two.first.next_response(waiting)).interim
        await told(two.second)
        assert await agree(two.second, R) == Status.SUCCESS
        await kernel.reached.wait()
        await two.first.cancel(waiting)
        await two.first.call(Command.ECHO, EchoRequest())
        kernel.go_on.set()
        assert (await two.first.final(waiting)).header.status == Status.SUCCESS


async def test_an_overwriting_open_that_has_begun_is_not_cancelled_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_clients(tmp_path) as two:
        await two.second.create("f", **lease_v2(RWH))
        catalog = slow_down(monkeypatch, Volume, "list_streams")
        overwriting = opening("f", create_disposition=CreateDisposition.OVERWRITE)
        waiting = await two.first.send(Command.CREATE, overwriting)
        assert (await two.first.next_response(waiting)).interim
        await told(two.second)
        assert await agree(two.second, 0) == Status.SUCCESS
        await catalog.reached.wait()
        await two.first.cancel(waiting)
        await two.first.call(Command.ECHO, EchoRequest())
        catalog.go_on.set()
        assert (await two.first.final(waiting)).header.status == Status.SUCCESS


async def test_in_the_middle_of_a_compound_an_open_waits_silently(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        await two.first.open("file", **lease_v1(RWH))
        answers: list[int] = []

        async def open_and_close() -> None:
            calls = [
                (Command.CREATE, opening("file")),
                (Command.CLOSE, CloseRequest(FileId(ALL_ONES, ALL_ONES))),
            ]
            answers.extend(answer.header.status for answer in await two.second.compound(calls))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_and_close)
            await told(two.first)
            assert await agree(two.first, RH) is Status.SUCCESS
        assert answers == [Status.SUCCESS, Status.SUCCESS]


Change = Callable[[Peer, FileId], Awaitable[object]]


async def _write(peer: Peer, fid: FileId) -> None:
    await peer.write(fid, 0, b"new")


async def _lock(peer: Peer, fid: FileId) -> None:
    await peer.call(Command.LOCK, LockRequest(fid, (LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK),)))


async def _cut(peer: Peer, fid: FileId) -> None:
    await peer.call(Command.SET_INFO, SetInfoRequest(1, 20, fid, bytes(8)))


async def _allocate(peer: Peer, fid: FileId) -> None:
    await peer.call(Command.SET_INFO, SetInfoRequest(1, 19, fid, bytes(8)))


async def _zero(peer: Peer, fid: FileId) -> None:
    data = (0).to_bytes(8, "little") + (4).to_bytes(8, "little")
    await peer.call(Command.IOCTL, IoctlRequest(Fsctl.SET_ZERO_DATA, fid, data))


@pytest.mark.parametrize("change", [_write, _lock, _cut, _allocate, _zero])
async def test_whoever_changes_a_file_ends_what_others_read_from_memory(
    tmp_path: Path, change: Change
) -> None:
    async with two_clients(tmp_path) as two:
        writer = await two.second.open("file")
        await two.second.write(writer, 0, b"old data")
        assert leased(await two.first.create("file", **lease_v1(R))).lease_state == R
        assert (await two.second.create("file", **oplock(OplockLevel.II))).oplock_level == OplockLevel.II
        await change(two.second, writer)
        assert await told(two.first) == LeaseBreakNotification(KEY, R, 0)
        own = await told(two.second)
        assert isinstance(own, OplockBreakNotification), "a level II oplock ends for its own client, too"
        assert own.oplock_level == OplockLevel.NONE


@pytest.mark.parametrize("name", ["f", "f:s"])
async def test_who_comes_while_a_file_is_emptied_is_told_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with two_clients(tmp_path) as two:
        fid = await two.first.open(name)
        await two.first.write(fid, 0, b"old")
        await two.first.close(fid)
        disk = slow_down(monkeypatch, Volume, "truncate")
        overwriting = await two.first.send(
            Command.CREATE, opening(name, create_disposition=CreateDisposition.OVERWRITE)
        )
        await disk.reached.wait()
        answer = await two.second.create(name, CreateDisposition.OPEN, **lease_v2(RH))
        assert (answer.end_of_file, leased(answer).lease_state) == (3, RH)
        disk.go_on.set()
        broken = await told(two.second)
        assert isinstance(broken, LeaseBreakNotification)
        assert broken.new_lease_state == 0
        assert (await two.first.final(overwriting)).header.status == Status.SUCCESS


@pytest.mark.parametrize("name", ["f", "f:s"])
async def test_who_empties_a_file_keeps_its_own_lease(tmp_path: Path, name: str) -> None:
    async with two_clients(tmp_path) as two:
        await two.first.create(name, **lease_v2(RWH))
        answer = await two.first.create(name, CreateDisposition.OVERWRITE, **lease_v2(RWH))
        assert leased(answer).lease_state == RWH
        assert not leased(answer).lease_flags & LeaseFlags.BREAK_IN_PROGRESS


async def test_a_stream_becomes_data_once_nobody_caches_the_file(tmp_path: Path) -> None:
    rename = FileRenameInformation("::$DATA").pack()
    async with two_clients(tmp_path) as two:
        answer = await two.second.create("f", CreateDisposition.CREATE, **lease_v2(RWH))
        stream = await two.first.open("f:s", CreateDisposition.CREATE)
        await two.first.write(stream, 0, b"stream")
        change = SetInfoRequest(1, FileInformationClass.RENAME, stream, rename)
        renaming = await two.first.send(Command.SET_INFO, change)
        assert (await two.first.next_response(renaming)).interim
        broken = await told(two.second)
        assert isinstance(broken, LeaseBreakNotification)
        await two.second.write(answer.file_id, 0, b"cached")
        assert await agree(two.second, 0) == Status.SUCCESS
        refused = await two.first.final(renaming)
        assert refused.header.status == Status.INVALID_PARAMETER  # the file is not empty, as it turns out
        assert await two.second.read(answer.file_id, 0, 100) == b"cached"


async def test_a_rename_waits_for_who_caches_the_open_of_a_file(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        await two.first.open("file", **lease_v1(RH))
        fid = await two.second.open("file")
        name = "renamed".encode("utf-16-le")
        buffer = bytes(16) + len(name).to_bytes(4, "little") + name
        waiting = await two.second.send(Command.SET_INFO, SetInfoRequest(1, 10, fid, buffer))
        assert await told(two.first) == LeaseBreakNotification(KEY, RH, R, flags=LeaseBreakFlags.ACK_REQUIRED)
        missing = await two.first.answer(Command.CREATE, opening("renamed"))
        assert missing.header.status == Status.OBJECT_NAME_NOT_FOUND
        assert await agree(two.first, R) is Status.SUCCESS
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS


async def test_a_folder_is_renamed_once_the_files_in_it_are_only_cached_open(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        folder = await two.second.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        held = await two.first.open("folder\\file", **lease_v1(RH))
        name = "renamed".encode("utf-16-le")
        buffer = bytes(16) + len(name).to_bytes(4, "little") + name
        waiting = await two.second.send(Command.SET_INFO, SetInfoRequest(1, 10, folder, buffer))
        assert await told(two.first) == LeaseBreakNotification(KEY, RH, R, flags=LeaseBreakFlags.ACK_REQUIRED)
        await two.first.close(held)
        assert (await two.second.final(waiting)).header.status == Status.SUCCESS


async def test_a_directory_lease_ends_for_others_changes_but_not_for_its_own(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        folder = {"create_options": CreateOptions.DIRECTORY_FILE}
        held = leased(await two.first.create("folder", **folder, **lease_v2(RWH, FOLDER_KEY)))
        assert held.lease_state == RH, "a folder has nothing to write back"
        await two.first.open("folder\\own", **lease_v2(R, KEY, FOLDER_KEY))
        again = leased(await two.first.create("folder", **folder, **lease_v2(0, FOLDER_KEY)))
        assert again.lease_state == RH
        fid = await two.second.open("folder\\other")
        ended = await told(two.first)
        assert ended == LeaseBreakNotification(FOLDER_KEY, RH, 0, 2, LeaseBreakFlags.ACK_REQUIRED)
        assert await agree(two.first, 0, FOLDER_KEY) is Status.SUCCESS
        assert leased(await two.first.create("folder", **folder, **lease_v2(R, FOLDER_KEY))).lease_state == R
        await two.second.write(fid, 0, b"data")
        await two.second.close(fid)
        assert await told(two.first) == LeaseBreakNotification(FOLDER_KEY, R, 0, 4)


async def test_version_one_leases_no_folder(tmp_path: Path) -> None:
    async with two_clients(tmp_path) as two:
        fields = {"create_options": CreateOptions.DIRECTORY_FILE, **lease_v1(RH)}
        assert (await two.first.create("folder", **fields)).oplock_level == OplockLevel.NONE


async def test_breaks_of_an_encrypted_session_are_encrypted(tmp_path: Path) -> None:
    settings = ServerSettings(failed_login_seconds=0.0, encryption=Encryption.REQUIRED)
    async with two_clients(tmp_path, settings) as two:
        held = await two.first.open("file", **lease_v1(RH))
        await two.second.open("file", CreateDisposition.OVERWRITE)
        response = await two.first.next_response(ALL_ONES)
        assert response.encrypted
        assert unpack_notification(response.pdu) == LeaseBreakNotification(KEY, RH, 0, flags=1)
        await two.first.close(held)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def pack(self) -> bytes:
        return self._data


async def test_damaged_acknowledgements_are_refused_and_nothing_else(tmp_path: Path) -> None:
    source = random.Random(5)
    async with two_clients(tmp_path) as two:
        held = await two.first.create("file", **lease_v1(RWH))
        batch = await two.first.create("other", **oplock(OplockLevel.BATCH))
        whole = (
            LeaseBreakAcknowledgment(KEY, RH).pack(),
            OplockBreakAcknowledgment(OplockLevel.II, batch.file_id).pack(),
        )
        for _ in range(300):
            data = bytearray(source.choice(whole))
            for _ in range(source.randrange(4)):
                data[source.randrange(2, len(data))] = source.randrange(256)
            del data[source.choice((len(data), source.randrange(2, len(data)))) :]
            response = await two.first.answer(Command.OPLOCK_BREAK, _Bytes(bytes(data)))
            assert Status(response.header.status) not in (Status.SUCCESS, Status.INTERNAL_ERROR)
        await two.first.call(Command.ECHO, EchoRequest())
        assert leased(await two.first.create("file", **lease_v1(0))).lease_state == RWH
        await two.first.close(held.file_id)
