"""The course of a copy by token: which calls to make next, and what their answers mean.

Pure state, no I/O. The caller takes calls, makes them, several at a time and in any order of answers, and reports what
came back. Everything a server may lawfully do is decided here: tokens shorter than asked, writes shorter than asked,
zero tokens, zeros to the end, an end of file inside a sector. What is left over when the server refuses is `remaining`.

The destination must be all zeros at its full size before the first call, but for what has arrived already: ranges that a
token says are zeros are not written.
"""

from collections import deque
from dataclasses import dataclass

from odxfs.client.explain import Cause
from odxfs.client.ranges import RangeSet
from odxfs.types import SECTOR_BYTES

STRIDE_BYTES = 8 * 1024 * 1024
"""How much is asked of a server at least, after it gave less than all: the usual token of ONTAP. A shorter answer is asked
on from where it ended, so a guess too high costs one call."""

MAX_IDLE_WRITES = 4
"""Writes in a row that copy nothing before the copy gives up on tokens; Windows counts the same."""

PAUSES_SECONDS = (0.1, 0.2, 0.4, 0.8)
"""How long to leave a server alone that is short of resources, before each further try; then tokens are given up."""

HOLE_CALLS = 4
"""So many zero tokens in a row, each as long as was asked for, are the sign of a large hole: then all the rest is asked for at
once, because a zero token may be of any length."""

MOST_READ_AHEAD = 64
"""Calls under way while data comes. Where zeros come it is HOLE_CALLS again, and doubles with each token of data: what is asked
about the inside of a hole is asked in vain."""

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
    """What has been asked, what has arrived and what is left of one file of `size` bytes.

    `arrived` is shared with whoever copies the rest; what is in it from the start up to its first gap is not copied again.
    """

    def __init__(self, size: int, arrived: RangeSet | None = None) -> None:
        self.size = size
        self.arrived = RangeSet() if arrived is None else arrived
        self.tokens = 0
        self.done_bytes = 0
        """How much of the file stands in the destination by this ledger's tokens."""
        self.cause: Cause | None = None
        self.in_flight = 0
        self.pause_seconds = 0.0
        """How long to wait, once nothing is in flight, before `pause_over` and the next call."""
        self.proven = False
        """Whether a token has been read and written."""
        self._end = -(-size // SECTOR_BYTES) * SECTOR_BYTES
        self._next = self.arrived.first_gap() // SECTOR_BYTES * SECTOR_BYTES
        self._stride = 0
        self._probe: ReadCall | None = None
        self._zeros_in_row = 0
        self._read_ahead = HOLE_CALLS
        self._ready: deque[Call] = deque()
        self._read_again: set[int] = set()
        self._idle_writes = 0
        self._setbacks = 0

    @property
    def finished(self) -> bool:
        """No call is due and none is under way."""
        return self.in_flight == 0 and not self._has_call()

    def next_call(self) -> Call | None:
        """The next call to make now, counted as in flight; None while answers or a pause must come first, or at the end.

        Until one token has been read and written, one call is made at a time: so a refusal costs one question.
        """
        if not self._has_call() or self.pause_seconds or (not self.proven and self.in_flight):
            return None
        if not self._ready and self.in_flight >= self._read_ahead:
            return None
        self.in_flight += 1
        return self._ready.popleft() if self._ready else self._next_read()

    def token_read(self, call: ReadCall, transfer_length: int, token: bytes, *, zero_beyond: bool) -> None:
        """A read was answered: the token stands for `transfer_length` bytes from the call's offset on."""
        self.in_flight -= 1
        length = self._whole_sectors(call, transfer_length)
        if length <= 0:
            self._stop(Cause.NO_PROGRESS)
            return
        self.tokens += 1
        is_zero = token[:4] == ZERO_TOKEN_TYPE
        self._learn(call, length, is_zero=is_zero)
        if zero_beyond:
            self._zeros_from(call.offset + length)
        elif length < call.length:
            self._ask_on(call, length)
        if is_zero:
            self.proven = True
            self._arrived(call.offset, length)
        elif self.cause is None:
            self._ready.appendleft(WriteCall(call.offset, length, 0, token))

    def token_written(self, call: WriteCall, length_written: int) -> None:
        """A write was answered: so many bytes arrived, from the call's offset on."""
        self.in_flight -= 1
        length = self._whole_sectors(call, length_written)
        if length > 0:
            self.proven = True
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
        """A call was refused. A token that was lost is read once again; a shortage may pass; all else ends the tokens."""
        self.in_flight -= 1
        if cause is Cause.EXPIRED and self.proven and call.offset not in self._read_again:
            self._read_again.add(call.offset)
        elif cause is not Cause.SHORT_OF_RESOURCES or not self._take_setback():
            self._stop(cause)
            return
        self._ready.append(ReadCall(call.offset, call.length))

    def pause_over(self) -> None:
        """The caller has waited for `pause_seconds`."""
        self.pause_seconds = 0.0

    def remaining(self) -> list[tuple[int, int]]:
        """The (offset, length) ranges, ascending, that have not arrived."""
        return self.arrived.gaps(self.size)

    def _has_call(self) -> bool:
        return self.cause is None and (bool(self._ready) or self._next < self._end)

    def _next_read(self) -> ReadCall:
        """One stride; or all the rest, while the server's measure is unknown or nothing but zeros comes."""
        call = ReadCall(self._next, self._end - self._next)
        if self._stride and self._zeros_in_row < HOLE_CALLS:
            call = ReadCall(self._next, min(self._stride, call.length))
        else:
            self._probe = call
        self._next += call.length
        return call

    def _learn(self, call: ReadCall, length: int, *, is_zero: bool) -> None:
        if not is_zero:
            self._stride = self._stride or max(length, STRIDE_BYTES)
            self._zeros_in_row = 0
            self._read_ahead = min(2 * self._read_ahead, MOST_READ_AHEAD)
        elif call == self._probe:
            self._zeros_in_row = 0
        elif length == call.length:
            self._zeros_in_row += 1
            self._read_ahead = HOLE_CALLS

    def _whole_sectors(self, call: Call, answered: int) -> int:
        """How far an answer carries a call: whole sectors, but a server may cut the file's last one at its end."""
        if call.offset + answered >= self.size:
            return min(call.length, self._end - call.offset)
        return min(call.length, answered - answered % SECTOR_BYTES)

    def _ask_on(self, call: ReadCall, length: int) -> None:
        """Ask for what a short token left out; a call that had asked for all the rest is taken back."""
        if call == self._probe:
            self._next = call.offset + length
            self._probe = None
        else:
            self._ready.append(ReadCall(call.offset + length, call.length - length))

    def _zeros_from(self, offset: int) -> None:
        self._next = self._end
        self._ready = deque(
            call for call in self._ready if not (isinstance(call, ReadCall) and call.offset >= offset)
        )
        self._arrived(offset, self.size - offset)

    def _arrived(self, offset: int, length: int) -> None:
        end = min(offset + length, self.size)
        if offset < end:
            before = self.arrived.total
            self.arrived.add(offset, end)
            self.done_bytes += self.arrived.total - before
            self._setbacks = 0

    def _take_setback(self) -> bool:
        """Whether to try again after a pause. What is refused before the pause was taken belongs to one setback."""
        if not self.pause_seconds:
            if self._setbacks == len(PAUSES_SECONDS):
                return False
            self.pause_seconds = PAUSES_SECONDS[self._setbacks]
            self._setbacks += 1
        return True

    def _stop(self, cause: Cause) -> None:
        self.cause = self.cause or cause
