"""The course of a token copy against servers that do all that the specification lets them do."""

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from odxfs.client.explain import Cause
from odxfs.client.ledger import PAUSES_SECONDS, Call, ReadCall, TokenLedger, WriteCall
from odxfs.client.ranges import RangeSet
from odxfs.types import SECTOR_BYTES

MIB = 1024 * 1024
ZERO_TOKEN = b"\xff\xff\x00\x01" + bytes(508)


class ImaginaryServer:
    """Keeps a source and a destination; tokens are the bytes themselves. Short answers by dice."""

    def __init__(self, content: bytes, seed: int, token_bytes: int, *, rounds_at_eof: bool = True) -> None:
        self.content = content
        self.destination = bytearray(len(content))
        self.dice = random.Random(seed)
        self.token_bytes = token_bytes
        self.rounds_at_eof = rounds_at_eof
        self.tokens: dict[bytes, bytes] = {}
        self.calls = 0

    def answer(self, call: Call, ledger: TokenLedger) -> None:
        self.calls += 1
        assert call.offset % SECTOR_BYTES == 0
        assert call.length % SECTOR_BYTES == 0
        assert call.length > 0
        if isinstance(call, ReadCall):
            self._read(call, ledger)
        else:
            self._write(call, ledger)

    def _read(self, call: ReadCall, ledger: TokenLedger) -> None:
        assert call.offset < len(self.content)
        length = min(call.length, self.token_bytes, self._some_sectors())
        data = self.content[call.offset : call.offset + length]
        if self.rounds_at_eof:
            data += bytes(-len(data) % SECTOR_BYTES)
        zero_beyond = not any(self.content[call.offset + length :])
        token = ZERO_TOKEN
        if any(data):
            token = len(self.tokens).to_bytes(512, "big")
            self.tokens[token] = data
        ledger.token_read(call, len(data), token, zero_beyond=zero_beyond)

    def _write(self, call: WriteCall, ledger: TokenLedger) -> None:
        assert call.offset < len(self.destination)
        assert call.transfer_offset % SECTOR_BYTES == 0
        data = self.tokens[call.token][call.transfer_offset :][: min(call.length, self._some_sectors())]
        end = min(call.offset + len(data), len(self.destination))
        self.destination[call.offset : end] = data[: end - call.offset]
        ledger.token_written(call, len(data))

    def _some_sectors(self) -> int:
        return SECTOR_BYTES * self.dice.choice([1, 3, 64, 1 << 20])


def run(
    ledger: TokenLedger, answer: Callable[[Call, TokenLedger], None], window: int, dice: random.Random
) -> None:
    """Make calls, up to `window` at a time, and answer them in any order."""
    under_way: list[Call] = []
    while not ledger.finished:
        while len(under_way) < window and (call := ledger.next_call()) is not None:
            under_way.append(call)
        if not under_way:
            assert ledger.pause_seconds
            ledger.pause_over()
            continue
        answer(under_way.pop(dice.randrange(len(under_way))), ledger)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3000)), min_size=1, max_size=12),
    st.integers(0, 2**32),
    st.sampled_from([SECTOR_BYTES, 5 * SECTOR_BYTES, MIB]),
    st.integers(1, 9),
    st.booleans(),
)
def test_the_destination_becomes_the_source(
    pieces: list[tuple[bool, int]], seed: int, token_bytes: int, window: int, rounds: bool
) -> None:
    content = b"".join(
        bytes([index + 1 if filled else 0]) * size for index, (filled, size) in enumerate(pieces)
    )
    server = ImaginaryServer(content, seed, token_bytes, rounds_at_eof=rounds)
    ledger = TokenLedger(len(content))
    run(ledger, server.answer, window, random.Random(seed))
    assert ledger.cause is None
    assert ledger.remaining() == []
    assert ledger.done_bytes == len(content)
    assert server.destination == content


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(1, 8), st.integers(0, 2**32))
def test_after_a_refusal_the_rest_is_known_to_the_byte(
    tokens: int, refuse_at: int, window: int, seed: int
) -> None:
    content = random.Random(seed).randbytes(tokens * 1000 + 1)
    server = ImaginaryServer(content, seed, 2 * SECTOR_BYTES)
    ledger = TokenLedger(len(content))

    def answer(call: Call, ledger: TokenLedger) -> None:
        if server.calls >= refuse_at:
            ledger.refused(call, Cause.SHORT_OF_RESOURCES)
        else:
            server.answer(call, ledger)

    run(ledger, answer, window, random.Random(seed))
    for offset, length in ledger.remaining():
        server.destination[offset : offset + length] = content[offset : offset + length]
    assert server.destination == content
    assert sum(length for _, length in ledger.remaining()) + ledger.done_bytes == len(content)


def test_a_refusal_costs_one_question() -> None:
    ledger = TokenLedger(1 << 30)
    call = ledger.next_call()
    assert call == ReadCall(0, 1 << 30)
    assert ledger.next_call() is None
    ledger.refused(call, Cause.SOURCE_HAS_NO_OFFLOAD)
    assert ledger.finished
    assert ledger.remaining() == [(0, 1 << 30)]


def test_after_the_first_token_many_are_asked_for_at_once() -> None:
    ledger = TokenLedger(64 * MIB)
    read = ledger.next_call()
    assert isinstance(read, ReadCall)
    ledger.token_read(read, 8 * MIB, b"t" * 512, zero_beyond=False)
    write = ledger.next_call()
    assert write == WriteCall(0, 8 * MIB, 0, b"t" * 512)
    ledger.token_written(write, 8 * MIB)
    calls = [ledger.next_call() for _ in range(8)]
    assert calls[:7] == [ReadCall(8 * MIB * index, 8 * MIB) for index in range(1, 8)]
    assert calls[7] is None


def test_a_server_that_takes_tokens_but_copies_nothing_is_left() -> None:
    ledger = TokenLedger(8 * MIB)
    read = ledger.next_call()
    assert isinstance(read, ReadCall)
    ledger.token_read(read, 8 * MIB, b"t" * 512, zero_beyond=False)
    writes = 0
    while (call := ledger.next_call()) is not None:
        assert isinstance(call, WriteCall)
        writes += 1
        ledger.token_written(call, 0)
    assert writes == 4
    assert ledger.cause is Cause.NO_PROGRESS


def test_an_expired_token_is_read_again_once() -> None:
    ledger = TokenLedger(16 * MIB)
    for _ in range(2):
        call = ledger.next_call()
        if isinstance(call, ReadCall):
            ledger.token_read(call, 8 * MIB, b"a" * 512, zero_beyond=False)
        else:
            assert call is not None
            ledger.token_written(call, 8 * MIB)
    for token in (b"b", b"c"):
        read = ledger.next_call()
        assert read == ReadCall(8 * MIB, 8 * MIB)
        ledger.token_read(read, 8 * MIB, token * 512, zero_beyond=False)
        write = ledger.next_call()
        assert isinstance(write, WriteCall)
        assert write.token == token * 512
        ledger.refused(write, Cause.EXPIRED)
    assert ledger.finished
    assert ledger.cause is Cause.EXPIRED
    assert ledger.remaining() == [(8 * MIB, 8 * MIB)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20))))
def test_ranges_are_a_set_of_bytes(ranges: list[tuple[int, int]]) -> None:
    ours, model = RangeSet(), set[int]()
    for start, length in ranges:
        ours.add(start, start + length)
        model |= set(range(start, start + length))
    assert ours.total == len(model)
    missing = {byte for offset, length in ours.gaps(100) for byte in range(offset, offset + length)}
    assert missing == set(range(100)) - model


def test_a_token_of_less_than_a_sector_is_no_progress() -> None:
    ledger = TokenLedger(MIB)
    call = ledger.next_call()
    assert isinstance(call, ReadCall)
    ledger.token_read(call, 100, b"t" * 512, zero_beyond=False)
    assert ledger.cause is Cause.NO_PROGRESS


def test_a_shortage_is_waited_for_and_then_given_up() -> None:
    ledger = TokenLedger(8 * MIB)
    pauses = []
    while (call := ledger.next_call()) is not None:
        ledger.refused(call, Cause.SHORT_OF_RESOURCES)
        pauses.append(ledger.pause_seconds)
        ledger.pause_over()
    assert pauses == [*PAUSES_SECONDS, 0.0]
    assert ledger.finished
    assert ledger.cause is Cause.SHORT_OF_RESOURCES


def test_a_shortage_that_passes_costs_no_byte() -> None:
    content = random.Random(7).randbytes(50_000)
    server = ImaginaryServer(content, 7, 4 * SECTOR_BYTES)
    ledger = TokenLedger(len(content))
    dice = random.Random(7)

    def answer(call: Call, ledger: TokenLedger) -> None:
        if dice.random() < 0.2:
            ledger.refused(call, Cause.SHORT_OF_RESOURCES)
        else:
            server.answer(call, ledger)

    run(ledger, answer, 5, dice)
    assert ledger.cause is None
    assert server.destination == content


def test_a_copy_goes_on_from_what_has_arrived() -> None:
    content = random.Random(3).randbytes(100_000)
    server = ImaginaryServer(content, 3, 8 * SECTOR_BYTES)
    arrived = RangeSet()
    arrived.add(0, 30_001)
    server.destination[:30_001] = content[:30_001]
    ledger = TokenLedger(len(content), arrived)
    first = ledger.next_call()
    assert first == ReadCall(30_001 // SECTOR_BYTES * SECTOR_BYTES, 100_352 - 29_696)
    server.answer(first, ledger)
    run(ledger, server.answer, 4, random.Random(3))
    assert server.destination == content
    assert ledger.done_bytes == len(content) - 30_001


def test_a_large_hole_costs_a_few_calls() -> None:
    tib, stride = 1 << 40, 8 * MIB
    islands = (0, tib // 2, tib - stride)
    ledger = TokenLedger(tib)
    calls = 0
    while (call := ledger.next_call()) is not None:
        calls += 1
        if isinstance(call, WriteCall):
            ledger.token_written(call, call.length)
        elif call.offset in islands:
            ledger.token_read(call, min(stride, call.length), b"t" * 512, zero_beyond=False)
        else:
            island = min(offset for offset in islands if offset > call.offset)
            length = min(call.length, island - call.offset)
            ledger.token_read(call, length, ZERO_TOKEN, zero_beyond=False)
    assert ledger.remaining() == []
    assert calls < 30


def test_little_is_asked_about_the_inside_of_holes() -> None:
    """A disk with a token of data in each gibibyte: some ten questions for each, not the 128 that its holes are long."""
    stride, every, there = 8 * MIB, 1024 * MIB, 40
    ledger = TokenLedger(there * every)
    calls = 0

    def answer(call: Call, ledger: TokenLedger) -> None:
        nonlocal calls
        calls += 1
        if isinstance(call, WriteCall):
            ledger.token_written(call, call.length)
            return
        into = call.offset % every
        if into < stride:
            length, token = min(call.length, stride - into), bytes(512)
        else:
            length, token = min(call.length, every - into), ZERO_TOKEN
        ledger.token_read(call, length, token, zero_beyond=False)

    run(ledger, answer, 64, random.Random(1))
    assert ledger.cause is None
    assert ledger.remaining() == []
    assert calls < 20 * there


def test_many_calls_are_under_way_while_data_comes() -> None:
    ledger = TokenLedger(1 << 40)
    for _ in range(10):
        read = ledger.next_call()
        assert isinstance(read, ReadCall)
        ledger.token_read(read, 8 * MIB, bytes(512), zero_beyond=False)
        write = ledger.next_call()
        assert isinstance(write, WriteCall)
        ledger.token_written(write, write.length)
    calls = list(iter(ledger.next_call, None))
    assert len(calls) == 64
