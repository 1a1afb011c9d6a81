"""Tokens are points in time, whoever changes the source and by whichever door: one process mounts and shares the volume."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.wire.create import CreateDisposition
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.file_information import FileDispositionInformation, FileEndOfFileInformation
from odxfs.wire.fscc.file_names import FileRenameInformation
from tests.mount.command import MountedPool, mounted_pool, odxfs_ok
from tests.support.peer import Peer, Refused, logged_in
from tests.support.tokens import read_token, set_information, write_token

USER, PASSWORD, SHARE = "alice", "correct horse", "vol"
SIZE = 3 * 1024 * 1024


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPool]:
    """A pool that one process mounts and shares as `vol`."""
    base = tmp_path_factory.mktemp("shared")
    with mounted_pool(base, "--share", SHARE, "--smb-listen", "127.0.0.1:0") as pool:
        odxfs_ok("user", "add", pool.directory, USER, "--password-stdin", stdin=PASSWORD + "\n")
        yield pool


@asynccontextmanager
async def client(pool: MountedPool) -> AsyncIterator[Peer]:
    """A session of its own."""
    endpoint = odxfs_ok("status", pool.directory, "--json").json["smb"]
    async with logged_in(int(endpoint.rpartition(":")[2]), USER, PASSWORD, SHARE) as peer:
        yield peer


async def smb_overwrite(peer: Peer, fid: FileId, path: Path) -> None:
    for offset in range(0, SIZE, 1 << 20):
        await peer.write(fid, offset, b"n" * (1 << 20))


async def smb_truncate(peer: Peer, fid: FileId, path: Path) -> None:
    await set_information(peer, fid, FileEndOfFileInformation(0))


async def smb_delete(peer: Peer, fid: FileId, path: Path) -> None:
    await set_information(peer, fid, FileDispositionInformation(delete_pending=True))
    await peer.close(fid)


async def smb_rename_over(peer: Peer, fid: FileId, path: Path) -> None:
    await peer.close(fid)
    other = await peer.open("other", CreateDisposition.OVERWRITE_IF)
    await peer.write(other, 0, b"other")
    await set_information(peer, other, FileRenameInformation(path.name, replace_if_exists=True))
    await peer.close(other)


async def fuse_overwrite(peer: Peer, fid: FileId, path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"n" * SIZE)
        os.fsync(file.fileno())


async def fuse_truncate(peer: Peer, fid: FileId, path: Path) -> None:
    os.truncate(path, 0)


async def fuse_delete(peer: Peer, fid: FileId, path: Path) -> None:
    await peer.close(fid)
    path.unlink()


async def fuse_rename_over(peer: Peer, fid: FileId, path: Path) -> None:
    await peer.close(fid)
    other = path.with_name("other")
    other.write_bytes(b"other")
    other.rename(path)


CHANGES = [
    smb_overwrite,
    smb_truncate,
    smb_delete,
    smb_rename_over,
    fuse_overwrite,
    fuse_truncate,
    fuse_delete,
    fuse_rename_over,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("synced", [False, True])
async def test_the_old_bytes_arrive(
    shared: MountedPool, change: Callable[[Peer, FileId, Path], Awaitable[None]], synced: bool
) -> None:
    content = os.urandom(SIZE)
    async with client(shared) as first:
        source = await first.open("source", CreateDisposition.OVERWRITE_IF)
        for offset in range(0, SIZE, 1 << 20):
            await first.write(source, offset, content[offset : offset + (1 << 20)])
        if synced:
            os.sync()
        token = await read_token(first, source, SIZE)
        await change(first, source, shared.mountpoint / "source")
    async with client(shared) as second:
        target = await second.open("target", CreateDisposition.OVERWRITE_IF)
        await set_information(second, target, FileEndOfFileInformation(SIZE))
        assert await write_token(second, target, token, SIZE) == SIZE
        assert (shared.mountpoint / "target").read_bytes() == content
        await second.close(target)


async def test_a_token_that_was_altered_forged_or_cut_is_invalid(shared: MountedPool) -> None:
    async with client(shared) as peer:
        source = await peer.open("victim", CreateDisposition.OVERWRITE_IF)
        await peer.write(source, 0, b"v" * 65536)
        token = await read_token(peer, source, 65536)
        altered = bytearray(token)
        altered[100] ^= 1
        for bad in (bytes(altered), os.urandom(512), bytes(512), token[:256] + bytes(256)):
            with pytest.raises(Refused) as refused:
                await write_token(peer, source, bad, 65536)
            assert refused.value.status is Status.INVALID_TOKEN
        assert await write_token(peer, source, token, 65536) == 65536


async def test_a_token_that_nobody_used_in_time_is_invalid(tmp_path: Path) -> None:
    with mounted_pool(
        tmp_path, "--share", SHARE, "--smb-listen", "127.0.0.1:0", "--token-lifetime", "5"
    ) as pool:
        odxfs_ok("user", "add", pool.directory, USER, "--password-stdin", stdin=PASSWORD + "\n")
        async with client(pool) as peer:
            source = await peer.open("source", CreateDisposition.OVERWRITE_IF)
            await peer.write(source, 0, b"v" * 65536)
            token = await read_token(peer, source, 65536)
            while odxfs_ok("tokens", pool.directory, "--json").json:
                await trio.sleep(0.1)
            with pytest.raises(Refused) as refused:
                await write_token(peer, source, token, 65536)
            assert refused.value.status is Status.INVALID_TOKEN
