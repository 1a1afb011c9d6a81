"""One call: a part of a remote token becomes a part of a file here, in order, several reads ahead of the writes."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

import trio

from odxfs.client.connection import Pending
from odxfs.offload import OffloadParty, WriteCall
from odxfs.peers.remote_token import Ranges, RemoteToken, data_of
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

    def after(self, length: int) -> "Step | None":
        """What is left when so many bytes of it are asked for."""
        return (
            self._replace(at=self.at + length, length=self.length - length) if length < self.length else None
        )


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
        """Fetch and write until all is there, or the open has ended; nothing is asked for after `last_read_at`.

        `progress` is true at every moment, also when this is cancelled. Raises OffloadRefused, NetworkFailed, ProtocolError,
        or what the volume raises.
        """
        async with aclosing(self._steps()) as steps:
            try:
                await self._run(steps, last_read_at)
            finally:
                self._window.give(self._held)

    async def _run(self, steps: AsyncGenerator[Step, None], last_read_at: float) -> None:
        step = await anext(steps, None)
        while (step is not None or self._ahead) and not self._party.is_given_up():
            if step is not None and trio.current_time() >= last_read_at:
                step = None  # what is under way is still taken in
                continue
            while step is not None and len(self._ahead) < READS_AHEAD and (asked := await self._ask(step)):
                step = step.after(asked) or await anext(steps, None)
            await self._token.flush()
            if self._ahead:
                await self._take_in(self._ahead.popleft())

    async def _steps(self) -> AsyncGenerator[Step, None]:
        """All that is to be done, in order; the peer is asked for its ranges a page at a time, when they are needed."""
        at, end = 0, min(self._length, self._token.size - self._token_offset)
        while at < end:
            ranges, reached = await self._ranges(at, end)
            for start, length in ranges:
                if at < start:
                    yield Step(at, start - at, is_data=False)
                for piece in self._pieces(start, start + length):
                    yield piece
                at = start + length
            if at < reached:
                yield Step(at, reached - at, is_data=False)
            at = reached
        if at < self._length:
            yield Step(at, self._length - at, is_data=False)

    async def _ranges(self, at: int, end: int) -> tuple[Ranges, int]:
        """(at, length) of data from `at` on, counted from the call's beginning, and up to where that is all."""
        if self._token.is_dense:
            return [(at, end - at)], end
        base = self._token_offset
        ranges, reached = await self._token.find_data(base + at, end - at)
        return [(offset - base, length) for offset, length in ranges], reached - base

    def _pieces(self, at: int, end: int) -> Iterator[Step]:
        while at < end:
            most = self._window.piece_bytes if self._has_asked else SMALLEST_PIECE_BYTES
            piece = min(end - at, most, self._token.max_read_bytes)
            yield Step(at, piece, is_data=True)
            at += piece

    async def _ask(self, step: Step) -> int:
        """Ask for a step or its beginning; for how many bytes, 0 when that would mean waiting while others are under way."""
        if not step.is_data:
            self._ahead.append(Read(step, None, 0.0))
            return step.length
        if not self._has_asked:
            self._window.claim(step.length)
        elif not self._window.try_take(step.length):
            if self._ahead:
                return 0
            await self._window.take(step.length)
        self._held += step.length
        self._has_asked = True
        return await self._submit(step)

    async def _submit(self, step: Step) -> int:
        """As many bytes of a step as the peer's credits allow."""
        position, length = self._token_offset + step.at, step.length
        while (pending := self._token.try_submit_read(position, length)) is None:
            if self._ahead:
                self._let_go(length)
                return 0
            room = await self._token.wait_for_room(length)
            self._let_go(length - room)
            length = room
        self._ahead.append(Read(Step(step.at, length, is_data=True), pending, trio.current_time()))
        return length

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
        party.permit_write(position, step.length)
        with trio.CancelScope(shield=True):
            if data is None:
                await self._empty(position, step.length)
            else:
                may_grow = not party.settings.strict
                await party.volume.write(
                    party.inode, position, data, may_grow=may_grow, permit=party.permit_write
                )
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
