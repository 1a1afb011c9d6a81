"""Damaged requests of a client that is logged in: each is answered with a status, none is ever a bug of the server."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.wire.change_notify import ChangeNotifyRequest
from odxfs.wire.close import CloseRequest
from odxfs.wire.create import CreateDisposition, CreateRequest
from odxfs.wire.file_id import FileId
from odxfs.wire.flush import FlushRequest
from odxfs.wire.fsctl.codes import Fsctl
from odxfs.wire.header import Command
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.query_directory import QueryDirectoryRequest
from odxfs.wire.query_info import QueryInfoRequest
from odxfs.wire.read import ReadRequest
from odxfs.wire.set_info import SetInfoRequest
from odxfs.wire.tree_connect import TreeConnectRequest
from odxfs.wire.write import WriteRequest
from tests.support.peer import FILE_ALL_ACCESS, Body, Peer, logged_in
from tests.support.serving import PASSWORD, SHARE, USER, serve

SESSIONS = 6
ROUNDS = 10


class Damaged:
    """The body of `whole` with some bytes changed, and perhaps its tail cut off or grown."""

    def __init__(self, whole: bytes, source: random.Random) -> None:
        data = bytearray(whole)
        for _ in range(source.choice((1, 1, 2, 4, 16))):
            data[source.randrange(2, len(data))] = source.choice(
                (0, 1, 0x7F, 0x80, 0xFF, source.randrange(256))
            )
        if source.random() < 0.2:
            del data[source.randrange(len(data)) :]
        elif source.random() < 0.1:
            data += source.randbytes(source.randrange(64))
        self._data = bytes(data)

    def pack(self) -> bytes:
        return self._data


def _requests(file: FileId, folder: FileId) -> list[tuple[int, Body]]:
    contexts = (
        (b"MxAc", b""),
        (b"QFid", b""),
        (b"AlSi", bytes(8)),
        (b"RqLs", bytes(32)),
        (b"ExtA", bytes(12)),
    )
    queries = [(1, level, fid) for level in (4, 5, 18, 22, 34, 48) for fid in (file, folder)]
    queries += [(2, level, folder) for level in (1, 3, 5, 7, 11)] + [(3, 0, file)]
    settings = [(1, 4, bytes(40)), (1, 10, bytes(40)), (1, 13, b"\0"), (1, 20, bytes(8)), (1, 64, bytes(4))]
    return [
        (
            Command.CREATE,
            CreateRequest(
                "some\\name", FILE_ALL_ACCESS, 7, CreateDisposition.OPEN_IF, create_contexts=contexts
            ),
        ),
        (Command.READ, ReadRequest(file, 0, 4096)),
        (Command.WRITE, WriteRequest(file, 0, b"x" * 100)),
        (Command.FLUSH, FlushRequest(file)),
        (
            Command.LOCK,
            LockRequest(file, (LockElement(0, 1, LockFlags.SHARED_LOCK | LockFlags.FAIL_IMMEDIATELY),) * 2),
        ),
        (Command.CHANGE_NOTIFY, ChangeNotifyRequest(folder, 0xFFF, 4096)),
        (Command.QUERY_DIRECTORY, QueryDirectoryRequest(37, folder)),
        (Command.TREE_CONNECT, TreeConnectRequest(f"\\\\127.0.0.1\\{SHARE}")),
        (Command.CLOSE, CloseRequest(FileId(1, 2))),
        *[(Command.QUERY_INFO, QueryInfoRequest(kind, level, fid, 4096)) for kind, level, fid in queries],
        *[(Command.SET_INFO, SetInfoRequest(kind, level, file, data)) for kind, level, data in settings],
        *[
            (Command.IOCTL, IoctlRequest(code, file, b"\x01" * 64, max_output_response=4096))
            for code in Fsctl
        ],
    ]


async def _status(peer: Peer, command: int, body: Body) -> int:
    """The final status; what starts to wait is cancelled."""
    message_id = await peer.send(command, body)
    response = await peer.next_response(message_id)
    if response.interim:
        await peer.cancel(message_id, response.header.async_id)
        response = await peer.final(message_id)
    return response.header.status


async def _try_all(peer: Peer, requests: Sequence[tuple[int, Body]], source: random.Random) -> None:
    for command, body in requests:
        damaged = Damaged(body.pack(), source)
        status = await _status(peer, command, damaged)
        assert status != Status.INTERNAL_ERROR, (Command(command).name, damaged.pack().hex())


@pytest.mark.parametrize("seed", range(3))
async def test_damaged_requests_are_refused_and_nothing_breaks(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    async with serve(tmp_path) as served:
        for session in range(SESSIONS):
            async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
                file, folder = (
                    await peer.open(f"f{session}"),
                    await peer.open(f"d{session}", create_options=1),
                )
                for _ in range(ROUNDS):
                    await _try_all(peer, _requests(file, folder), source)
        async with logged_in(served.port, USER, PASSWORD, SHARE) as peer:
            await peer.open("the server lives")
        assert await served.pool.check() == []
