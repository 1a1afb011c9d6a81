"""The bytes of one open file into another: by token, from there on by COPYCHUNK, and what is left by reading and writing."""

from collections.abc import Callable
from contextlib import aclosing

from odxfs.client.chunks import ChunkLedger
from odxfs.client.copychunk import copy_by_chunks
from odxfs.client.explain import Cause, ChunkCause
from odxfs.client.file import SmbFile
from odxfs.client.holes import data_batches
from odxfs.client.ledger import TokenLedger
from odxfs.client.local_file import LocalFile
from odxfs.client.local_offload import copy_by_local_token
from odxfs.client.metadata import Lost
from odxfs.client.offload import copy_by_token
from odxfs.client.place import File
from odxfs.client.plain import copy_plainly
from odxfs.client.plan import Side, Wish, cause_against_chunks
from odxfs.client.ranges import RangeSet
from odxfs.client.result import Tally


class Movement:
    """One file under way. What is in `arrived` is never moved again."""

    def __init__(
        self, source: File, destination: File, arrived: RangeSet, progress: Callable[[], None]
    ) -> None:
        self.cause: Cause | None = None
        self.chunk_cause: ChunkCause | None = None
        self._source = source
        self._destination = destination
        self._arrived = arrived
        self._progress = progress
        self._resumed_bytes = arrived.total
        self._tokens = TokenLedger(source.size, arrived)
        self._chunks = ChunkLedger(arrived)
        self._plain_bytes = 0
        self._hole_bytes = 0

    async def by_token(self) -> None:
        """As far as tokens go; `cause` says why not to the end. The destination is all zeros where nothing has arrived."""
        source, destination = self._source, self._destination
        if isinstance(source, LocalFile):
            assert isinstance(destination, LocalFile)
            await copy_by_local_token(source, destination, self._tokens, self._progress)
        else:
            assert isinstance(source, SmbFile)
            assert isinstance(destination, SmbFile)
            await copy_by_token(source, destination, self._tokens, self._progress)
        self.cause = self._tokens.cause

    async def rest(self, sides: tuple[Side, Side], wish: Wish) -> set[Lost]:
        """All that has not arrived yet, holes left out; what could not be kept of the source's sparseness."""
        lost = await self._mark_sparse()
        ranges = self._left()
        if ranges:
            await self._by_chunks(ranges, sides, wish)
        if self._left():
            await self._plainly()
        return lost

    def count(self, tally: Tally) -> None:
        """Write down how far it is."""
        tally.resumed_bytes = self._resumed_bytes
        tally.offloaded_bytes, tally.tokens = self._tokens.done_bytes, self._tokens.tokens
        tally.copychunk_bytes = self._chunks.done_bytes
        tally.plain_bytes, tally.hole_bytes = self._plain_bytes, self._hole_bytes
        tally.done_bytes = self._arrived.total

    async def _mark_sparse(self) -> set[Lost]:
        """Not before the tokens: Windows offloads into no sparse file."""
        if not self._source.sparse or await self._destination.mark_sparse():
            return set()
        return {Lost.SPARSENESS}

    async def _by_chunks(self, ranges: list[tuple[int, int]], sides: tuple[Side, Side], wish: Wish) -> None:
        source, destination = self._source, self._destination
        left_bytes = sum(length for _, length in ranges)
        same = (
            isinstance(source, SmbFile)
            and isinstance(destination, SmbFile)
            and source.tree.session is destination.tree.session
        )
        self.chunk_cause = cause_against_chunks(*sides, left_bytes, wish, same_session=same)
        if self.chunk_cause is not None:
            return
        assert isinstance(source, SmbFile)
        assert isinstance(destination, SmbFile)
        async with aclosing(data_batches(source, ranges, self._skip)) as batches:
            await copy_by_chunks(source, destination, batches, self._chunks, self._progress)
        self.chunk_cause = self._chunks.cause

    async def _plainly(self) -> None:
        async with aclosing(data_batches(self._source, self._left(), self._skip)) as batches:
            async for batch in batches:
                await copy_plainly(self._source, self._destination, batch, self._moved)

    def _left(self) -> list[tuple[int, int]]:
        return self._arrived.gaps(self._source.size)

    def _moved(self, offset: int, length: int) -> None:
        self._plain_bytes += length
        self._arrived.add(offset, offset + length)
        self._progress()

    def _skip(self, start: int, end: int) -> None:
        self._hole_bytes += end - start
        self._arrived.add(start, end)
        self._progress()
