"""The course of a copy by token: which calls to make next, and what their answers mean.

Pure state, no I/O. The caller takes calls, makes them, several at a time and in any order of answers, and reports what
came back. Everything a server may lawfully do is decided here: tokens shorter than asked, writes shorter than asked,
zero tokens, zeros to the end, an end of file inside a sector. What is left over when the server refuses is `remaining`.

The destination must be all zeros at its full size before the first call: ranges that a token says are zeros are
not written.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from odxfs.client.explain import Cause
from odxfs.types import SECTOR_BYTES

STRIDE_BYTES = 8 * 1024 * 1024
"""How much is asked of a server at least, after it gave less than all: the usual token of ONTAP. A shorter answer is asked
on from where it ended, so a guess too high costs one call."""

MAX_IDLE_WRITES = 4
"""Writes in a row that copy nothing before the copy gives up on tokens; Windows counts the same."""

ZERO_TOKEN_TYPE = b"\xff\xff\x00\x01"
"""STORAGE_OFFLOAD_TOKEN_TYPE_ZERO_DATA (MS-FSCC 2.1.11); what follows the type says nothing."""


@dataclass(frozen=True, slots=True)
class ReadCall:
    """One FSCTL_OFFLOAD_READ to make: offset and length in the source, in bytes, whole sectors."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class WriteCall:
    """One FSCTL_OFFLOAD_WRITE to make: the token's bytes from `transfer_offset` on belong at `offset`."""

    offset: int
    length: int
    transfer_offset: int
    token: bytes


Call = ReadCall | WriteCall


class TokenLedger:
    """What has been asked, what has arrived and what is left of one file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.tokens = 0
        self.cause: Cause | None = None
        self.in_flight = 0
        self._end = -(-size // SECTOR_BYTES) * SECTOR_BYTES
        self._next = 0
        self._stride = 0
        self._proven = False
        self._ready: deque[Call] = deque()
        self._done = RangeSet()
        self._read_again: set[int] = set()
        self._idle_writes = 0

    @property
    def done_bytes(self) -> int:
        """How much of the file stands in the destination by token."""
        return self._done.total

    @property
    def finished(self) -> bool:
        """No call is due and none is under way."""
        return self.in_flight == 0 and not self._has_call()

    def next_call(self) -> Call | None:
        """The next call to make now, counted as in flight; None while answers must come first, or at the end.

        Until one token has been read and written, one call is made at a time: so a refusal costs one question.
        """
        if not self._has_call() or (not self._proven and self.in_flight):
            return None
        self.in_flight += 1
        if self._ready:
            return self._ready.popleft()
        length = self._end - self._next
        if self._stride:
            length = min(length, self._stride)
        call = ReadCall(self._next, length)
        self._next += length
        return call

    def token_read(self, call: ReadCall, transfer_length: int, token: bytes, *, zero_beyond: bool) -> None:
        """A read was answered: the token stands for `transfer_length` bytes from the call's offset on."""
        self.in_flight -= 1
        length = self._whole_sectors(call, transfer_length)
        if length <= 0:
            self._stop(Cause.NO_PROGRESS)
            return
        self.tokens += 1
        if zero_beyond:
            self._zeros_from(call.offset + length)
        elif length < call.length:
            self._ask_on(call, length)
        self._stride = self._stride or max(length, STRIDE_BYTES)
        if token[:4] == ZERO_TOKEN_TYPE:
            self._proven = True
            self._arrived(call.offset, length)
        elif self.cause is None:
            self._ready.appendleft(WriteCall(call.offset, length, 0, token))

    def token_written(self, call: WriteCall, length_written: int) -> None:
        """A write was answered: so many bytes arrived, from the call's offset on."""
        self.in_flight -= 1
        length = self._whole_sectors(call, length_written)
        if length > 0:
            self._proven = True
            self._idle_writes = 0
            self._arrived(call.offset, length)
        else:
            self._idle_writes += 1
        if self._idle_writes >= MAX_IDLE_WRITES:
            self._stop(Cause.NO_PROGRESS)
        elif length < call.length and self.cause is None:
            self._ready.appendleft(
                WriteCall(
                    call.offset + length, call.length - length, call.transfer_offset + length, call.token
                )
            )

    def refused(self, call: Call, cause: Cause) -> None:
        """A call was refused. A token that was lost on the way is read once again; everything else ends the tokens."""
        self.in_flight -= 1
        if cause is Cause.EXPIRED and self._proven and call.offset not in self._read_again:
            self._read_again.add(call.offset)
            self._ready.append(ReadCall(call.offset, call.length))
            return
        self._stop(cause)

    def remaining(self) -> list[tuple[int, int]]:
        """The (offset, length) ranges, ascending, that did not arrive by token."""
        return self._done.gaps(self.size)

    def _has_call(self) -> bool:
        return self.cause is None and (bool(self._ready) or self._next < self._end)

    def _whole_sectors(self, call: Call, answered: int) -> int:
        """How far an answer carries a call: whole sectors, but a server may cut the file's last one at its end."""
        if call.offset + answered >= self.size:
            return min(call.length, self._end - call.offset)
        return min(call.length, answered - answered % SECTOR_BYTES)

    def _ask_on(self, call: ReadCall, length: int) -> None:
        """Ask for what a short token left out; the first call of all had asked for everything, so it is taken back."""
        if self._stride:
            self._ready.append(ReadCall(call.offset + length, call.length - length))
        else:
            self._next = call.offset + length

    def _zeros_from(self, offset: int) -> None:
        self._next = self._end
        self._ready = deque(
            call for call in self._ready if not (isinstance(call, ReadCall) and call.offset >= offset)
        )
        self._arrived(offset, self.size - offset)

    def _arrived(self, offset: int, length: int) -> None:
        end = min(offset + length, self.size)
        if offset < end:
            self._done.add(offset, end)

    def _stop(self, cause: Cause) -> None:
        self.cause = self.cause or cause


class RangeSet:
    """Byte ranges that have arrived; overlapping and touching ones become one."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0

    def add(self, start: int, end: int) -> None:
        """Add the bytes from `start` up to, not including, `end`."""
        first = bisect_right(self._starts, start)
        if first and self._ends[first - 1] >= start:
            first -= 1
            start = self._starts[first]
        last = bisect_right(self._starts, end)
        if last > first:
            end = max(end, self._ends[last - 1])
        merged = sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        self.total += end - start - merged

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """The (offset, length) ranges below `size` that are not in the set, ascending."""
        edges = [0, *self._ends]
        return [
            (edge, start - edge)
            for edge, start in zip(edges, [*self._starts, size], strict=True)
            if start > edge
        ]
