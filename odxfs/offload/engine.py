"""The one engine behind every copy that shares extents instead of moving bytes.

`offload_read` pins a range and returns the token that stands for it; `offload_write` makes the pinned bytes appear
somewhere else; `clone` does both at once for COPYCHUNK and DUPLICATE_EXTENTS, `copy` for copy_file_range. Nothing here
reads or writes file data, except that the volume copies the edges of ranges that do not fall on whole blocks.
"""

from collections.abc import Callable
from uuid import UUID

from odxfs.errors import InvalidArgument, OffloadRefused, Refusal
from odxfs.offload import rules
from odxfs.offload.counters import Mechanism, OffloadCounters
from odxfs.offload.events import OffloadEvent
from odxfs.offload.foreign import ForeignTokens
from odxfs.offload.registry import TokenEntry, TokenRegistry
from odxfs.offload.rules import OffloadParty, ReadCall, ReadResult, WriteCall
from odxfs.offload.token import ZERO_TOKEN, is_zero_token, issuer_of
from odxfs.offload.token_files import TokenFiles
from odxfs.volume import Inode, Pool, Volume

Observer = Callable[[OffloadEvent], None]


def _unobserved(_: OffloadEvent) -> None:
    pass


class OffloadEngine:
    """Offload read and write over one registry of tokens; `clock` gives monotonic seconds, `observe` hears of each call."""

    def __init__(
        self,
        registry: TokenRegistry,
        clock: Callable[[], float],
        observe: Observer = _unobserved,
        foreign: ForeignTokens | None = None,
    ) -> None:
        self.registry = registry
        self.counters = OffloadCounters()
        self.clock = self._clock = clock
        self._observe = observe
        self._foreign = foreign

    async def offload_read(self, party: OffloadParty, call: ReadCall) -> ReadResult:
        """FSCTL_OFFLOAD_READ (MS-FSA 2.1.5.10.20). Raises OffloadRefused; VolumeError if the store fails.

        The token stands for the bytes as they are at one moment during this call, unsynced writes included. Cost: one
        reference for each 8 MiB window that the range touches, whatever its fragmentation.
        """
        try:
            rules.check_read_call(party, call)
            if call.copy_length == 0:
                return ReadResult(all_zero_beyond=False, transfer_length=0, token=ZERO_TOKEN)
            rules.check_read_file(party, call)
        except OffloadRefused as refused:
            self.counters.refusals[refused.reason] += 1
            raise
        return await self._read_token(party, call)

    async def _read_token(self, party: OffloadParty, call: ReadCall) -> ReadResult:
        volume, inode, offset = party.volume, party.inode, call.file_offset
        end = min(offset + call.copy_length, rules.round_up_to_sector(inode.size))
        length = min(end - offset, party.settings.token_bytes)
        data_from = await volume.next_data(inode, offset)
        if data_from is None or data_from >= offset + length:
            return self._hole(offset, end, data_from)
        pin = await volume.capture(inode, offset, length)
        token = self.registry.issue(
            pin,
            volume=volume.name,
            source=inode.number,
            offset=offset,
            length=length,
            owner=party.owner,
            client=party.client,
            lifetime_hint=call.token_time_to_live_ms / 1000,
            now=self._clock(),
        )
        rest_is_zero = offset + length >= inode.size or await volume.next_data(inode, offset + length) is None
        return ReadResult(rest_is_zero, length, token)

    @staticmethod
    def _hole(offset: int, end: int, data_from: int | None) -> ReadResult:
        """The zero token for a hole from `offset` to `end` or to where data begins, however large it is."""
        hole_end = end if data_from is None else min(end, data_from)
        return ReadResult(
            all_zero_beyond=data_from is None, transfer_length=hole_end - offset, token=ZERO_TOKEN
        )

    async def offload_write(self, party: OffloadParty, call: WriteCall) -> int:
        """FSCTL_OFFLOAD_WRITE (MS-FSA 2.1.5.10.21); returns LengthWritten, in bytes, a multiple of the sector.

        Never extends the file: what reaches past its end is cut there, and the last partial sector counts as written
        whole. Raises OffloadRefused; VolumeError if the store fails.
        """
        try:
            rules.check_write_call(party, call)
            if call.copy_length == 0:
                return 0
            rules.check_write_file(party, call)
            return await self._write_token(party, call)
        except OffloadRefused as refused:
            self.counters.refusals[refused.reason] += 1
            raise

    async def _write_token(self, party: OffloadParty, call: WriteCall) -> int:
        room = rules.round_up_to_sector(party.inode.size) - call.file_offset
        length = min(call.copy_length, room)
        if is_zero_token(call.token):
            await self._write_zeros(party, call.file_offset, length)
            self.counters.copied(Mechanism.OFFLOAD, length, length)
            return length
        issuer = issuer_of(call.token)
        if issuer is not None and issuer != self.registry.issuer:
            return await self._write_foreign(party, call, issuer, length)
        with self.registry.redeem(call.token, self._clock()) as entry:
            return await self._write_pinned(party, call, entry, length)

    async def _write_foreign(self, party: OffloadParty, call: WriteCall, issuer: UUID, length: int) -> int:
        """Let the bytes of another pool's token be fetched; a part of them is a success."""
        if self._foreign is None:
            raise OffloadRefused(Refusal.UNKNOWN_PEER)
        copied = await self._foreign.copy(issuer, party, call, length)
        self.counters.copied(Mechanism.OFFLOAD, copied.written, copied.written - copied.moved)
        return copied.written

    async def _write_pinned(
        self, party: OffloadParty, call: WriteCall, entry: TokenEntry, length: int
    ) -> int:
        """Write at most `length` bytes of a vendor token; what the token has past its pinned bytes is zeros."""
        if call.transfer_offset >= entry.length:
            raise OffloadRefused(Refusal.OFFSET_BEYOND_TOKEN)
        length = min(length, entry.length - call.transfer_offset)
        inside_file = min(length, party.inode.size - call.file_offset)
        pinned = max(0, min(inside_file, entry.pin.length - call.transfer_offset))
        shared = 0
        if pinned:
            shared = await party.volume.write_pin(
                party.inode, call.file_offset, entry.pin, call.transfer_offset, pinned, may_grow=False
            )
        if pinned < inside_file:
            await self._write_zeros(party, call.file_offset + pinned, inside_file - pinned)
        self.counters.copied(Mechanism.OFFLOAD, length, shared)
        return length

    @staticmethod
    async def _write_zeros(party: OffloadParty, offset: int, length: int) -> None:
        inside_file = min(length, party.inode.size - offset)
        await party.volume.deallocate(party.inode, offset, inside_file)

    async def clone(
        self,
        mechanism: Mechanism,
        volume: Volume,
        source: Inode,
        source_offset: int,
        destination: Inode,
        destination_offset: int,
        length: int,
    ) -> int:
        """Copy `length` bytes by sharing extents, for COPYCHUNK and DUPLICATE_EXTENTS; returns the bytes shared.

        `volume` is the destination's; the source may lie in any volume of the pool. The caller has checked rights, locks
        and ranges by its own specification. Overlapping ranges of one file raise InvalidArgument.
        """
        shared = await volume.clone_range(source, source_offset, destination, destination_offset, length)
        self.counters.copied(mechanism, length, shared)
        return shared

    async def copy(
        self,
        mechanism: Mechanism,
        volume: Volume,
        source: Inode,
        source_offset: int,
        destination: Inode,
        destination_offset: int,
        length: int,
    ) -> int:
        """`clone`, cut at the source's end of file as it is when its range is captured; returns the bytes copied."""
        if source is destination and abs(source_offset - destination_offset) < length:
            raise InvalidArgument("the source and the destination overlap")
        pin = await volume.capture(source, source_offset, length)
        try:
            length = max(0, min(length, source.size - source_offset))
            shared = await volume.write_pin(destination, destination_offset, pin, 0, length)
        finally:
            volume.pool.release_pin(pin)
        self.counters.copied(mechanism, length, shared)
        return length

    def token_files(self, pool: Pool, origin: str = "") -> TokenFiles:
        """The live tokens as files."""
        return TokenFiles(pool, self.registry, self._clock, origin)

    def close(self) -> None:
        """End every token; the pool is about to close."""
        self.registry.clear()
