"""A peer that lies: whatever it says, nothing is written outside of what the call asked for, and nothing breaks."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.client.connection import Pending
from odxfs.errors import OffloadRefused, Refusal
from odxfs.offload import TokenFiles
from odxfs.offload.token_files import TokenInode
from odxfs.peers import fetcher, remote_token
from odxfs.peers.remote_token import RemoteToken
from odxfs.peers.window import Window
from odxfs.types import Buffer
from odxfs.volume import Inode
from odxfs.wire.credits import SequenceWindow
from odxfs.wire.fsctl.sparse import RANGE_BYTES
from tests.peers.pair import content, new_file, read_token, serve_pair, write_token, write_whole_token

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


async def test_a_list_of_ranges_that_does_not_end_is_taken_a_page_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second byte is a range of its own: what a page tells is fetched before the next is asked for."""
    length, read, asked_for = 512, list[int](), dict[int, int]()
    submit = RemoteToken.try_submit_read

    async def ranges(_: TokenFiles, __: Inode, offset: int, length: int, limit: int = 0) -> Ranges:
        asked_for[offset] = len(read)
        return [(at, 1) for at in range(offset | 1, offset + length, 2)[:limit]]

    def note(token: RemoteToken, offset: int, length: int) -> Pending | None:
        read.append(offset)
        return submit(token, offset, length)

    monkeypatch.setattr(TokenFiles, "allocated_ranges", ranges)
    monkeypatch.setattr(RemoteToken, "try_submit_read", note)
    monkeypatch.setattr(remote_token, "RANGES_ROOM_BYTES", 4 * RANGE_BYTES)
    async with serve_pair(tmp_path) as pair:
        source = await new_file(pair.source, "source", SIZE)
        data = b"\0x" * (length // 2)
        await pair.source.volume.write(source, 0, data)
        token = (await read_token(pair.source, source, 0, SIZE)).token
        target = await new_file(pair.destination, "target", length)
        await pair.destination.volume.write(target, 0, os.urandom(length))
        assert await write_whole_token(pair.destination, target, token, 0, length) == length
        assert await content(pair.destination, target) == data
    assert len(asked_for) >= length // 8
    assert all(offset // 2 <= before for offset, before in asked_for.items())


async def test_fewer_bytes_than_a_sector_are_no_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LengthWritten is a multiple of 512: a call that has come to one byte is asked for again, not told to have written 0."""

    async def one_byte(_: TokenFiles, __: Inode, offset: int, length: int, limit: int = 0) -> Ranges:
        return [(offset, 1), (offset + 1, length - 1)]

    submit = RemoteToken.try_submit_read

    def first_alone(token: RemoteToken, offset: int, length: int) -> Pending | None:
        return submit(token, offset, length) if length == 1 else Pending()

    monkeypatch.setattr(TokenFiles, "allocated_ranges", one_byte)
    monkeypatch.setattr(RemoteToken, "try_submit_read", first_alone)
    monkeypatch.setattr(fetcher, "CALL_SECONDS", 0.5)
    assert await write_part(tmp_path) is Refusal.PEER_BUSY


async def test_a_peer_that_grants_few_credits_is_read_in_small_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = SequenceWindow.grant
    monkeypatch.setattr(
        SequenceWindow, "grant", lambda window, wanted: grant(window, min(wanted, 2 - window.available))
    )
    monkeypatch.setattr(Window, "piece_bytes", SIZE)
    async with serve_pair(tmp_path) as pair:
        source = await new_file(pair.source, "source", SIZE)
        data = os.urandom(SIZE)
        await pair.source.volume.write(source, 0, data)
        token = (await read_token(pair.source, source, 0, SIZE)).token
        target = await new_file(pair.destination, "target", SIZE)
        assert await write_token(pair.destination, target, token, 0, SIZE) == SIZE
        assert await content(pair.destination, target) == data
