"""What arrives at the listening socket, and that it goes on listening."""

import errno
import os
import socket
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from typing import cast

import pytest
import trio

from odxfs.smb.connection import Connection
from odxfs.smb.listener import _least_entitled
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


@dataclass(frozen=True)
class Waiting:
    """A connection without a login, as far as it counts for which of them has to go."""

    peer_address: tuple[str, int]
    number: int


@pytest.mark.parametrize(
    ("addresses", "gone"),
    [
        (["192.0.2.1", "192.0.2.2", "192.0.2.2"], 1),
        (["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1::3"], 1),
        (["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::3"], 2),
        (["::ffff:192.0.2.1", "::ffff:192.0.2.2", "::ffff:192.0.2.2"], 1),
        (["fe80::1%eth0", "fe80:0:0:1::1", "fe80::2%eth0"], 0),
        (["local", "192.0.2.1"], 0),
    ],
)
def test_who_floods_the_server_from_many_addresses_drives_out_his_own_network_alone(
    addresses: list[str], gone: int
) -> None:
    waiting = [Waiting((address, 1), number) for number, address in enumerate(addresses)]
    assert _least_entitled(cast(list[Connection], waiting)).number == gone
