"""Where a copy's bytes go until it is whole: into the file itself, or with --resume into a partial file beside it.

Both hand out an open file that is all zeros but for what has arrived, and both end in the same way: `finish` is called on
the whole file, then it is closed under its name. When the copy fails, the first removes the file, the second keeps it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import trio

from odxfs.client.closing import CLEANING_SECONDS, close_quietly, closing, to_its_end
from odxfs.client.entry import Kind
from odxfs.client.errors import NetworkFailed
from odxfs.client.nursery import open_nursery
from odxfs.client.partial import PARTIAL_SUFFIX, RECORD_BYTES, PartialRecord, record_offset
from odxfs.client.place import File, Place
from odxfs.client.plain import make_zeros
from odxfs.client.ranges import RangeSet
from odxfs.errors import ExitCode, UserError
from odxfs.types import BLOCK_BYTES

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 0.5
"""How much of a partial copy's time may be lost with the client or the server; each time costs one flush."""

RETURN_SECONDS = (0.0, 0.5, 1.0, 2.0)
"""Pauses before each try to reach a lost server again, only to remove what was begun there."""

Finish = Callable[[Place, File], Awaitable[None]]
Renew = Callable[[Place], Awaitable[Place]]
Check = Callable[[File], Awaitable[None]]


@asynccontextmanager
async def direct_target(
    place: Place, size: int, check: Check, finish: Finish, renew: Renew | None = None
) -> AsyncIterator[File]:
    """The destination itself, emptied and at its full size; removed when the copy does not succeed.

    `check` may refuse before anything is changed; then a file that was there stays as it is. `renew` gives the place over a new
    connection, to remove the file when the old one is lost. The error says so when it could not be removed.
    """
    opened: list[File] = []
    is_begun = False
    try:
        await to_its_end(place.open_to_write, opened.append)
        (file,) = opened
        await check(file)
        is_begun = True
        await make_zeros(file, size)
        yield file
        await finish(place, file)
        await file.close()
    except BaseException as error:
        for file in opened:
            is_clean = await _clean_up(place, file, delete=is_begun or file.created, renew=renew)
            if not is_clean and isinstance(error, UserError):
                raise _left_behind(error, place) from error
        raise


@asynccontextmanager
async def partial_target(
    place: Place, arrived: RangeSet, record: PartialRecord, check: Check, finish: Finish
) -> AsyncIterator[File]:
    """The partial file, with `arrived` filled in from an earlier run; it takes the destination's name when it is whole.

    `record` says of what source it is. A partial file of another source, or of an older state of it, begins again.
    """
    if place.name.casefold().endswith(PARTIAL_SUFFIX):
        raise UserError(f"{place.name}: with --resume this name is kept for partial copies", ExitCode.REFUSED)
    await _check_existing(place, check)
    partial = place.partial()
    file = await partial.open_partial()
    keeper = _Keeper(file, arrived, record)
    try:
        await keeper.begin()
        async with open_nursery() as nursery:
            nursery.start_soon(keeper.keep_on)
            yield file
            await keeper.shorten_flush()
            async with keeper.at_rest():
                nursery.cancel_scope.cancel()
        await keeper.cut_record()
        await finish(partial, file)
        await file.flush()  # the name must not become durable before the bytes
        with keeper.given_up():
            await partial.rename(file, place)
        await file.close()
    except BaseException:
        with trio.move_on_after(CLEANING_SECONDS, shield=True):
            await keeper.save_quietly()
        await _clean_up(partial, file, delete=keeper.is_anew and not arrived.total)
        raise


async def _check_existing(place: Place, check: Check) -> None:
    """What has the destination's name already must be a file, and not the source."""
    found = await place.look()
    if found is None:
        return
    if found.kind is not Kind.FILE:
        raise UserError(f"{place.name}: it is {found.kind.value}", ExitCode.REFUSED)
    async with closing(await place.open_to_write()) as file:
        await check(file)


class _Keeper:
    """Writes down how far the partial file is."""

    def __init__(self, file: File, arrived: RangeSet, record: PartialRecord) -> None:
        self._file = file
        self._arrived = arrived
        self._record = record
        self._lock = trio.Lock()
        self._is_given_up = False
        self._has_record = True
        self.is_anew = file.created
        """Whether nothing of an earlier run is in the file."""

    async def begin(self) -> None:
        """Take up an earlier run where its record fits, then make zeros of all that is not known to have arrived."""
        found = await self._read()
        if found is not None and found.is_of(self._record):
            self._record, self.is_anew = found, not found.reached
            if found.reached:
                self._arrived.add(0, found.reached)
            await self._clear_rest()
            return
        self.is_anew = True
        await self._file.set_end_of_file(0)
        await self._write(record_offset(self._record.size))

    async def _clear_rest(self) -> None:
        """Make zeros of what lies behind `reached`. At each moment the file ends with a record of how far it is."""
        reached, end = self._record.reached, record_offset(self._record.size)
        if reached == self._record.size:
            return
        await self._write(reached)
        await self._file.set_end_of_file(reached + RECORD_BYTES)
        await self._write(end)
        await self._file.write(reached, bytes(RECORD_BYTES))

    async def keep_on(self) -> None:
        """Save again and again until cancelled."""
        while True:
            await trio.sleep(CHECKPOINT_SECONDS)
            await self._save()

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Inside, no record is on its way to the file: one that arrived late would lengthen it again."""
        async with self._lock:
            yield

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """From here on the file may have the destination's name, where no record belongs; unless what is inside was refused."""
        self._is_given_up = True
        try:
            yield
        except UserError:
            self._is_given_up = False
            raise

    async def shorten_flush(self) -> None:
        """Of a copy that took long save the end, too: then little is to be flushed while there is no record."""
        if self._record.reached:
            await self._save()

    async def cut_record(self) -> None:
        """Give the file its own length."""
        self._has_record = False
        await self._file.set_end_of_file(self._record.size)

    async def save_quietly(self) -> None:
        """The last save of a copy that has failed; a second failure would only hide the first."""
        if self._is_given_up:
            return
        try:
            await self._save()
        except UserError as error:
            _log.info("how far %s is could not be written down: %s", self._file.name, error)

    async def _save(self) -> None:
        """First the bytes are made stable, then the record says so."""
        async with self._lock:
            reached = self._arrived.first_gap()
            if reached < self._record.size:
                reached -= reached % BLOCK_BYTES
            if reached > self._record.reached or not self._has_record:
                await self._file.flush()
                self._record = replace(self._record, reached=reached)
                await self._write(record_offset(self._record.size))

    async def _read(self) -> PartialRecord | None:
        offset = self._file.size - RECORD_BYTES
        if offset < 0:
            return None
        record = PartialRecord.unpack(await self._file.read(offset, RECORD_BYTES))
        return record if record is not None and offset in record.places() else None

    async def _write(self, offset: int) -> None:
        await self._file.write(offset, self._record.pack())
        await self._file.flush()
        self._has_record = True


async def _clean_up(place: Place, file: File, *, delete: bool, renew: Renew | None = None) -> bool:
    """Close, and delete what the copy has begun to change; whether nothing of that is left."""
    with trio.move_on_after(CLEANING_SECONDS, shield=True):
        if not delete:
            await close_quietly(file)
            return True
        try:
            await place.discard(file)
            return True
        except UserError as error:
            _log.info("the partial destination %s could not be removed: %s", file.name, error)
            if isinstance(error, NetworkFailed) and renew is not None:
                return await _delete_later(place, renew)
    return False


async def _delete_later(place: Place, renew: Renew) -> bool:
    """Delete what a lost connection has left, as soon as the server is there and has noticed its loss; whether that was soon."""
    for pause in RETURN_SECONDS:
        await trio.sleep(pause)
        try:
            await (await renew(place)).delete()
            return True
        except UserError as error:
            if error.exit_code is ExitCode.NOT_FOUND:
                return True
            _log.info("%s could not be removed: %s", place.name, error)
    return False


def _left_behind(error: UserError, place: Place) -> UserError:
    text = f"{error}; what was copied so far is left at {place.name}"
    return NetworkFailed(text) if isinstance(error, NetworkFailed) else UserError(text, error.exit_code)
