"""Copies by token from one pool's server to another's."""

import os
from pathlib import Path

import pytest

from odxfs.client.copy import copy_file
from odxfs.client.local import LocalPlace
from odxfs.client.plan import Wish
from odxfs.errors import OffloadRefused, Refusal
from tests.peers.pair import content, new_file, read_token, serve_pair, write_token

MIB = 1024 * 1024


async def test_a_file_goes_from_one_server_to_the_other_by_token(tmp_path: Path) -> None:
    content = os.urandom(40 * MIB + 4321)
    (tmp_path / "put.bin").write_bytes(content)
    async with serve_pair(tmp_path) as pair:
        source = await pair.source_place("source.bin")
        await copy_file(LocalPlace(tmp_path / "put.bin"), source)
        target = await pair.destination_place("target.bin")
        result = await copy_file(source, target, Wish.REQUIRED)
        assert result.mechanism == "token"
        assert result.wire_received_bytes < 50_000
        await copy_file(target, LocalPlace(tmp_path / "got.bin"))
        assert (tmp_path / "got.bin").read_bytes() == content
        assert await pair.destination.pool.check() == []
        assert await pair.source.pool.check() == []


async def test_a_file_of_any_length_is_copied_to_the_byte(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        for length in (1, 511, 512, 513, 4095, 4097, 70_001):
            source, data = await new_file(pair.source, f"source {length}"), os.urandom(length)
            await pair.source.volume.write(source, 0, data)
            result = await read_token(pair.source, source, 0, 1 << 20)
            same = await new_file(pair.destination, f"same {length}", length)
            longer = await new_file(pair.destination, f"longer {length}", length + 2000)
            await pair.destination.volume.write(longer, 0, b"x" * (length + 2000))
            for inode in (same, longer):
                asked = result.transfer_length
                assert await write_token(pair.destination, inode, result.token, 0, asked) == asked
            assert await content(pair.destination, same) == data
            padded = data.ljust(result.transfer_length, b"\0")
            assert await content(pair.destination, longer) == padded.ljust(length + 2000, b"x")


async def test_where_settings_are_not_strict_the_file_grows_as_far_as_the_source_reached(
    tmp_path: Path,
) -> None:
    async with serve_pair(tmp_path) as pair:
        for length, hole in ((70_001, 0), (70_001, 50_000), (300_000, 200_000)):
            source = await new_file(pair.source, f"source {length} {hole}", length)
            data = os.urandom(length - hole)
            await pair.source.volume.write(source, 0, data)
            result = await read_token(pair.source, source, 0, 1 << 20)
            empty = await new_file(pair.destination, f"empty {length} {hole}")
            asked = result.transfer_length
            written = await write_token(pair.destination, empty, result.token, 0, asked, strict=False)
            assert written == asked
            assert await content(pair.destination, empty) == data + bytes(hole)


async def test_a_token_that_a_change_of_its_source_ends_ends_for_peers_too(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        source, data = await new_file(pair.source, "source"), os.urandom(100_000)
        await pair.source.volume.write(source, 0, data)
        token = (await read_token(pair.source, source, 0, 65536, "invalidate")).token
        target = await new_file(pair.destination, "target", 65536)
        assert await write_token(pair.destination, target, token, 0, 65536) == 65536
        assert await content(pair.destination, target) == data[:65536]
        await pair.source.volume.write(source, 5000, b"changed")
        with pytest.raises(OffloadRefused) as refused:
            await write_token(pair.destination, target, token, 0, 65536)
        assert refused.value.reason is Refusal.PEER_REFUSED_TOKEN
        assert await content(pair.destination, target) == data[:65536]
