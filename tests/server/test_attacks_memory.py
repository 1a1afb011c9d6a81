"""What a client can make the server hold, and for how long."""

import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.smb.limits import (
    MAX_LOCKS_PER_OPEN,
    MAX_LOCKS_PER_SESSION,
    MAX_PIPES_PER_SESSION,
    MAX_WATCHES_PER_SESSION,
)
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.client_connection import Call
from odxfs.wire.create import CreateOptions
from odxfs.wire.credits import CREDIT_BYTES
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.ea import MAX_EAS, ExtendedAttribute, pack_full_ea, pack_get_ea
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import Body, Peer, Refused, logged_in
from tests.support.remote import remote, served
from tests.support.serving import PASSWORD, SHARE, USER, serve

MEBIBYTE = 1024 * 1024


async def _write_and_wait(peer: Peer, write: WriteRequest, notify: ChangeNotifyRequest) -> None:
    """Both in one frame; the second is told that it waits."""
    charge = len(write.data) // CREDIT_BYTES
    calls = [
        Call(Command.WRITE, write.pack(), None, peer.tree_id, peer.session_id, charge),
        Call(Command.CHANGE_NOTIFY, notify.pack(), None, peer.tree_id, peer.session_id),
    ]
    (_, waiting), buffers = peer.wire.compound(calls)
    await peer.stream.send_all(b"".join(buffers))
    assert (await peer.next_response(waiting)).interim


async def test_what_waits_for_long_does_not_keep_the_frame_it_came_in(tmp_path: Path) -> None:
    """A notify behind a write of 3 MiB would otherwise keep these 3 MiB, and 512 may wait on one connection."""
    waiting, data = 10, bytes(3 * MEBIBYTE)
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        file = await peer.open("file")
        folder = await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        for _ in range(waiting + 2):
            await peer.write(file, 0, data)
        tracemalloc.start()
        try:
            for _ in range(waiting):
                await _write_and_wait(peer, WriteRequest(file, 0, data), ChangeNotifyRequest(folder, 1, 4096))
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert held < waiting * len(data) // 2


@dataclass
class Padded:
    """A request with so many bytes behind it that mean nothing."""

    request: Body
    padding: int

    def pack(self) -> bytes:
        return self.request.pack() + bytes(self.padding)


async def test_what_waits_may_not_bring_much_with_it(tmp_path: Path) -> None:
    """512 requests of 8 MiB would be 4 GiB, for as long as nothing happens in a folder."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE) as peer:
        folder = await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        notify, waiting = ChangeNotifyRequest(folder, 1, 4096), list[int]()
        for _ in range(4):
            waiting.append(await peer.send(Command.CHANGE_NOTIFY, Padded(notify, 4 * MEBIBYTE - 200)))
            assert (await peer.next_response(waiting[-1])).interim
        refused = await peer.answer(Command.CHANGE_NOTIFY, Padded(notify, 4 * MEBIBYTE))
        assert refused.header.status == Status.INSUFFICIENT_RESOURCES
        message_id = waiting.pop()
        await peer.cancel(message_id)
        assert (await peer.final(message_id)).header.status == Status.CANCELLED
        again = await peer.send(Command.CHANGE_NOTIFY, Padded(notify, 4 * MEBIBYTE - 200))
        assert (await peer.next_response(again)).interim


async def test_an_attribute_named_again_and_again_is_not_packed_past_the_room(tmp_path: Path) -> None:
    """8 KiB that name one attribute of 60,000 bytes 1024 times would make an answer of 60 MB, only to refuse it."""
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        large = pack_full_ea([ExtendedAttribute(b"A", bytes(60_000))])
        assert await client.set(fid, FileInformationClass.FULL_EA, large) is Status.SUCCESS
        tracemalloc.start()
        try:
            status, _ = await client.query(
                fid, FileInformationClass.FULL_EA, given=pack_get_ea([b"A"] * MAX_EAS)
            )
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert status is Status.BUFFER_TOO_SMALL
    assert peak < 4 * MEBIBYTE


async def test_a_session_holds_few_pipes(tmp_path: Path) -> None:
    """Each may keep a call whose last fragment does not come."""
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, "IPC$") as peer:
        fids = [await peer.open("srvsvc") for _ in range(MAX_PIPES_PER_SESSION)]
        with pytest.raises(Refused, check=lambda refused: refused.status == Status.INSUFFICIENT_RESOURCES):
            await peer.open("lsarpc")
        await peer.close(fids[0])
        await peer.open("lsarpc")
        await peer.connect_tree(SHARE)
        await peer.open("file")


async def test_a_session_watches_few_folders(tmp_path: Path) -> None:
    """Each open that was watched once gathers 64 KiB of changes until it is closed, and there may be 16384 of them."""
    statuses = []
    async with serve(tmp_path) as running, logged_in(running.port, USER, PASSWORD, SHARE) as peer:
        for _ in range(MAX_WATCHES_PER_SESSION + 1):
            folder = await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
            message_id = await peer.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, 1))
            response = await peer.next_response(message_id)
            if response.interim:
                await peer.cancel(message_id)
                response = await peer.final(message_id)
            statuses.append(response.header.status)
    assert statuses == [Status.CANCELLED] * MAX_WATCHES_PER_SESSION + [Status.INSUFFICIENT_RESOURCES]


async def test_locks_of_a_session_are_bounded(tmp_path: Path) -> None:
    """4096 of each of 16384 opens would be 15 GB."""
    part, statuses = 1024, []
    now = LockFlags.EXCLUSIVE_LOCK | LockFlags.FAIL_IMMEDIATELY
    async with serve(tmp_path) as running, logged_in(running.port, USER, PASSWORD, SHARE) as peer:
        for number in range(MAX_LOCKS_PER_SESSION // MAX_LOCKS_PER_OPEN + 1):
            fid = await peer.open(f"file{number}")
            for first in range(0, MAX_LOCKS_PER_OPEN, part):
                locks = tuple(LockElement(2 * at, 1, now) for at in range(first, first + part))
                response = await peer.answer(Command.LOCK, LockRequest(fid, locks, 0, 0))
                statuses.append(response.header.status)
    full, refused = MAX_LOCKS_PER_SESSION // part, MAX_LOCKS_PER_OPEN // part
    assert statuses == [Status.SUCCESS] * full + [Status.INSUFFICIENT_RESOURCES] * refused
