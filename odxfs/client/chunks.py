"""The course of a copy by COPYCHUNK within one server: which calls to make next, and what their answers mean.

Pure state, no I/O. Ranges are given, calls are taken, answers reported in any order; what arrived is in `arrived`. The
limits begin as those of Windows, and become the server's own when it tells them (MS-SMB2 3.3.5.15.6.2).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from odxfs.client.explain import ChunkCause
from odxfs.client.ranges import RangeSet
from odxfs.wire.fsctl.copychunk import LIMITS, SrvCopychunk, SrvCopychunkResponse


@dataclass(frozen=True, slots=True)
class ChunkCall:
    """One FSCTL_SRV_COPYCHUNK_WRITE to make: every chunk to the offset that it comes from."""

    chunks: tuple[SrvCopychunk, ...]


class ChunkLedger:
    """What is still to ask of the server."""

    def __init__(self, arrived: RangeSet) -> None:
        self.arrived = arrived
        self.done_bytes = 0
        self.cause: ChunkCause | None = None
        self.in_flight = 0
        self._limits = LIMITS
        self._proven = False
        self._ready: deque[tuple[int, int]] = deque()

    @property
    def finished(self) -> bool:
        """No call is due and none is under way."""
        return self.in_flight == 0 and not self._has_call()

    def add(self, ranges: Iterable[tuple[int, int]]) -> None:
        """More (offset, length) ranges to copy, none of them empty."""
        self._ready.extend(ranges)

    def next_call(self) -> ChunkCall | None:
        """The next call to make now, counted as in flight; one at a time until one has worked."""
        if not self._has_call() or (not self._proven and self.in_flight):
            return None
        self.in_flight += 1
        room, chunks = self._limits.total_bytes_written, list[SrvCopychunk]()
        while self._ready and room and len(chunks) < self._limits.chunks_written:
            offset, length = self._ready.popleft()
            step = min(length, room, self._limits.chunk_bytes_written)
            if step < length:
                self._ready.appendleft((offset + step, length - step))
            chunks.append(SrvCopychunk(offset, offset, step))
            room -= step
        return ChunkCall(tuple(chunks))

    def copied(self, call: ChunkCall, answer: SrvCopychunkResponse) -> None:
        """A call succeeded, as far as the answer says; what it left out is asked for again."""
        self.in_flight -= 1
        left = self._take(call, answer)
        self._proven = self._proven or left != call.chunks
        if left == call.chunks:
            self._stop(ChunkCause.NO_PROGRESS)
        else:
            self._put_back(left)

    def refused(self, call: ChunkCall, cause: ChunkCause, answer: SrvCopychunkResponse | None) -> None:
        """A call failed half-way, `answer` says how far it came; with no answer it came nowhere."""
        self.in_flight -= 1
        if answer is not None:
            self._take(call, answer)
        self._stop(cause)

    def limited(self, call: ChunkCall, limits: SrvCopychunkResponse) -> None:
        """A call passed a limit, and the server told its limits. To be told limits that were kept is a refusal."""
        self.in_flight -= 1
        if not _is_within(call, limits) and min(_numbers(limits)):
            self._limits = SrvCopychunkResponse(*map(min, _numbers(limits), _numbers(self._limits)))
            self._put_back(call.chunks)
        else:
            self._stop(ChunkCause.LIMITS)

    def _has_call(self) -> bool:
        return self.cause is None and bool(self._ready)

    def _take(self, call: ChunkCall, answer: SrvCopychunkResponse) -> tuple[SrvCopychunk, ...]:
        """Note what arrived; what is left of the call."""
        whole = min(answer.chunks_written, len(call.chunks))
        for chunk in call.chunks[:whole]:
            self._arrived(chunk.target_offset, chunk.length)
        left, begun = call.chunks[whole:], answer.chunk_bytes_written
        if not left or not 0 < begun < left[0].length:
            return left
        offset, length = left[0].source_offset, left[0].length
        self._arrived(offset, begun)
        return (SrvCopychunk(offset + begun, offset + begun, length - begun), *left[1:])

    def _put_back(self, chunks: tuple[SrvCopychunk, ...]) -> None:
        self._ready.extendleft((chunk.source_offset, chunk.length) for chunk in reversed(chunks))

    def _arrived(self, offset: int, length: int) -> None:
        before = self.arrived.total
        self.arrived.add(offset, offset + length)
        self.done_bytes += self.arrived.total - before

    def _stop(self, cause: ChunkCause) -> None:
        self.cause = self.cause or cause


def _numbers(limits: SrvCopychunkResponse) -> tuple[int, int, int]:
    """Chunks of a call, bytes of a chunk, bytes of a call."""
    return limits.chunks_written, limits.chunk_bytes_written, limits.total_bytes_written


def _is_within(call: ChunkCall, limits: SrvCopychunkResponse) -> bool:
    chunks, chunk_bytes, total_bytes = _numbers(limits)
    lengths = [chunk.length for chunk in call.chunks]
    return len(lengths) <= chunks and max(lengths) <= chunk_bytes and sum(lengths) <= total_bytes
