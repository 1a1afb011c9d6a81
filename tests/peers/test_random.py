"""Random files, tokens and destinations over two servers: what arrives is the source as it was when the token was read."""

import os
import random
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import hypothesis.strategies as st
import trio
from hypothesis import HealthCheck, given, settings

from odxfs.offload.token import is_zero_token
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
    """The places are shares of what they are in: of the source, of the destination, of the token."""

    size: int
    before: tuple[Change, ...]
    after: tuple[Change, ...]
    token_at: float
    token_length: int
    destination_size: int
    written_at: float
    transferred_from: float
    length: int


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


def part(of: int, share: float) -> int:
    """That share of a length, in whole sectors."""
    return int(of * share) // SECTOR_BYTES * SECTOR_BYTES


shares = st.one_of(st.just(0.0), st.floats(0.0, 0.999))
cases = st.builds(
    Case,
    size=lengths,
    before=changes,
    after=changes,
    token_at=shares,
    token_length=st.one_of(st.just(LARGEST), lengths),
    destination_size=st.one_of(st.just(LARGEST), lengths),
    written_at=shares,
    transferred_from=shares,
    length=st.one_of(st.just(LARGEST), lengths),
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


async def run_case(pair: Pair, case: Case, number: int) -> bool:
    """Whether a token was fetched from, which it is not where the source has a hole."""
    source, model = await new_file(pair.source, f"source {number}"), bytearray()
    await apply(pair.source, source, model, (Change("write", 0, case.size, number), *case.before))
    token_offset = part(source.size, case.token_at)
    if token_offset >= source.size:
        return False
    token_length = part(case.token_length, 1.0) + SECTOR_BYTES
    result = await read_token(pair.source, source, token_offset, token_length)
    then = bytes(model)
    await apply(pair.source, source, model, case.after)

    destination = await new_file(pair.destination, f"destination {number}", case.destination_size)
    wanted = bytearray(random.Random(number).randbytes(case.destination_size))
    await pair.destination.volume.write(destination, 0, wanted)
    offset, transfer_offset = (
        part(destination.size, case.written_at),
        part(result.transfer_length, case.transferred_from),
    )
    length = min(part(case.length, 1.0) + SECTOR_BYTES, result.transfer_length - transfer_offset)
    written = await write_whole_token(
        pair.destination, destination, result.token, offset, length, transfer_offset
    )
    start, room = token_offset + transfer_offset, destination.size - offset
    data = then[start : start + length].ljust(length, b"\0")[:room]
    assert written == min(length, -(-room // SECTOR_BYTES) * SECTOR_BYTES)
    wanted[offset : offset + len(data)] = data
    assert await content(pair.destination, destination) == wanted
    for served, inode in ((pair.source, source), (pair.destination, destination)):
        await served.volume.truncate(inode, 0)
    return not is_zero_token(result.token)


async def test_what_arrives_is_the_source_as_it_was(tmp_path: Path) -> None:
    async with serve_pair(tmp_path) as pair:
        numbers, fetched = count(), list[bool]()

        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(cases)
        def check(case: Case) -> None:
            fetched.append(trio.from_thread.run(run_case, pair, case, next(numbers)))

        await trio.to_thread.run_sync(check)
        assert sum(fetched) > CASES // 4
        assert await pair.source.pool.check() == []
        assert await pair.destination.pool.check() == []
