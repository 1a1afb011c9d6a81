"""The course of a COPYCHUNK copy against servers with all sorts of limits and moods."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.client.chunks import ChunkCall, ChunkLedger
from odxfs.client.explain import ChunkCause
from odxfs.client.ranges import RangeSet
from odxfs.wire.fsctl.copychunk import LIMITS, SrvCopychunkResponse

MIB = 1024 * 1024


class ImaginaryServer:
    """Copies within its limits, and now and then less than all of a call."""

    def __init__(self, content: bytes, limits: SrvCopychunkResponse, seed: int) -> None:
        self.content = content
        self.destination = bytearray(len(content))
        self.limits = limits
        self.dice = random.Random(seed)

    def answer(self, call: ChunkCall, ledger: ChunkLedger) -> None:
        lengths = [chunk.length for chunk in call.chunks]
        limits = self.limits
        assert min(lengths) > 0
        if (
            len(lengths) > limits.chunks_written
            or max(lengths) > limits.chunk_bytes_written
            or sum(lengths) > limits.total_bytes_written
        ):
            ledger.limited(call, limits)
            return
        whole = self.dice.randint(1, len(lengths))
        part = self.dice.randrange(lengths[whole]) if whole < len(lengths) else 0
        for chunk in call.chunks[:whole]:
            self._copy(chunk.source_offset, chunk.length)
        if part:
            self._copy(call.chunks[whole].source_offset, part)
        ledger.copied(call, SrvCopychunkResponse(whole, part, sum(lengths[:whole]) + part))

    def _copy(self, offset: int, length: int) -> None:
        self.destination[offset : offset + length] = self.content[offset : offset + length]


def run(ledger: ChunkLedger, server: ImaginaryServer, window: int) -> int:
    """Make calls, up to `window` at a time, and answer them in any order; how many there were."""
    under_way: list[ChunkCall] = []
    calls = 0
    while not ledger.finished:
        while len(under_way) < window and (call := ledger.next_call()) is not None:
            under_way.append(call)
            calls += 1
        server.answer(under_way.pop(server.dice.randrange(len(under_way))), ledger)
    return calls


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), min_size=1, max_size=12),
    st.integers(1, 5),
    st.integers(1, 2000),
    st.integers(1, 4000),
    st.integers(1, 6),
    st.integers(0, 2**32),
)
def test_the_ranges_are_copied_whatever_the_limits(
    pieces: list[tuple[int, int]], chunks: int, chunk_bytes: int, total_bytes: int, window: int, seed: int
) -> None:
    ranges, end = [], 0
    for gap, length in pieces:
        ranges.append((end + gap, length))
        end += gap + length
    content = random.Random(seed).randbytes(end)
    server = ImaginaryServer(content, SrvCopychunkResponse(chunks, chunk_bytes, total_bytes), seed)
    arrived = RangeSet()
    ledger = ChunkLedger(arrived)
    ledger.add(ranges)
    run(ledger, server, window)
    assert ledger.cause is None
    assert ledger.done_bytes == arrived.total == sum(length for _, length in pieces)
    expected = bytearray(end)
    for offset, length in ranges:
        expected[offset : offset + length] = content[offset : offset + length]
    assert server.destination == expected


def test_calls_are_as_large_as_windows_allows() -> None:
    ledger = ChunkLedger(RangeSet())
    ledger.add([(0, 40 * MIB)])
    call = ledger.next_call()
    assert call is not None
    assert len(call.chunks) == 16
    assert {chunk.length for chunk in call.chunks} == {MIB}
    assert ledger.next_call() is None
    ledger.copied(call, SrvCopychunkResponse(16, 0, 16 * MIB))
    assert ledger.next_call() is not None
    assert ledger.next_call() is not None


@pytest.mark.parametrize(
    "limits", [LIMITS, SrvCopychunkResponse(0, 0, 0), SrvCopychunkResponse(256, 0, 16 * MIB)]
)
def test_limits_that_explain_nothing_are_a_refusal(limits: SrvCopychunkResponse) -> None:
    ledger = ChunkLedger(RangeSet())
    ledger.add([(0, MIB)])
    call = ledger.next_call()
    assert call is not None
    ledger.limited(call, limits)
    assert ledger.finished
    assert ledger.cause is ChunkCause.LIMITS


def test_a_failure_half_way_keeps_what_came() -> None:
    arrived = RangeSet()
    ledger = ChunkLedger(arrived)
    ledger.add([(0, 3 * MIB)])
    call = ledger.next_call()
    assert call is not None
    ledger.refused(call, ChunkCause.LOCKED, SrvCopychunkResponse(1, 1000, MIB + 1000))
    assert ledger.finished
    assert arrived.gaps(3 * MIB) == [(MIB + 1000, 2 * MIB - 1000)]


def test_a_server_that_copies_nothing_is_left() -> None:
    ledger = ChunkLedger(RangeSet())
    ledger.add([(0, MIB)])
    call = ledger.next_call()
    assert call is not None
    ledger.copied(call, SrvCopychunkResponse(0, 0, 0))
    assert ledger.cause is ChunkCause.NO_PROGRESS
