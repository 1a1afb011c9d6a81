"""A peer that lies: whatever it says, nothing is written outside of what the call asked for, and nothing breaks."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import TokenFiles
from odxfs.offload.token_files import TokenInode
from odxfs.types import Buffer
from odxfs.volume import Inode
from tests.peers.pair import content, new_file, read_token, serve_pair, write_token

SIZE = 1 << 20
OFFSET, LENGTH = 65536, 131072
"""The part that is written, of a file that is longer."""

Ranges = list[tuple[int, int]]


async def write_part(folder: Path, *, strict: bool = True) -> Refusal | int:
    """Write a part of a token of a sparse file: LengthWritten, or why it is refused. What lies around it must stay."""
    async with serve_pair(folder) as pair:
        source = await new_file(pair.source, "source", SIZE)
        await pair.source.volume.write(source, 0, os.urandom(LENGTH // 2))
        token = (await read_token(pair.source, source, 0, SIZE)).token
        target, before = await new_file(pair.destination, "target"), os.urandom(SIZE)
        await pair.destination.volume.write(target, 0, before)
        try:
            return await write_token(pair.destination, target, token, OFFSET, LENGTH, strict=strict)
        except OffloadRefused as refused:
            return refused.reason
        finally:
            after = await content(pair.destination, target)
            assert after[:OFFSET] == before[:OFFSET]
            assert after[OFFSET + LENGTH :] == before[OFFSET + LENGTH :]
            assert await pair.destination.pool.check() == []


@pytest.mark.parametrize(
    "told",
    [
        lambda offset, length: [(offset + SIZE, 4096)],
        lambda offset, length: [(offset, length + 4096)],
        lambda offset, length: [(offset, 4096), (offset, 4096)],
        lambda offset, length: [(offset + 8192, 4096), (offset, 4096)],
        lambda offset, length: [(offset, 0)],
        lambda offset, length: [(offset, (1 << 63) - 1)],
    ],
)
async def test_ranges_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[int, int], Ranges]
) -> None:
    async def ranges(_: TokenFiles, __: Inode, offset: int, length: int, limit: int = 0) -> Ranges:
        return told(offset, length)

    monkeypatch.setattr(TokenFiles, "allocated_ranges", ranges)
    assert await write_part(tmp_path) is Refusal.PEER_UNREACHABLE


@pytest.mark.parametrize("strict", [True, False])
async def test_a_token_that_is_said_to_be_longer_than_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: bool
) -> None:
    init = TokenInode.__init__

    def exaggerate(inode: TokenInode, *arguments: object) -> None:
        init(inode, *arguments)  # type: ignore[arg-type]
        inode.size = (1 << 63) - 1

    monkeypatch.setattr(TokenInode, "__init__", exaggerate)
    assert await write_part(tmp_path, strict=strict) == LENGTH


@pytest.mark.parametrize("change", [lambda data: data + b"x" * 4096, lambda data: data[:-1]])
async def test_more_or_fewer_bytes_than_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    read = TokenFiles.read

    async def answer(files: TokenFiles, inode: Inode, offset: int, length: int) -> Buffer:
        return change(bytes(await read(files, inode, offset, length)))

    monkeypatch.setattr(TokenFiles, "read_nowait", lambda *_: None)
    monkeypatch.setattr(TokenFiles, "read", answer)
    assert await write_part(tmp_path) is Refusal.PEER_UNREACHABLE
