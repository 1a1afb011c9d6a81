"""Requests are taken from the kernel without waiting in between; nobody else is kept from his turn, and no request is lost."""

import os
from pathlib import Path

import pyfuse3
import pytest
import trio

from odxfs.busy_polling import BusyPolling
from odxfs_mount import backlog
from tests.mount.inside import mounted_inside, on

PROGRAMS = 6
CALLS = 400


def write_and_read(path: Path, number: int) -> bytes:
    """Calls of one program, each of which waits for its answer."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        for call in range(CALLS):
            os.pwrite(descriptor, bytes([number, call % 256]), 2 * call)
        return os.pread(descriptor, 2 * CALLS, 0)
    finally:
        os.close(descriptor)


async def test_no_request_of_several_programs_is_lost(tmp_path: Path) -> None:
    async def one_program(path: Path, number: int) -> None:
        expected = b"".join(bytes([number, call % 256]) for call in range(CALLS))
        assert await on(write_and_read, path, number) == expected

    async with mounted_inside(tmp_path) as inside, trio.open_nursery() as programs:
        for number in range(PROGRAMS):
            programs.start_soon(one_program, inside.path / f"file{number}", number)


async def test_others_get_their_turn_though_there_is_always_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "_TURN_SECONDS", 0.0)
    reader, writer = os.pipe()
    try:
        os.write(writer, b"a request that is never taken")
        requests = backlog.Backlog(lambda: False, lambda: False)
        requests._polling = BusyPolling(reader)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count_turns)
            for _ in range(CALLS):
                assert await requests.wait()
            nursery.cancel_scope.cancel()
        assert turns >= CALLS // 2
    finally:
        os.close(reader)
        os.close(writer)


async def test_pyfuse3_waits_through_us_while_mounted(tmp_path: Path) -> None:
    name = "_wait_fuse_readable"
    own = getattr(pyfuse3, name)
    async with mounted_inside(tmp_path) as inside:
        assert getattr(pyfuse3, name) is not own
        assert await on(os.listdir, inside.path) == []
    assert getattr(pyfuse3, name) is own
