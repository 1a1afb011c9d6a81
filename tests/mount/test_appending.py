"""Appends of local programs beside a share that appends to the same file: nobody's record is lost."""

import errno
import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from odxfs.volume import Inode
from tests.mount.inside import Inside, mounted_inside, on
from tests.mount.test_coherence import make

RECORD = b"S" * 512
RWF_NOAPPEND = 0x20
"""<linux/fs.h>, since 6.9."""

MAPPER = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
mapping = mmap.mmap(fd, 4096)
mapping[:6] = b"MAPPED"
print("changed", flush=True)
sys.stdin.readline()
mapping.flush()
print("written back", flush=True)
"""

READER = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapping = mmap.mmap(file.fileno(), 8192, prot=mmap.PROT_READ)
    print("mapped", flush=True)
    sys.stdin.readline()
    sys.stdout.write(mapping[4096:].decode())
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", program, path]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def read_all(inside: Inside, file: Inode) -> bytes:
    return bytes(await inside.share.read(file, 0, file.size))


async def opened(path: Path, flags: int) -> int:
    return await on(os.open, path, flags)


async def test_an_append_goes_behind_what_the_share_appended(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"log", b"first ")
        log = await opened(inside.path / "log", os.O_WRONLY | os.O_APPEND)
        await on(os.write, log, b"second ")
        await inside.share.write(file, file.size, b"third ")
        await on(os.write, log, b"fourth")
        await on(os.close, log)
        assert await read_all(inside, file) == b"first second third fourth"
        assert await on((inside.path / "log").read_bytes) == b"first second third fourth"


async def test_o_append_holds_from_when_it_is_set_until_it_is_cleared(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"log", b"first ")
        log = await opened(inside.path / "log", os.O_WRONLY)
        await on(fcntl.fcntl, log, fcntl.F_SETFL, os.O_APPEND)
        await on(os.write, log, b"second ")
        await inside.share.write(file, file.size, b"third ")
        await on(os.write, log, b"fourth ")
        await on(fcntl.fcntl, log, fcntl.F_SETFL, 0)
        await inside.share.write(file, file.size, b"fifth")
        await on(os.pwrite, log, b"FIRST", 0)
        await on(os.close, log)
        assert await read_all(inside, file) == b"FIRST second third fourth fifth"


async def test_what_a_mapping_of_an_appending_open_changed_stays_where_it_is(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"file", b"a" * 4096)
        with started(MAPPER, inside.path / "file") as program:
            assert program.stdout is not None
            assert await on(program.stdout.readline) == "changed\n"
            await inside.share.write(file, 4096, b"s" * 4096)
            await inside.pool.followed()
            await on(program.communicate, "\n")
        assert await read_all(inside, file) == b"MAPPED" + b"a" * 4090 + b"s" * 4096


async def test_a_mapping_sees_what_the_share_wrote_where_an_append_was_meant_to_go(tmp_path: Path) -> None:
    """The kernel has put the appended bytes into its page of the place that it took for the end."""
    async with mounted_inside(tmp_path) as inside:
        file, path = await make(inside, b"log", b"a" * 8192), inside.path / "log"
        with started(READER, path) as program:
            assert program.stdout is not None
            assert await on(program.stdout.readline) == "mapped\n"
            log = await opened(path, os.O_WRONLY | os.O_APPEND)
            await inside.share.truncate(file, 4096)
            assert (await on(path.stat)).st_size == 4096
            await inside.share.write(file, 4096, b"s" * 4096)
            await inside.pool.followed()
            await on(os.write, log, b"l" * 4096)
            await inside.pool.followed()
            seen, _ = await on(program.communicate, "\n")
            await on(os.close, log)
        assert seen == "s" * 4096
        assert await read_all(inside, file) == b"a" * 4096 + b"s" * 4096 + b"l" * 4096


async def test_a_write_that_is_not_to_append_goes_where_it_says(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"log", b"first second")
        log = await opened(inside.path / "log", os.O_WRONLY | os.O_APPEND)
        refused = 0
        try:
            await on(os.pwritev, log, [b"FIRST"], 0, RWF_NOAPPEND)
        except OSError as error:
            refused = error.errno
        await on(os.close, log)
        assert (refused, await read_all(inside, file)) in [
            (0, b"FIRST second"),
            (errno.EOPNOTSUPP, b"first second"),  # a kernel that does not know it
        ]


async def test_no_record_of_the_share_is_lost_beside_a_long_append(tmp_path: Path) -> None:
    """One write(2) is many requests, and a stat between them tells nothing about where the next one belongs."""
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"log", b"")
        log = await opened(inside.path / "log", os.O_WRONLY | os.O_APPEND)
        written, places = os.urandom(16 << 20), list[int]()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(append_records, inside, file, places)
            nursery.start_soon(forever, on, os.fstat, log)
            for _ in range(4):
                await on(os.write, log, written)
            nursery.cancel_scope.cancel()
        await on(os.close, log)
        assert places
        assert without_records(await read_all(inside, file), places) == written * 4


async def test_what_a_direct_append_writes_stays_in_order(tmp_path: Path) -> None:
    """The kernel sends the parts of one such write(2) together."""
    async with mounted_inside(tmp_path) as inside:
        file = await make(inside, b"log", b"")
        log = await opened(inside.path / "log", os.O_WRONLY | os.O_APPEND | os.O_DIRECT)
        with mmap.mmap(-1, 16 << 20) as written:
            written.write(os.urandom(16 << 20))
            places = list[int]()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(append_records, inside, file, places)
                for _ in range(4):
                    await on(os.write, log, written)
                nursery.cancel_scope.cancel()
            await on(os.close, log)
            assert places
            assert without_records(await read_all(inside, file), places) == written[:] * 4


async def append_records(inside: Inside, file: Inode, places: list[int]) -> None:
    """What clients do that write behind the end, until cancelled."""
    while True:
        places.append(await inside.share.append(file, RECORD, lambda *_: None))
        await trio.lowlevel.checkpoint()


async def forever(call: Callable[..., Awaitable[object]], *arguments: object) -> None:
    while True:
        await call(*arguments)


def without_records(data: bytes, places: list[int]) -> bytes:
    """The rest of `data`, after a look that each record is in its place."""
    rest, at = list[bytes](), 0
    for place in places:
        assert data[place : place + len(RECORD)] == RECORD
        rest.append(data[at:place])
        at = place + len(RECORD)
    return b"".join([*rest, data[at:]])
