"""The copy of one file, from open to close."""

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from odxfs.client.closing import closing
from odxfs.client.entry import Kind
from odxfs.client.errors import NotOffloaded
from odxfs.client.explain import Cause
from odxfs.client.file import SmbFile
from odxfs.client.identity import Likeness
from odxfs.client.keeping import keep
from odxfs.client.metadata import Lost, is_same_time
from odxfs.client.movement import Movement
from odxfs.client.offload import find_refusal
from odxfs.client.partial import PartialRecord, source_key
from odxfs.client.place import File, Place
from odxfs.client.plan import CopyOptions, Wish, cause_against_tokens
from odxfs.client.ranges import RangeSet
from odxfs.client.result import CopyResult, Observer, Tally
from odxfs.client.targets import Renew, direct_target, partial_target
from odxfs.client.verify import verify
from odxfs.errors import UserError


class Copy:
    """One copy under way: its two places and its count."""

    def __init__(
        self,
        source: Place,
        destination: Place,
        options: CopyOptions,
        observe: Observer | None,
        renew: Renew | None,
    ) -> None:
        self._source = source
        self._destination = destination
        self._sides = source.side, destination.side
        self._options = options
        self._observe = observe
        self._renew = renew
        self._tally = Tally()
        self._lost = set[Lost]()
        self._movement: Movement | None = None
        self._cause: Cause | None = None
        connections = {place.connection for place in (source, destination) if place.connection is not None}
        self._counters = [
            (connection, connection.sent_bytes, connection.received_bytes) for connection in connections
        ]

    async def run(self) -> CopyResult:
        """See `copy_file`."""
        started = time.perf_counter()
        async with closing(await self._source.open_to_read()) as source:
            self._tally.logical_bytes = source.size
            if self._options.resume and await self._is_there(source):
                self._tally.resumed_bytes = self._tally.done_bytes = source.size
            else:
                await self._fill(source)
        digest = await verify(self._source, self._destination) if self._options.verify else None
        self._count()
        return self._result(time.perf_counter() - started, digest)

    async def _fill(self, source: File) -> None:
        self._cause = cause_against_tokens(*self._sides, source.size, self._options.wish)
        self._insist(self._cause)
        arrived = RangeSet()
        async with await self._target(source, arrived) as destination:
            self._movement = Movement(source, destination, arrived, self._count)
            await self._move(self._movement)

    async def _is_there(self, source: File) -> bool:
        """Whether an earlier run has finished this file: one of its size and time of last write is there."""
        found = await self._destination.look()
        return (
            found is not None
            and found.kind is Kind.FILE
            and found.size == source.size
            and is_same_time(found.metadata.written_ns, source.metadata.written_ns)
        )

    async def _move(self, movement: Movement) -> None:
        if self._cause is None:
            await movement.by_token()
            self._cause = movement.cause
            self._insist(self._cause)
        self._lost |= await movement.rest(self._sides, self._options.wish)

    async def _target(self, source: File, arrived: RangeSet) -> AbstractAsyncContextManager[File]:
        """The file to fill; see `targets`."""

        async def check(destination: File) -> None:
            await self._check(source, destination)

        async def finish(place: Place, file: File) -> None:
            self._lost |= await keep(self._source, source, place, file)

        if self._options.resume:
            record = await self._record(source)
            return partial_target(self._destination, arrived, record, check, finish)
        return direct_target(self._destination, source.size, check, finish, self._renew)

    async def _record(self, source: File) -> PartialRecord:
        name = source.name if self._source.connection is not None else "local"
        number = source_key(str((await self._source.identity(source)).key[-1]))
        metadata = source.metadata
        return PartialRecord(source_key(name), number, source.size, metadata.written_ns, metadata.changed_ns)

    async def _check(self, source: File, destination: File) -> None:
        """Raises UserError for a file that would overwrite itself, NotOffloaded where both ends are asked in vain."""
        await self._refuse_same_file(source, destination)
        if self._cause is None and self._options.wish is Wish.REQUIRED and isinstance(source, SmbFile):
            assert isinstance(destination, SmbFile)
            self._insist(await find_refusal(source, destination))

    async def _refuse_same_file(self, source: File, destination: File) -> None:
        if not destination.created and await self._is_same_file(source, destination):
            raise UserError(f"{source.name} and {destination.name} are the same file")

    async def _is_same_file(self, source: File, destination: File) -> bool:
        first = await self._source.identity(source)
        second = await self._destination.identity(destination)
        likeness = first.compare(second)
        if likeness is not Likeness.PERHAPS:
            return likeness is Likeness.SAME
        if first.realm == second.realm:
            return await self._source.is_being_written()
        return is_same_time(first.changed_ns, second.changed_ns)

    def _insist(self, cause: Cause | None) -> None:
        if cause is not None and self._options.wish is Wish.REQUIRED:
            raise NotOffloaded(cause)

    def _count(self) -> None:
        tally = self._tally
        if self._movement is not None:
            self._movement.count(tally)
        tally.wire_sent_bytes = sum(connection.sent_bytes - base for connection, base, _ in self._counters)
        tally.wire_received_bytes = sum(
            connection.received_bytes - base for connection, _, base in self._counters
        )
        if self._observe is not None:
            self._observe(replace(tally))

    def _result(self, seconds: float, digest: str | None) -> CopyResult:
        chunk_cause = self._movement.chunk_cause if self._movement is not None else None
        return CopyResult(self._tally, self._cause, chunk_cause, seconds, frozenset(self._lost), digest)


async def copy_file(
    source: Place,
    destination: Place,
    wish: Wish = Wish.AUTO,
    observe: Observer | None = None,
    *,
    resume: bool = False,
    verify: bool = False,
    renew: Renew | None = None,
) -> CopyResult:
    """Copy one file; an existing destination is overwritten, and removed when the copy fails or is cancelled.

    With `resume` the destination is replaced when its successor is whole, and what a failed copy has reached is kept beside
    it. `renew` gives a place over a connection that works, to remove what a lost one has left. Raises NotOffloaded when the wish
    cannot be met (before any data is moved, where that can be known), Mismatch, RequestRefused, NetworkFailed, or UserError for a
    local file's troubles.
    """
    options = CopyOptions(wish, resume=resume, verify=verify)
    return await Copy(source, destination, options, observe, renew).run()
