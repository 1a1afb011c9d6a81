"""One call: a part of a remote token becomes a part of a file here, in order, several reads ahead of the writes."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import trio

from odxfs.client.connection import Pending
from odxfs.errors import LockConflict
from odxfs.offload import OffloadParty, WriteCall
from odxfs.peers.remote_token import RemoteToken, data_of
from odxfs.peers.window import SMALLEST_PIECE_BYTES, Window
from odxfs.types import Buffer

READS_AHEAD = 8
"""Reads of one call that are under way: what a network of 10 Gbit/s and a millisecond holds."""


@dataclass(slots=True)
class Progress:
    """How far a call has come, in bytes: `written` of `inside`, without a gap from its beginning, `moved` of them fetched.

    `inside` is what falls into the file, None until the peer has told the token's size; `due` what a client is told when that
    is written.
    """

    due: int = 0
    inside: int | None = None
    written: int = 0
    moved: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all that falls into the file is there, which may be nothing."""
        return self.written == self.inside


class Step(NamedTuple):
    """A stretch of the call, `at` bytes from its beginning: bytes to fetch, or a hole."""

    at: int
    length: int
    is_data: bool


class Read(NamedTuple):
    """A step under way; `asked` is when, `pending` None for a hole."""

    step: Step
    pending: Pending | None
    asked: float


class Fetch:
    """The bytes that `call` and `progress` say, of `token`, for the party's file."""

    def __init__(
        self, token: RemoteToken, window: Window, party: OffloadParty, call: WriteCall, progress: Progress
    ) -> None:
        self._token = token
        self._window = window
        self._party = party
        self._token_offset = call.transfer_offset
        self._offset = call.file_offset
        self._length = progress.inside or 0
        self._progress = progress
        self._ahead: deque[Read] = deque()
        self._held = 0
        self._has_asked = False

    async def run(self, last_read_at: float) -> None:
        """Fetch and write until all is there; nothing is asked for after `last_read_at`.

        `progress` is true at every moment, also when this is cancelled. Raises OffloadRefused, NetworkFailed, ProtocolError,
        or what the volume raises.
        """
        ranges = await self._ranges()
        steps = self._steps(ranges)
        try:
            step = next(steps, None)
            while step is not None or self._ahead:
                if step is not None and trio.current_time() >= last_read_at:
                    step = None  # what is under way is still taken in
                    continue
                while step is not None and len(self._ahead) < READS_AHEAD and await self._ask(step):
                    step = next(steps, None)
                await self._token.flush()
                if self._ahead:
                    await self._take_in(self._ahead.popleft())
        finally:
            self._window.give(self._held)

    async def _ranges(self) -> list[tuple[int, int]]:
        length = min(self._length, self._token.size - self._token_offset)
        if length <= 0:
            return []
        if self._token.is_dense:
            return [(self._token_offset, length)]
        return await self._token.data_ranges(self._token_offset, length)

    def _steps(self, ranges: list[tuple[int, int]]) -> Iterator[Step]:
        at = 0
        for position, length in ranges:
            start = position - self._token_offset
            if at < start:
                yield Step(at, start - at, is_data=False)
            at, end = start, start + length
            while at < end:
                most = self._window.piece_bytes if self._has_asked else SMALLEST_PIECE_BYTES
                piece = min(end - at, most, self._token.max_read_bytes)
                yield Step(at, piece, is_data=True)
                at += piece
        if at < self._length:
            yield Step(at, self._length - at, is_data=False)

    async def _ask(self, step: Step) -> bool:
        """Ask for a step; False when that would mean waiting while others are under way."""
        if not step.is_data:
            self._ahead.append(Read(step, None, 0.0))
            return True
        if not self._has_asked:
            self._window.claim(step.length)
        elif not self._window.try_take(step.length):
            if self._ahead:
                return False
            await self._window.take(step.length)
        self._held += step.length
        self._has_asked = True
        position = self._token_offset + step.at
        while (pending := self._token.try_submit_read(position, step.length)) is None:
            if self._ahead:
                self._let_go(step.length)
                return False
            await self._token.wait_for_room(step.length)
        self._ahead.append(Read(step, pending, trio.current_time()))
        return True

    async def _take_in(self, read: Read) -> None:
        step = read.step
        if read.pending is None:
            await self._write(step, None)
            return
        data = data_of(await read.pending.wait(), step.length)
        self._window.arrived(step.length, read.asked, trio.current_time())
        await self._write(step, data)
        self._let_go(step.length)

    async def _write(self, step: Step, data: Buffer | None) -> None:
        """Put a step into the file, whole, whatever is cancelled meanwhile. Raises LockConflict, VolumeError."""
        party, position = self._party, self._offset + step.at
        if party.write_conflicts(position, step.length):
            raise LockConflict(f"inode {party.inode.number} is locked at {position}")
        with trio.CancelScope(shield=True):
            if data is None:
                await self._empty(position, step.length)
            else:
                may_grow = not party.settings.strict
                await party.volume.write(party.inode, position, data, may_grow=may_grow)
                self._progress.moved += step.length
        self._progress.written = step.at + step.length

    async def _empty(self, offset: int, length: int) -> None:
        party = self._party
        await party.volume.deallocate(party.inode, offset, length)
        if not party.settings.strict and offset + length > party.inode.size:
            await party.volume.truncate(party.inode, offset + length)

    def _let_go(self, length: int) -> None:
        self._held -= length
        self._window.give(length)
