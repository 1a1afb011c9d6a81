"""Random files, tokens and destinations over two servers: what arrives is the source as it was when the token was read."""

import os
import random
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import trio
from hypothesis import HealthCheck, given, settings

from odxfs.types import LEAF_BYTES, SECTOR_BYTES
from odxfs.volume import Inode
from tests.peers.pair import Pair, content, new_file, read_token, serve_pair, write_whole_token
from tests.support.serving import Served

CASES = 1000 if os.environ.get("ODXFS_LONG") else 40
LARGEST = LEAF_BYTES + 512 * 1024


@dataclass(frozen=True)
class Change:
    """Bytes of a seed at an offset, or a hole, or the end of file moved there."""

    kind: str
    offset: int
    length: int
    seed: int


@dataclass(frozen=True)
class Case:
    before: tuple[Change, ...]
    after: tuple[Change, ...]
    token_offset: int
    token_length: int
    destination_size: int
    offset: int
    length: int
    transfer_offset: int


places = st.one_of(
    st.integers(0, 64 * 1024),
    st.integers(LEAF_BYTES - 64 * 1024, LEAF_BYTES + 64 * 1024),
    st.integers(0, LARGEST),
)
lengths = st.one_of(st.integers(1, 20_000), st.integers(1, LARGEST))
changes = st.lists(
    st.builds(
        Change, st.sampled_from(["write", "write", "punch", "cut"]), places, lengths, st.integers(0, 99)
    ),
    max_size=4,
).map(tuple)


def sectors(values: st.SearchStrategy[int]) -> st.SearchStrategy[int]:
    return values.map(lambda value: value // SECTOR_BYTES * SECTOR_BYTES)


cases = st.builds(
    Case,
    before=changes,
    after=changes,
    token_offset=sectors(places),
    token_length=sectors(lengths).map(lambda length: length + SECTOR_BYTES),
    destination_size=lengths,
    offset=sectors(places),
    length=sectors(lengths).map(lambda length: length + SECTOR_BYTES),
    transfer_offset=st.one_of(st.just(0), sectors(places)),
)


async def apply(served: Served, inode: Inode, model: bytearray, made: tuple[Change, ...]) -> None:
    """The changes to the file and to what it should be."""
    for change in made:
        if change.kind == "write":
            data = random.Random(change.seed).randbytes(change.length)
            await served.volume.write(inode, change.offset, data)
            model.extend(bytes(max(0, change.offset + len(data) - len(model))))
            model[change.offset : change.offset + len(data)] = data
        elif change.kind == "punch":
            await served.volume.deallocate(inode, change.offset, change.length)
            end = min(change.offset + change.length, len(model))
            model[change.offset : end] = bytes(max(0, end - change.offset))
        else:
            await served.volume.truncate(inode, change.offset)
            del model[change.offset :]
            model.extend(bytes(change.offset - len(model)))


async def run_case(pair: Pair, case: Case, number: int) -> None:
    source, model = await new_file(pair.source, f"source {number}"), bytearray()
    await apply(pair.source, source, model, case.before)
    if case.token_offset >= source.size:
        return
    result = await read_token(pair.source, source, case.token_offset, case.token_length)
    then = bytes(model)
    await apply(pair.source, source, model, case.after)
    destination = await new_file(pair.destination, f"destination {number}", case.destination_size)
    wanted = bytearray(random.Random(number).randbytes(case.destination_size))
    await pair.destination.volume.write(destination, 0, wanted)
    if case.offset < destination.size and case.transfer_offset < result.transfer_length:
        length = min(case.length, result.transfer_length - case.transfer_offset)
        written = await write_whole_token(
            pair.destination, destination, result.token, case.offset, length, case.transfer_offset
        )
        start = case.token_offset + case.transfer_offset
        data = then[start : start + length].ljust(length, b"\0")[: destination.size - case.offset]
        assert written == min(length, -(-(destination.size - case.offset) // SECTOR_BYTES) * SECTOR_BYTES)
        wanted[case.offset : case.offset + len(data)] = data
    assert await content(pair.destination, destination) == wanted
    for served, inode in ((pair.source, source), (pair.destination, destination)):
        await served.volume.truncate(inode, 0)


async def test_what_arrives_is_the_source_as_it_was(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        numbers = iter(range(1_000_000))

        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(cases)
        def check(case: Case) -> None:
            trio.from_thread.run(run_case, pair, case, next(numbers))

        await trio.to_thread.run_sync(check)
        assert await pair.source.pool.check() == []
        assert await pair.destination.pool.check() == []
