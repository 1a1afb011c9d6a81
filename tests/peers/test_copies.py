"""Copies by token from one pool's server to another's."""

import os
from pathlib import Path

from odxfs.client.copy import copy_file
from odxfs.client.local import LocalPlace
from odxfs.client.plan import Wish
from tests.peers.pair import serve_pair

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
