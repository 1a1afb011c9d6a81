"""What arrives at the listening socket, and that it goes on listening."""

import errno
import os
import socket
from functools import partialmethod
from pathlib import Path

import pytest
import trio

from odxfs.smb.settings import ServerSettings
from odxfs.volume import create_pool, open_pool
from tests.support.peer import connect
from tests.support.serving import make_server


class FailingOnce:
    """`socket.socket.accept` that reports what became of one connection before it was taken."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.whole = socket.socket.accept

    def __call__(self, listening: socket.socket) -> tuple[socket.socket, object]:
        code, self.code = self.code, 0
        accepted = self.whole(listening)
        if code:
            accepted[0].close()
            raise OSError(code, os.strerror(code))
        return accepted


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EHOSTUNREACH, errno.EPROTO, errno.EPERM])
async def test_a_connection_that_fails_before_it_is_taken_ends_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    create_pool(tmp_path)
    failing = FailingOnce(code)
    monkeypatch.setattr(socket.socket, "accept", partialmethod(failing))
    async with open_pool(tmp_path, owner="tests") as pool, trio.open_nursery() as nursery:
        server = make_server(tmp_path, pool, ServerSettings())
        _, port = await nursery.start(server.serve, "127.0.0.1", 0)
        await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        async with connect(port) as peer:
            assert peer.wire.dialect
        nursery.cancel_scope.cancel()
