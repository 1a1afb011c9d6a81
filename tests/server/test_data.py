"""READ, WRITE, FLUSH and LOCK over a real connection."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.volume import Volume
from odxfs.volume.blocks.files import Files
from odxfs.wire.client_connection import Call
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateOptions
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.negotiate import Dialect
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.server_connection import Chain, Reply, ServerConnection
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from odxfs.wire.write import WriteFlags, WriteRequest
from tests.support.peer import Body, Peer, Refused, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

EXCLUSIVE, SHARED = LockFlags.EXCLUSIVE_LOCK, LockFlags.SHARED_LOCK
NOW, UNLOCK = LockFlags.FAIL_IMMEDIATELY, LockFlags.UNLOCK


def _session(served: Served) -> AbstractAsyncContextManager[Peer]:
    return logged_in(served.port, USER, PASSWORD, SHARE)


async def _read_status(peer: Peer, fid: FileId, offset: int, length: int, minimum: int = 0) -> Status:
    charge = max(1, -(-length // 65536))
    response = await peer.answer(Command.READ, ReadRequest(fid, offset, length, minimum), charge=charge)
    return Status(response.header.status)


async def _write_status(peer: Peer, fid: FileId, offset: int, data: bytes) -> Status:
    return Status((await peer.answer(Command.WRITE, WriteRequest(fid, offset, data))).header.status)


async def _lock(peer: Peer, fid: FileId, *elements: tuple[int, int, int]) -> Status:
    request = LockRequest(fid, tuple(LockElement(*element) for element in elements))
    return Status((await peer.answer(Command.LOCK, request)).header.status)


@pytest.mark.parametrize("dialect", [Dialect.SMB_2_1, Dialect.SMB_3_0, Dialect.SMB_3_0_2, Dialect.SMB_3_1_1])
async def test_what_is_written_is_read_in_every_dialect(tmp_path: Path, dialect: Dialect) -> None:
    data = bytes(range(256)) * 4096 * 8
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, SHARE, [dialect]) as peer:
        await peer.call(Command.FLUSH, FlushRequest(fid := await peer.open("file")))
        await peer.write(fid, 0, data[:65536])
        await peer.write(fid, 4096, data)
        assert await peer.read(fid, 4096, len(data)) == data
        assert await peer.read(fid, 0, 4096) == data[:4096]
        assert await peer.read(fid, 4096 + len(data) - 10, 4096) == data[-10:]


async def test_the_end_of_a_file(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        assert await _read_status(peer, fid, 0, 10) == Status.END_OF_FILE
        assert await _read_status(peer, fid, 0, 0) == Status.SUCCESS
        await peer.write(fid, 10, b"tail")
        assert await peer.read(fid, 0, 100) == bytes(10) + b"tail"
        assert await _read_status(peer, fid, 14, 1) == Status.END_OF_FILE
        assert await _read_status(peer, fid, 0, 100, minimum=15) == Status.END_OF_FILE
        assert await _read_status(peer, fid, 0, 100, minimum=14) == Status.SUCCESS
        await peer.write(fid, 2**64 - 1, b"appended")
        assert await peer.read(fid, 10, 100) == b"tailappended"


async def test_requests_past_every_bound(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        assert await _read_status(peer, fid, 2**63, 10) == Status.INVALID_PARAMETER
        assert await _read_status(peer, fid, 0, 8 * 1024 * 1024 + 1) == Status.INVALID_PARAMETER
        assert await _write_status(peer, fid, 2**63 - 5, b"123456") == Status.INVALID_PARAMETER
        short = await peer.answer(Command.READ, ReadRequest(fid, 0, 65537), charge=1)
        assert short.header.status == Status.INVALID_PARAMETER, "one credit is 64 KiB"


async def test_an_open_may_do_what_it_was_granted_and_no_more(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        reader = await peer.open("file", desired_access=0x1)
        writer = await peer.open("file", desired_access=0x2)
        appender = await peer.open("file", desired_access=0x4)
        assert await _write_status(peer, reader, 0, b"x") == Status.ACCESS_DENIED
        assert (await peer.answer(Command.FLUSH, FlushRequest(reader))).header.status == Status.ACCESS_DENIED
        await peer.write(writer, 0, b"0123")
        assert await _read_status(peer, writer, 0, 1) == Status.ACCESS_DENIED
        assert await _write_status(peer, appender, 1, b"x") == Status.ACCESS_DENIED
        await peer.write(appender, 4, b"45")
        assert await peer.read(reader, 0, 10) == b"012345"
        folder = await peer.open("folder", create_options=CreateOptions.DIRECTORY_FILE)
        assert await _read_status(peer, folder, 0, 1) == Status.INVALID_DEVICE_REQUEST
        assert await _write_status(peer, folder, 0, b"x") == Status.INVALID_DEVICE_REQUEST


async def test_so_may_an_open_of_a_pipe(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, logged_in(served.port, USER, PASSWORD, "IPC$") as peer:
        found = []
        for access in (0x80, 0x1, 0x2, 0x3):
            fid = await peer.open("srvsvc", desired_access=access)
            found.append((await _read_status(peer, fid, 0, 1), await _write_status(peer, fid, 0, b"x")))
        denied, granted, empty = Status.ACCESS_DENIED, Status.SUCCESS, Status.PIPE_EMPTY
        assert found == [(denied, denied), (empty, denied), (denied, granted), (empty, granted)]


async def test_write_through_and_flush_wait_until_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = Volume.sync

    async def sync(self: Volume, inode: object = None) -> None:
        await real(self, inode)  # type: ignore[arg-type]
        synced.append(self.pool.statistics().uncommitted_bytes)

    monkeypatch.setattr(Volume, "sync", sync)
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, b"x" * 4096)
        assert synced == []
        await peer.write(fid, 0, b"y" * 4096, WriteFlags.WRITE_THROUGH)
        await peer.call(Command.FLUSH, FlushRequest(fid))
        through = await peer.open("file", create_options=CreateOptions.WRITE_THROUGH)
        await peer.write(through, 0, b"z" * 4096)
        assert synced == [0, 0, 0]


async def test_writes_through_that_are_in_flight_share_commits(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer, _session(served) as second:
        fid, other = await peer.open("file"), await second.open("file")
        content = [bytes([number]) * 4096 for number in range(32)]
        before = served.pool.committer.commits
        sent = []
        for number, block in enumerate(content):
            writer, opened = (peer, fid) if number % 2 else (second, other)
            request = WriteRequest(opened, number * 4096, block, WriteFlags.WRITE_THROUGH)
            sent.append((writer, await writer.send(Command.WRITE, request)))
        for writer, message_id in sent:
            assert (await writer.final(message_id)).header.status == Status.SUCCESS
        assert served.pool.committer.commits - before < 16
        assert served.pool.statistics().uncommitted_bytes == 0
        assert await peer.read(fid, 0, 32 * 4096) == b"".join(content)


async def test_a_client_that_leaves_before_its_write_is_durable_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        async with _session(served) as peer:
            fid = await peer.open("file")
            for number in range(8):
                request = WriteRequest(fid, number * 4096, b"x" * 4096, WriteFlags.WRITE_THROUGH)
                await peer.send(Command.WRITE, request)
            (session,) = next(iter(served.server.connections)).sessions.values()
            with trio.move_on_after(1):  # a quick disk may have answered already
                while not session.running:
                    await trio.lowlevel.checkpoint()
        with trio.fail_after(60):
            while served.server.connections:
                await trio.sleep(0.01)
        assert not session.running
        async with _session(served) as peer:
            assert await peer.read(await peer.open("file"), 0, 4096) == b"x" * 4096


async def test_many_requests_at_once_are_answered_each(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        data = bytes(range(256)) * 256
        await peer.write(fid, 0, data)
        ids = {await peer.send(Command.READ, ReadRequest(fid, at, 4096)): at for at in range(0, 65536, 4096)}
        for message_id, at in reversed(ids.items()):
            response = ReadResponse.unpack((await peer.final(message_id)).pdu)
            assert bytes(response.data) == data[at : at + 4096]


@pytest.mark.parametrize("command", [Command.ECHO, Command.READ])
async def test_many_requests_of_one_receive_let_others_run_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setattr("odxfs.smb.connection.MAX_TURN_SECONDS", 0.0)
    executed, at_once = 0, [0]

    def counted(self: ServerConnection, chain: Chain, replies: Sequence[Reply]) -> list[Buffer]:
        nonlocal executed
        executed += 1
        return send(self, chain, replies)

    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, b"data")
        while peer.wire.credits < 100:
            await peer.call(Command.ECHO, EchoRequest())
        send = ServerConnection.send
        monkeypatch.setattr(ServerConnection, "send", counted)
        body = EchoRequest() if command == Command.ECHO else ReadRequest(fid, 0, 4)
        call = Call(command, body.pack(), None, peer.tree_id, peer.session_id)
        messages = [peer.wire.compound([call]) for _ in range(100)]
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                frames = b"".join(part for _, parts in messages for part in parts)
                nursery.start_soon(peer.stream.send_all, frames)
                while executed < len(messages):
                    before = executed
                    await trio.lowlevel.checkpoint()
                    at_once.append(executed - before)
        for (message_id,), _ in messages:
            assert (await peer.final(message_id)).header.status == Status.SUCCESS
    assert max(at_once) <= 2, "one, as a rule; who shares a turn goes first by chance"


async def test_requests_begin_in_the_order_they_were_sent(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        big = b"x" * 60000
        writes = [await peer.send(Command.WRITE, WriteRequest(fid, at * 60000, big)) for at in range(8)]
        close = await peer.send(Command.CLOSE, CloseRequest(fid))
        assert [(await peer.final(message_id)).header.status for message_id in writes] == [0] * 8
        assert (await peer.final(close)).header.status == 0
        assert (await served.volume.lookup(served.volume.root, b"file")).size == 480000


async def test_locks_of_another_open_stop_reads_and_writes(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        await first.write(mine, 0, b"x" * 100)
        assert await _lock(first, mine, (0, 10, EXCLUSIVE | NOW), (50, 10, SHARED | NOW)) == Status.SUCCESS
        assert await _read_status(second, other, 5, 10) == Status.FILE_LOCK_CONFLICT
        assert await _write_status(second, other, 5, b"y") == Status.FILE_LOCK_CONFLICT
        assert await _read_status(second, other, 50, 10) == Status.SUCCESS
        assert await _write_status(second, other, 59, b"y") == Status.FILE_LOCK_CONFLICT
        assert await _write_status(first, mine, 55, b"y") == Status.FILE_LOCK_CONFLICT
        assert await _write_status(first, mine, 5, b"y") == Status.SUCCESS
        assert await _lock(second, other, (9, 1, EXCLUSIVE | NOW)) == Status.LOCK_NOT_GRANTED
        assert await _lock(first, mine, (0, 10, UNLOCK)) == Status.SUCCESS
        assert await _lock(first, mine, (0, 10, UNLOCK)) == Status.RANGE_NOT_LOCKED
        assert await _read_status(second, other, 5, 10) == Status.SUCCESS
        await first.close(mine)
        assert await _write_status(second, other, 59, b"y") == Status.SUCCESS


async def test_several_locks_are_taken_all_or_none(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        assert await _lock(second, other, (100, 1, EXCLUSIVE | NOW)) == Status.SUCCESS
        wanted = ((0, 1, EXCLUSIVE | NOW), (100, 1, EXCLUSIVE | NOW))
        assert await _lock(first, mine, *wanted) == Status.LOCK_NOT_GRANTED
        assert await _lock(second, other, (0, 1, EXCLUSIVE | NOW)) == Status.SUCCESS
        assert await _lock(first, mine, (5, 1, EXCLUSIVE), (6, 1, EXCLUSIVE)) == Status.INVALID_PARAMETER
        assert await _lock(first, mine, (5, 1, EXCLUSIVE | SHARED | NOW)) == Status.INVALID_PARAMETER
        assert await _lock(first, mine, (5, 1, 0)) == Status.INVALID_PARAMETER
        assert await _lock(first, mine, (5, 1, UNLOCK | NOW)) == Status.INVALID_PARAMETER
        assert await _lock(first, mine, (2**64 - 1, 2, EXCLUSIVE | NOW)) == Status.INVALID_LOCK_RANGE
        assert await _lock(first, mine, (2**64 - 1, 1, EXCLUSIVE | NOW)) == Status.SUCCESS


async def test_a_lock_too_many_on_a_file_takes_none_of_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("odxfs.opens.byte_range_locks.MAX_LOCKS_PER_FILE", 2)
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        wanted = [(at, 1, EXCLUSIVE | NOW) for at in range(3)]
        assert await _lock(first, mine, *wanted) == Status.INSUFFICIENT_RESOURCES
        assert await _lock(second, other, *wanted[:2]) == Status.SUCCESS


async def _wait_for_lock(peer: Peer, fid: FileId) -> tuple[int, int]:
    """Ask for a lock that is held, wait for the interim answer: message id and async id."""
    message_id = await peer.send(Command.LOCK, LockRequest(fid, (LockElement(0, 10, EXCLUSIVE),)))
    interim = await peer.next_response(message_id)
    assert interim.header.status == Status.PENDING
    assert interim.interim
    return message_id, interim.header.async_id


async def test_a_lock_waits_its_turn(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        assert await _lock(first, mine, (0, 10, EXCLUSIVE)) == Status.SUCCESS
        message_id, async_id = await _wait_for_lock(second, other)
        await second.open("something else meanwhile")
        assert await _lock(first, mine, (0, 10, UNLOCK)) == Status.SUCCESS
        final = await second.final(message_id)
        assert (final.header.status, final.header.async_id) == (Status.SUCCESS, async_id)
        assert await _lock(first, mine, (0, 1, SHARED | NOW)) == Status.LOCK_NOT_GRANTED


@pytest.mark.parametrize("by_async_id", [True, False])
async def test_a_waiting_lock_can_be_cancelled(tmp_path: Path, by_async_id: bool) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        await _lock(first, mine, (0, 10, EXCLUSIVE))
        message_id, async_id = await _wait_for_lock(second, other)
        await first.cancel(message_id, async_id)
        await second.cancel(message_id, async_id if by_async_id else 0)
        assert (await second.final(message_id)).header.status == Status.CANCELLED
        await _lock(first, mine, (0, 10, UNLOCK))
        assert await _lock(first, mine, (0, 10, EXCLUSIVE | NOW)) == Status.SUCCESS


async def test_what_is_cancelled_is_answered_before_what_comes_after_the_cancel(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        await _lock(first, mine, (0, 10, EXCLUSIVE))
        for _ in range(20):
            waiting, async_id = await _wait_for_lock(second, other)
            cancel = second.wire.cancel(waiting, second.session_id, async_id)
            (echo,), buffers = second.wire.compound([Call(Command.ECHO, EchoRequest().pack())])
            await second.stream.send_all(b"".join([*cancel, *buffers]))
            order: list[int] = []
            while len(order) < 2:
                responses = second.wire.receive(await second.stream.receive_some(1 << 16))
                order += [response.header.message_id for response in responses]
            assert order == [waiting, echo]


@pytest.mark.parametrize("how", [Command.CLOSE, Command.TREE_DISCONNECT, Command.LOGOFF])
async def test_a_waiting_lock_ends_with_its_open(tmp_path: Path, how: Command) -> None:
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        await _lock(first, mine, (0, 10, EXCLUSIVE))
        message_id, _ = await _wait_for_lock(second, other)
        bodies: dict[Command, Body] = {
            Command.CLOSE: CloseRequest(other),
            Command.TREE_DISCONNECT: TreeDisconnectRequest(),
            Command.LOGOFF: LogoffRequest(),
        }
        await second.call(how, bodies[how])
        with trio.fail_after(60):
            assert (await second.final(message_id)).header.status == Status.RANGE_NOT_LOCKED
        await first.close(mine)
        assert len(served.server.opens) == 0


async def test_waiting_requests_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.pending.MAX_PENDING_REQUESTS", 1)
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        mine, other = await first.open("file"), await second.open("file")
        await _lock(first, mine, (0, 10, EXCLUSIVE))
        await _wait_for_lock(second, other)
        assert await _lock(second, other, (0, 10, EXCLUSIVE)) == Status.INSUFFICIENT_RESOURCES


async def test_locks_of_an_open_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.smb.handlers.lock.MAX_LOCKS_PER_OPEN", 2)
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        assert await _lock(peer, fid, (0, 1, SHARED | NOW), (1, 1, SHARED | NOW)) == Status.SUCCESS
        assert await _lock(peer, fid, (2, 1, SHARED | NOW)) == Status.INSUFFICIENT_RESOURCES


async def test_a_client_that_reads_no_replies_stops_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server holds at most the bound of unsent replies, and goes on where it was when the client reads again."""
    monkeypatch.setattr("odxfs.smb.connection.MAX_WORKING_CREDITS", 16)
    monkeypatch.setattr("odxfs.smb.connection.MAX_GATHERED_BYTES", 1024 * 1024)
    async with serve(tmp_path) as served, _session(served) as slow, _session(served) as other:
        fid = await slow.open("file")
        data = bytes(range(256)) * 4096
        await slow.write(fid, 0, data)
        requests = [
            await slow.send(Command.READ, ReadRequest(fid, 0, len(data)), charge=16) for _ in range(20)
        ]
        await other.open("others are served")
        for message_id in requests:
            response = await slow.final(message_id)
            assert bytes(ReadResponse.unpack(response.pdu).data) == data


async def test_replies_that_wait_for_a_slow_client_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of requests that wait for the disk, each of which is at work by itself."""
    monkeypatch.setattr("odxfs.smb.connection.MAX_WORKING_CREDITS", 16)
    async with serve(tmp_path) as served, _session(served) as slow:
        fid = await slow.open("file")
        await slow.write(fid, 0, bytes(1 << 20))
        monkeypatch.setattr(Files, "read_nowait", lambda *_: False)
        requests = [await slow.send(Command.READ, ReadRequest(fid, 0, 1 << 20), charge=16) for _ in range(20)]
        await wait_all_tasks_blocked(0.1)
        (connection,) = served.server.connections
        assert connection._working_credits <= 16
        for message_id in requests:
            assert (await slow.final(message_id)).header.status == Status.SUCCESS


async def test_a_damaged_block_is_an_error_and_never_data(
    tmp_path: Path, expect_log: Callable[[str], None]
) -> None:
    expect_log("does not match its checksum")
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        await peer.write(fid, 0, b"precious" * 512, WriteFlags.WRITE_THROUGH)
        (segment,) = (tmp_path / "segments").iterdir()
        with segment.open("r+b") as file:
            at = file.read(16 << 20).index(b"precious" * 512)  # the rest is a hole
            file.seek(at)
            file.write(b"garbage!")
        with pytest.raises(Refused) as refused:
            await peer.read(fid, 0, 4096)
        assert refused.value.status == Status.DATA_CHECKSUM_ERROR
