"""The one engine behind every copy that shares extents instead of moving bytes.

`offload_read` pins a range and returns the token that stands for it; `offload_write` makes the pinned bytes appear
somewhere else; `copy` does both at once for COPYCHUNK, DUPLICATE_EXTENTS and copy_file_range. All of them end in the volume's
`capture` and `write_pin`. Nothing here reads or writes file data, except that the volume copies the edges of ranges that do
not fall on whole blocks.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from uuid import UUID

import trio

from odxfs.errors import InvalidArgument, OffloadRefused, Refusal
from odxfs.offload import rules
from odxfs.offload.counters import Mechanism, OffloadCounters
from odxfs.offload.entries import TokenEntry, TokenOrigin
from odxfs.offload.events import OffloadEvent
from odxfs.offload.faults import Faults
from odxfs.offload.foreign import ForeignTokens
from odxfs.offload.recording import Caller, CallRecord, Observer, Recorder, file_text
from odxfs.offload.registry import TokenRegistry
from odxfs.offload.rules import OffloadParty, ReadCall, ReadResult, WriteCall
from odxfs.offload.token import ZERO_TOKEN, is_zero_token, issuer_of, label_of
from odxfs.offload.token_files import TokenFiles
from odxfs.offload.writing import CALL_SECONDS, write_pinned, write_zero_token
from odxfs.offload_settings import TokenLimits
from odxfs.volume import Inode, Pool, RangePermit, Volume, parts_to_capture, permit_all


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
        self.clock = clock
        self._recorder = Recorder(self.counters, clock, observe)
        self._foreign = foreign
        self._faults = Faults()

    # -- tokens -----------------------------------------------------------------------------------------------------

    async def offload_read(self, party: OffloadParty, call: ReadCall) -> ReadResult:
        """FSCTL_OFFLOAD_READ (MS-FSA 2.1.5.10.20). Raises OffloadRefused; VolumeError if the store fails.

        The token stands for the bytes as they are at one moment during this call, unsynced writes included. Cost: one
        reference for each 8 MiB window that the range touches, whatever its fragmentation.
        """
        with self.recorded_token_call(party, "read", call.file_offset, call.copy_length) as record:
            self._faults.meet(party.svm, party.share, party.policy)
            rules.check_read_call(party, call)
            if call.copy_length == 0:
                return ReadResult(all_zero_beyond=False, transfer_length=0, token=ZERO_TOKEN)
            rules.check_read_file(party, call)
            result = await self._read_token(party, call)
            record.token, record.logical_bytes = label_of(result.token), result.transfer_length
            return result

    async def offload_write(self, party: OffloadParty, call: WriteCall) -> int:
        """FSCTL_OFFLOAD_WRITE (MS-FSA 2.1.5.10.21); returns LengthWritten, in bytes, a multiple of the sector.

        What reaches past the end of file is cut there, and the last partial sector counts as written whole; unless the
        settings are not strict: then the file is extended, but never past where the token's source ended. Takes about
        four seconds at most, which may end in a short LengthWritten. Raises OffloadRefused; VolumeError if the store fails.
        """
        with self.recorded_token_call(party, "write", call.file_offset, call.copy_length) as record:
            record.token = label_of(call.token)
            self._faults.meet(party.svm, party.share, party.policy)
            rules.check_write_call(party, call)
            if call.copy_length == 0:
                return 0
            rules.check_write_file(party, call)
            await self._write_token(record, party, call)
            return record.logical_bytes

    def recorded_token_call(
        self, party: OffloadParty, call: str, offset: int, length: int
    ) -> AbstractContextManager[CallRecord]:
        """Around a call that reads or writes a token, wherever it is refused."""
        return self.recorded(
            party.mechanism, call, party.caller, party.volume.name, party.inode.number, offset, length
        )

    async def _read_token(self, party: OffloadParty, call: ReadCall) -> ReadResult:
        """What the token stands for is decided in the step that captures the range, whatever the file is before and after it."""
        volume, inode, offset = party.volume, party.inode, call.file_offset
        pin = await volume.capture(inode, offset, min(call.copy_length, party.settings.token_bytes))
        try:
            rules.check_read_file(party, call)
            data_length = min(pin.length, inode.size - offset)
            length = rules.round_up_to_sector(data_length)
            if pin.is_hole and not party.policy.ends_tokens:
                result = await self._hole(party, call, length)
                volume.pool.release_pin(pin)
                return result
            end = offset + length
            rest_is_zero = end >= inode.size or await volume.next_data(inode, end) is None
        except BaseException:
            volume.pool.release_pin(pin)
            raise
        origin = TokenOrigin(
            volume=volume.name,
            source=inode.number,
            offset=offset,
            length=length,
            data_length=data_length,
            owner=party.owner,
            client=party.client,
            svm=party.svm,
            share=party.share,
            path=party.path,
        )
        token = self.registry.issue(
            pin,
            origin,
            lifetime_hint=call.token_time_to_live_ms / 1000,
            now=self.clock(),
            limits=self._limits(party),
            policy=party.policy,
            source=None if inode.snapshot else inode,
        )
        return ReadResult(rest_is_zero, length, token)

    @staticmethod
    async def _hole(party: OffloadParty, call: ReadCall, length: int) -> ReadResult:
        """The zero token for a hole of which `length` bytes were just captured, up to where data begins now, however large it is.

        Not further than captured where the file is cut off meanwhile: what lay behind may have been data at that moment.
        """
        inode, size = party.inode, party.inode.size
        data_from = await party.volume.next_data(inode, call.file_offset)
        if inode.size >= size:
            end = min(call.file_offset + call.copy_length, rules.round_up_to_sector(size))
            hole_end = end if data_from is None else min(end, data_from)
            length = max(length, hole_end - call.file_offset)
        return ReadResult(all_zero_beyond=data_from is None, transfer_length=length, token=ZERO_TOKEN)

    def _limits(self, party: OffloadParty) -> TokenLimits:
        """Those of the SVM. What tokens alone keep of a volume is bounded by its quota, too: no file is charged with it."""
        limits = party.settings.limits if party.svm else self.registry.limits
        quota = party.volume.quota_bytes
        if quota is None or quota >= limits.pinned_bytes_per_volume:
            return limits
        return replace(limits, pinned_bytes_per_volume=quota)

    async def _write_token(self, record: CallRecord, party: OffloadParty, call: WriteCall) -> None:
        length = call.copy_length
        if party.settings.strict:
            length = min(length, rules.round_up_to_sector(party.inode.size) - call.file_offset)
        is_time_up = self._timer(party)
        if is_zero_token(call.token):
            await write_zero_token(record, party, call.file_offset, length, is_time_up)
            return
        issuer = issuer_of(call.token)
        if issuer is not None and issuer != self.registry.issuer:
            await self._write_foreign(record, party, call, issuer, length)
            return
        with self.registry.redeem(call.token, self.clock()) as entry:
            origin = entry.origin
            record.source = file_text(origin.volume, origin.path, origin.source)
            await self._require_unchanged(party.volume, entry)
            try:
                await write_pinned(record, party, call, entry, length, is_time_up)
            finally:
                self.registry.renew(entry, self.clock())

    async def _require_unchanged(self, volume: Volume, entry: TokenEntry) -> None:
        """For a token of a share with the policy `invalidate`: refuse it if its source changed before this call."""
        source, origin = entry.watched, entry.origin
        if source is None:
            return
        is_there = source.nlink > 0 and not source.gone and source.size >= origin.offset + origin.data_length
        if not is_there or not await volume.is_as_pinned(source, entry.pin):
            if not entry.ended:
                self.registry.invalidate(entry)
            raise OffloadRefused(Refusal.SOURCE_CHANGED)

    async def _write_foreign(
        self, record: CallRecord, party: OffloadParty, call: WriteCall, issuer: UUID, length: int
    ) -> None:
        """Let the bytes of another pool's token be fetched; a part of them is a success."""
        if self._foreign is None:
            raise OffloadRefused(Refusal.UNKNOWN_PEER)
        copied = await self._foreign.copy(issuer, party, call, length)
        record.peer = copied.peer
        record.copied(copied.written, copied.written - copied.moved)

    def _timer(self, party: OffloadParty) -> Callable[[], bool]:
        ends = self.clock() + CALL_SECONDS
        return lambda: party.is_given_up() or self.clock() >= ends

    # -- every other mechanism --------------------------------------------------------------------------------------

    def recorded(
        self,
        mechanism: Mechanism,
        call: str,
        caller: Caller,
        volume: str,
        inode: int,
        offset: int,
        length: int,
        source: str = "",
    ) -> AbstractContextManager[CallRecord]:
        """Around one call of any mechanism: it is counted and observed when it ends, with what it raises as the reason."""
        return self._recorder.recorded(
            CallRecord(mechanism, call, caller, volume, inode, offset, length, source)
        )

    async def copy(
        self,
        record: CallRecord,
        volume: Volume,
        source: Inode,
        source_offset: int,
        destination: Inode,
        destination_offset: int,
        length: int,
        *,
        may_grow: bool = True,
        permit: RangePermit = permit_all,
    ) -> int:
        """Copy a range by sharing extents; returns the bytes copied, fewer at the source's end of file.

        Up to MOST_OF_ONE_MOMENT they are the source's at one moment; its end counts as it is then. `volume` is the
        destination's; the source may lie in any volume of the pool. Without `may_grow` the destination's end of file stays where
        it is. The caller has checked rights, locks and ranges by its own specification; what of them may change meanwhile
        `permit` asks again, in each step that changes the destination. Raises InvalidArgument for overlapping
        ranges of one file, and VolumeError.
        """
        if source is destination and abs(source_offset - destination_offset) < length:
            raise InvalidArgument("the source and the destination overlap")
        done = 0
        for part in parts_to_capture(destination_offset, length):
            if done:
                await trio.lowlevel.checkpoint()
            pin = await volume.capture(source, source_offset + done, part)
            try:
                there = max(0, min(part, source.size - source_offset - done))
                shared = await volume.write_pin(
                    destination, destination_offset + done, pin, 0, there, may_grow=may_grow, permit=permit
                )
            finally:
                volume.pool.release_pin(pin)
            record.copied(there, shared)
            done += there
            if there < part:
                break
        return done

    def token_files(self, pool: Pool, origin: str = "") -> TokenFiles:
        """The live tokens as files."""
        return TokenFiles(pool, self.registry, self.clock, origin, require_valid=self._require_unchanged)

    def close(self) -> None:
        """End every token; the pool is about to close."""
        self.registry.clear()
