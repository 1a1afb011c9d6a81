"""`odxfs cp` between two servers: while the source changes, and when either server dies in the middle."""

import json
import os
from pathlib import Path

import pytest
import trio

from odxfs.client.client import Client
from odxfs.types import LEAF_BYTES
from tests.peers.processes import (
    SHARE,
    WAIT_SECONDS,
    Server,
    Wire,
    add_peer,
    get,
    odxfs,
    odxfs_ok,
    put,
    two_servers,
)

WINDOWS = 8


async def fill(client: Client, path: str, generation: int, *, until: trio.Event | None = None) -> int:
    """Write window after window of one generation, again and again until told to stop; the last generation begun.

    A write of a window is one step, so no moment shows a window of two generations.
    """
    file = await (await client.tree(SHARE)).open_to_write(path)
    while True:
        for window in range(WINDOWS):
            await file.write(window * LEAF_BYTES, generation.to_bytes(8, "big") * (LEAF_BYTES // 8))
            if until is not None and until.is_set():
                await file.close()
                return generation
        if until is None:
            await file.close()
            return generation
        generation += 1


async def test_each_token_is_one_moment_while_the_source_is_written_all_the_time(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (a, b), a.connect() as writer, b.connect() as reader:
        await fill(writer, "disk", 1)
        stop, last, seen = trio.Event(), 1, set[int]()

        async def write() -> None:
            nonlocal last
            last = await fill(writer, "disk", 2, until=stop)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            for _ in range(3):
                result = await odxfs_ok("cp", "--json", "--require-offload", a.url("disk"), b.url("copy"))
                copy = await get(reader, "copy")
                assert result.json["mechanism"] == "token"
                assert len(copy) == WINDOWS * LEAF_BYTES
                for window in range(WINDOWS):
                    part = copy[window * LEAF_BYTES : (window + 1) * LEAF_BYTES]
                    assert part == part[:8] * (LEAF_BYTES // 8), f"window {window} is of two moments"
                    seen.add(int.from_bytes(part[:8], "big"))
            stop.set()
        assert 1 <= min(seen) <= max(seen) <= last
        assert last > 2


async def test_a_peer_that_dies_in_the_middle_makes_the_client_fall_back(tmp_path: Path) -> None:
    """The client reaches both servers all the time, the destination reaches the source no more after a while."""
    data = os.urandom(64 << 20)
    async with (
        two_servers(tmp_path) as (a, b),
        a.connect() as at_a,
        b.connect() as at_b,
        trio.open_nursery() as nursery,
    ):
        await put(at_a, "disk", data)
        wire = Wire(a.port)
        port = await nursery.start(wire.run)
        await odxfs_ok("peer", "del", b.directory, "a")
        await add_peer(b, port)
        wire.left = 20 << 20
        result = (await odxfs_ok("cp", "--json", a.url("disk"), b.url("copy"))).json
        assert wire.cut.is_set()
        assert result["offloaded_bytes"] < len(data)
        assert await get(at_b, "copy") == data
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("which", ["source", "destination"])
async def test_a_server_that_is_killed_in_the_middle_comes_back_and_the_copy_is_right(
    tmp_path: Path, which: str
) -> None:
    data = os.urandom(64 << 20)
    async with two_servers(tmp_path) as (a, b), trio.open_nursery() as nursery:
        async with a.connect() as at_a:
            await put(at_a, "disk", data)
        wire = Wire(a.port)
        port = await nursery.start(wire.run)
        await odxfs_ok("peer", "del", b.directory, "a")
        await add_peer(b, port)
        wire.left = 30 << 20
        victim: Server = a if which == "source" else b

        async def kill_and_start() -> None:
            await wire.cut.wait()
            await victim.kill()
            wire.left = float("inf")
            await victim.start()

        nursery.start_soon(kill_and_start)
        command = ("cp", "--json", "--resume", a.url("disk"), b.url("copy"))
        with trio.fail_after(WAIT_SECONDS):
            while (result := await odxfs(*command)).code:
                assert wire.cut.is_set(), result.err
                await victim.ended.wait()
        assert wire.cut.is_set()
        assert result.json["logical_bytes"] == len(data)
        async with b.connect() as at_b:
            assert await get(at_b, "copy") == data
        nursery.cancel_scope.cancel()


async def test_a_sparse_disk_stays_sparse(tmp_path: Path) -> None:
    async with two_servers(tmp_path) as (a, b), a.connect() as at_a, b.connect() as at_b:
        file = await (await at_a.tree(SHARE)).open_to_write("disk")
        await file.set_end_of_file(3 << 30)
        for place in (0, 5 << 20, 100 << 20, (2 << 30) + 4096):
            await file.write(place, place.to_bytes(8, "big") * 512)
        await file.close()
        result = await odxfs_ok("cp", "--json", "--require-offload", a.url("disk"), b.url("copy"))
        assert result.json["logical_bytes"] == 3 << 30
        allocated = [
            (await odxfs_ok("status", server.directory, "--json")).json["pool"]["allocated_bytes"]
            for server in (a, b)
        ]
        assert allocated[0] == allocated[1] < 1 << 20
        traced = [json.loads(line) for line in (b.directory / "offload.jsonl").read_text().splitlines()]
        assert sum(line["moved_bytes"] for line in traced) == allocated[0]  # holes do not travel
        assert {line["peer"] for line in traced if line["moved_bytes"]} == {"a"}
        copy = await (await at_b.tree(SHARE)).open_to_read("copy")
        assert copy.size == 3 << 30
        for place in (0, 5 << 20, 100 << 20, (2 << 30) + 4096):
            assert bytes(await copy.read(place, 4096)) == place.to_bytes(8, "big") * 512
        assert bytes(await copy.read(1 << 30, 4096)) == bytes(4096)
