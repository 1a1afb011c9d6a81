"""A copy is the source at one moment in every scope inside a pool, while a writer changes it all the time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.client.client import connect
from tests.mount.command import odxfs, odxfs_ok
from tests.serving.running import ALICE, BOB, CONFIGURATION, MIB, PASSWORD, Running, serving

SIZE_MIB = 24
"""One token: three leaves, which are all of the same moment."""

SCOPES = {
    "one volume": ("default", ALICE, "first"),
    "two volumes of one SVM": ("default", ALICE, "third"),
    "two SVMs": ("b", BOB, "second"),
}


def generation(number: int) -> bytes:
    return number.to_bytes(8, "big") * (MIB // 8)


async def write_all_the_time(port: int, ready: trio.Event) -> None:
    """Overwrite the file from its beginning to its end, again and again, each time with another number."""
    async with connect("127.0.0.1", port, ALICE, PASSWORD) as client:
        file = await (await client.tree("first")).open_to_write("disk")
        number = 0
        while True:
            number += 1
            for piece in range(SIZE_MIB):
                await file.write(piece * MIB, generation(number))
            ready.set()


def assert_one_moment(copy: bytes) -> int:
    """Up to some piece it is of one generation, from there on of the one before: the source between two writes."""
    assert len(copy) == SIZE_MIB * MIB
    pieces = [copy[offset : offset + MIB] for offset in range(0, len(copy), MIB)]
    numbers = [int.from_bytes(piece[:8], "big") for piece in pieces]
    assert all(piece == generation(number) for piece, number in zip(pieces, numbers, strict=True))
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] - numbers[-1] <= 1
    return numbers[0]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A token holds all of the file."""
    with serving(tmp_path, CONFIGURATION.replace("[svm.b]", 'token-size = "32 MiB"\n\n[svm.b]')) as running:
        odxfs_ok("volume", "create", running.directory, "third")
        odxfs_ok("share", "add", running.directory, "third", "--volume", "third")
        yield running


async def copied(running: Running, target: str) -> Any:
    """What `odxfs cp` says of a copy of the source by token to the URL."""
    words = ("cp", "--json", "--require-offload", running.url("default", ALICE, "first", "disk"), target)
    done = await trio.to_thread.run_sync(lambda: odxfs(*words, env={"ODXFS_PASSWORD": PASSWORD}))
    assert done.code == 0, done.err
    return done.json


async def test_a_token_is_one_moment_in_every_scope(running: Running) -> None:
    ready, seen = trio.Event(), set[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write_all_the_time, running.port("default"), ready)
        await ready.wait()
        for svm, user, share in SCOPES.values():
            for turn in range(3):
                result = await copied(running, running.url(svm, user, share, f"copy{turn}"))
                assert (result["mechanism"], result["tokens"]) == ("token", 1)
                async with connect("127.0.0.1", running.port(svm), user, PASSWORD) as client:
                    file = await (await client.tree(share)).open_to_read(f"copy{turn}")
                    parts = [bytes(await file.read(piece * MIB, MIB)) for piece in range(SIZE_MIB)]
                seen.add(assert_one_moment(b"".join(parts)))
        nursery.cancel_scope.cancel()
    assert len(seen) > 1
