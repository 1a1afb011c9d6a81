"""The copy of one file: tokens first, from the point reached plain reads and writes, and nothing half-made left behind."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from odxfs.client.errors import NotOffloaded
from odxfs.client.explain import Cause
from odxfs.client.file import SmbFile
from odxfs.client.ledger import TokenLedger
from odxfs.client.local import LocalFile
from odxfs.client.local_offload import copy_by_local_token
from odxfs.client.offload import copy_by_token, find_refusal
from odxfs.client.places import File, Place
from odxfs.client.plain import copy_plainly
from odxfs.client.plan import Wish, cause_against_tokens
from odxfs.client.result import CopyResult, Observer, Tally
from odxfs.errors import UserError

_log = logging.getLogger(__name__)

CLEANING_SECONDS = 10.0
"""How long removing a partial destination may take when the copy was cancelled or has failed."""


class Copy:
    """One copy under way: its two places and its count."""

    def __init__(self, source: Place, destination: Place, wish: Wish, observe: Observer | None) -> None:
        self._source = source
        self._destination = destination
        self._wish = wish
        self._observe = observe
        self._tally = Tally()
        self._plain_bytes = 0
        self._ledger: TokenLedger | None = None
        connections = {place.connection for place in (source, destination) if place.connection is not None}
        self._counters = [
            (connection, connection.sent_bytes, connection.received_bytes) for connection in connections
        ]

    async def run(self) -> CopyResult:
        """See `copy_file`."""
        started = time.perf_counter()
        async with _closing(await self._source.open_to_read()) as source:
            self._tally.logical_bytes = source.size
            cause = cause_against_tokens(self._source.side, self._destination.side, source.size, self._wish)
            self._insist(cause)
            async with self._destination_for(source, cause) as destination:
                cause = await self._move(source, destination, cause)
        self._count()
        return self._result(cause, time.perf_counter() - started)

    async def _move(self, source: File, destination: File, cause: Cause | None) -> Cause | None:
        """Tokens, then the rest plainly; the cause why not all went by token."""
        ranges = [(0, source.size)] if source.size else []
        if cause is None:
            self._ledger = TokenLedger(source.size)
            if isinstance(source, LocalFile):
                assert isinstance(destination, LocalFile)
                await copy_by_local_token(source, destination, self._ledger, self._count)
            else:
                assert isinstance(source, SmbFile)
                assert isinstance(destination, SmbFile)
                await copy_by_token(source, destination, self._ledger, self._count)
            ranges, cause = self._ledger.remaining(), self._ledger.cause
            self._insist(cause)
        if ranges:
            await copy_plainly(source, destination, ranges, self._count_plain)
        return cause

    @asynccontextmanager
    async def _destination_for(self, source: File, cause: Cause | None) -> AsyncIterator[File]:
        """The destination at its full size, all zeros, closed on leaving; removed again when the copy does not succeed."""
        destination = await self._destination.open_to_write()
        begun = destination.created
        try:
            await self._refuse_same_file(source, destination)
            if cause is None and self._wish is Wish.REQUIRED and isinstance(source, SmbFile):
                assert isinstance(destination, SmbFile)
                self._insist(await find_refusal(source, destination))
            begun = True
            await _make_zeros(destination, source.size)
            yield destination
            await destination.close()
        except BaseException:
            await self._clean_up(destination, delete=begun)
            raise

    async def _clean_up(self, destination: File, *, delete: bool) -> None:
        """Close, and delete what the copy has begun to change. A second failure would only hide the first."""
        with trio.move_on_after(CLEANING_SECONDS, shield=True):
            await _close_quietly(destination)
            if not delete:
                return
            try:
                await self._destination.delete()
            except UserError as error:
                _log.info("the partial destination %s could not be removed: %s", destination.name, error)

    async def _refuse_same_file(self, source: File, destination: File) -> None:
        if destination.created:
            return
        same = await self._source.identity(source) == await self._destination.identity(destination)
        if same and await self._source.is_being_written():
            raise UserError(f"{source.name} and {destination.name} are the same file")

    def _insist(self, cause: Cause | None) -> None:
        if cause is not None and self._wish is Wish.REQUIRED:
            raise NotOffloaded(cause)

    def _count_plain(self, arrived_bytes: int) -> None:
        self._plain_bytes += arrived_bytes
        self._count()

    def _count(self) -> None:
        tally, ledger = self._tally, self._ledger
        if ledger is not None:
            tally.offloaded_bytes, tally.tokens = ledger.done_bytes, ledger.tokens
        tally.done_bytes = tally.offloaded_bytes + self._plain_bytes
        tally.wire_sent_bytes = sum(connection.sent_bytes - base for connection, base, _ in self._counters)
        tally.wire_received_bytes = sum(
            connection.received_bytes - base for connection, _, base in self._counters
        )
        if self._observe is not None:
            self._observe(replace(tally))

    def _result(self, cause: Cause | None, seconds: float) -> CopyResult:
        tally = self._tally
        mechanism = "token" if cause is None else "token+plain" if tally.offloaded_bytes else "plain"
        return CopyResult(
            mechanism,
            cause,
            tally.logical_bytes,
            tally.offloaded_bytes,
            tally.wire_sent_bytes,
            tally.wire_received_bytes,
            tally.tokens,
            seconds,
        )


async def copy_file(
    source: Place, destination: Place, wish: Wish = Wish.AUTO, observe: Observer | None = None
) -> CopyResult:
    """Copy one file; an existing destination is overwritten, and removed when the copy fails or is cancelled.

    Raises NotOffloaded when the wish cannot be met (before any data is moved, where that can be known), RequestRefused,
    NetworkFailed, or UserError for a local file's troubles.
    """
    return await Copy(source, destination, wish, observe).run()


async def _make_zeros(file: File, size: int) -> None:
    if file.size:
        await file.set_end_of_file(0)
    await file.set_end_of_file(size)


@asynccontextmanager
async def _closing(file: File) -> AsyncIterator[File]:
    try:
        yield file
    except BaseException:
        with trio.move_on_after(CLEANING_SECONDS, shield=True):
            await _close_quietly(file)
        raise
    await file.close()


async def _close_quietly(file: File) -> None:
    """Another error is on its way already: what this close says changes nothing."""
    try:
        await file.close()
    except UserError as error:
        _log.info("closing %s: %s", file.name, error)
