"""Requests that wait while others come in between: for the disk, for a commit, for somebody's answer."""

import threading
from collections.abc import Sequence
from pathlib import Path

import trio

from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.volume.blocks.files import Files
from odxfs.wire.client_exchange import ALL_ONES
from odxfs.wire.header import Command
from odxfs.wire.oplock_break import LeaseBreakNotification
from odxfs.wire.write import WriteRequest
from tests.server.test_durable_caching import GUID, H, R, create, lease, leased, session
from tests.support.serving import serve
from tests.support.waiting import until

LONG = (1 << 20) + 65536
"""Bytes that a write hands to another thread."""


class SlowWrites(Files):
    """Made on the trio thread. Once `armed` it keeps the long writes of other threads until `go_on`."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False
        self.waiting = 0
        self.go_on = threading.Event()
        self._trio_thread = threading.get_ident()

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        is_long = sum(map(len, buffers)) > 65536
        if self.armed and is_long and threading.get_ident() != self._trio_thread:
            self.waiting += 1
            assert self.go_on.wait(60), "the test never let the disk go on"
        super().write(descriptor, buffers, offset)


async def test_who_comes_to_cache_a_file_while_it_is_written_hears_of_the_new_bytes(tmp_path: Path) -> None:
    files = SlowWrites()
    async with (
        serve(tmp_path, files=files) as served,
        session(served) as writer,
        session(served, guid=GUID) as reader,
    ):
        written = await writer.open("file")
        await writer.write(written, 0, b"old")
        files.armed = True
        writing = await writer.send(Command.WRITE, WriteRequest(written, 0, b"n" * LONG), charge=17)
        await until(lambda: files.waiting > 0)
        made = await create(reader, lease(R | H))
        assert leased(made)[0] & R
        assert await reader.read(made.file_id, 0, 3) == b"old"
        files.go_on.set()
        assert (await writer.final(writing)).header.status == Status.SUCCESS
        with trio.fail_after(10):
            told = LeaseBreakNotification.unpack((await reader.next_response(ALL_ONES)).pdu)
        assert told.new_lease_state == 0
        assert await reader.read(made.file_id, 0, 3) == b"nnn"
