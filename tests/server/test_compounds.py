"""Compounds and the bytes that no honest client sends."""

import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.volume import Volume
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateRequest, CreateResponse
from odxfs.wire.echo import EchoRequest
from odxfs.wire.file_id import ANY, FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.header import Command, Header
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.logoff import LogoffRequest
from odxfs.wire.read import ReadRequest, ReadResponse
from odxfs.wire.tree_disconnect import TreeDisconnectRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import FILE_ALL_ACCESS, SHARE_ALL, Peer, connect, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve


def _session(served: Served) -> AbstractAsyncContextManager[Peer]:
    return logged_in(served.port, USER, PASSWORD, SHARE)


def _create(name: str, disposition: int = CreateDisposition.OPEN_IF) -> tuple[int, CreateRequest]:
    return Command.CREATE, CreateRequest(name, FILE_ALL_ACCESS, 7, disposition)


async def test_create_write_read_close_in_one_frame(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        created, written, read, closed = await peer.compound(
            [
                _create("file"),
                (Command.WRITE, WriteRequest(ANY, 0, b"in one go")),
                (Command.READ, ReadRequest(ANY, 3, 3)),
                (Command.CLOSE, CloseRequest(ANY)),
            ]
        )
        assert [each.header.status for each in (created, written, read, closed)] == [0, 0, 0, 0]
        assert bytes(ReadResponse.unpack(read.pdu).data) == b"one"
        assert len(served.server.opens) == 0


async def test_what_depends_on_a_failed_create_fails_with_its_status(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        responses = await peer.compound(
            [
                _create("missing", CreateDisposition.OPEN),
                (Command.READ, ReadRequest(ANY, 0, 3)),
                (Command.CLOSE, CloseRequest(ANY)),
            ]
        )
        assert [each.header.status for each in responses] == [Status.OBJECT_NAME_NOT_FOUND] * 3


async def test_a_failed_read_does_not_keep_the_file_from_being_closed(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        responses = await peer.compound(
            [_create("empty"), (Command.READ, ReadRequest(ANY, 0, 3)), (Command.CLOSE, CloseRequest(ANY))]
        )
        assert [each.header.status for each in responses] == [0, Status.END_OF_FILE, 0]


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ((Command.CLOSE, CloseRequest(ANY)), Status.FILE_CLOSED),
        ((Command.TREE_DISCONNECT, TreeDisconnectRequest()), Status.NETWORK_NAME_DELETED),
        ((Command.LOGOFF, LogoffRequest()), Status.USER_SESSION_DELETED),
    ],
)
async def test_each_request_of_a_compound_looks_again(
    tmp_path: Path, ending: tuple[int, CloseRequest], status: Status
) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        responses = await peer.compound([_create("file"), ending, (Command.READ, ReadRequest(ANY, 0, 3))])
        assert [each.header.status for each in responses[:2]] == [0, 0]
        assert responses[2].header.status == status
        assert len(served.server.opens) == 0


async def test_unrelated_requests_in_one_frame(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        responses = await peer.compound(
            [
                _create("a"),
                (Command.ECHO, EchoRequest()),
                _create("b"),
                (Command.CLOSE, CloseRequest(FileId(1, 1))),
            ],
            related=False,
        )
        assert [each.header.status for each in responses] == [0, 0, 0, Status.FILE_CLOSED]


async def test_only_the_last_request_of_a_compound_may_wait(tmp_path: Path) -> None:
    lock = (Command.LOCK, LockRequest(ANY, (LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK),)))
    async with serve(tmp_path) as served, _session(served) as first, _session(served) as second:
        held = await first.open("file")
        await first.call(Command.LOCK, LockRequest(held, (LockElement(0, 1, LockFlags.EXCLUSIVE_LOCK),)))
        responses = await second.compound([_create("file"), lock, (Command.CLOSE, CloseRequest(ANY))])
        assert [each.header.status for each in responses] == [0, Status.INTERNAL_ERROR, 0]
        async with trio.open_nursery() as nursery:
            waiting: list[int] = []

            async def wait() -> None:
                answers = await second.compound([_create("file"), lock])
                waiting.extend(each.header.status for each in answers)

            nursery.start_soon(wait)
            while not any(len(connection.pending) for connection in served.server.connections):
                await trio.sleep(0.01)
            await first.close(held)
        assert waiting == [0, 0]


async def test_an_unknown_command_and_a_malformed_body_are_refused(tmp_path: Path) -> None:
    class Raw:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def pack(self) -> bytes:
            return self.body

    async with serve(tmp_path) as served, _session(served) as peer:
        for command, body in [
            (0x0013, bytes(4)),
            (0x00FF, bytes(64)),
            (Command.CREATE, bytes(56)),
            (Command.READ, bytes(3)),
            (Command.LOCK, struct.pack("<HHIQQ", 48, 65535, 0, 0, 0)),
            (Command.OPLOCK_BREAK, bytes(24)),
        ]:
            response = await peer.answer(command, Raw(body))
            assert response.header.status == Status.INVALID_PARAMETER, command
        await peer.call(Command.FLUSH, FlushRequest(await peer.open("the connection lives")))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\0\0\0",
        b"\0\0\0\x10" + bytes(16),
        b"\0\xff\xff\xff",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x81\0\0\x44" + bytes(68),
        b"\0\0\0\x40" + Header(Command.CREATE).pack(),
        b"\0\0\0\x44\xfdSMB" + bytes(64),
    ],
)
async def test_garbage_ends_that_connection_only(tmp_path: Path, garbage: bytes) -> None:
    async with serve(tmp_path) as served, _session(served) as bystander:
        async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
            await stream.send_all(garbage)
            with trio.fail_after(60):
                assert await stream.receive_some(100) == b""
        await bystander.open("unharmed")


async def test_a_frame_cut_in_pieces_is_one_request(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, connect(served.port) as peer:
        await peer.login(USER, PASSWORD)
        await peer.connect_tree(SHARE)
        command, body = _create("file")
        message_id, buffers = peer.wire.request(
            command, body.pack(), tree_id=peer.tree_id, session_id=peer.session_id
        )
        for byte in b"".join(buffers):
            await peer.stream.send_all(bytes([byte]))
        assert CreateResponse.unpack((await peer.final(message_id)).pdu).file_id


async def test_an_unsigned_request_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, _session(served) as peer:
        message_id, buffers = peer.wire.request(
            Command.LOGOFF, LogoffRequest().pack(), session_id=peer.session_id
        )
        frame = bytearray(b"".join(buffers))
        frame[4 + 16] &= ~0x08
        await peer.stream.send_all(frame)
        response = await peer.final(message_id)
        assert response.header.status == Status.ACCESS_DENIED
        await peer.open("still logged in")


async def test_a_handler_that_breaks_is_a_bug_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    expect_log("a commit failed for a reason that is no client's")
    expect_log("a request failed for a reason that is no client's")
    async with serve(tmp_path) as served, _session(served) as peer:
        fid = await peer.open("file")
        monkeypatch.setattr(Volume, "lookup_ignoring_case", broken)
        found = await peer.answer(Command.CREATE, CreateRequest("other", FILE_ALL_ACCESS, SHARE_ALL, 1))
        assert found.header.status == Status.INTERNAL_ERROR
        monkeypatch.setattr(Volume, "sync", broken)
        response = await peer.answer(Command.FLUSH, FlushRequest(fid))
        assert response.header.status == Status.INTERNAL_ERROR
        await peer.write(fid, 0, b"on it goes")
