"""What an OFFLOAD_WRITE does once nothing speaks against it: pinned bytes or zeros appear, in the time that a call may take."""

from collections.abc import Callable

from odxfs.errors import OffloadRefused, Refusal, VolumeError
from odxfs.offload.entries import TokenEntry
from odxfs.offload.recording import CallRecord
from odxfs.offload.rules import OffloadParty, WriteCall
from odxfs.offload.zeroing import write_zeros
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import RangePermit

CALL_SECONDS = 3.0
"""When a call begins no further step: Windows and the HLK want an answer within four seconds."""


async def write_zero_token(
    record: CallRecord, party: OffloadParty, offset: int, length: int, is_time_up: Callable[[], bool]
) -> None:
    """Zeros, by giving blocks back; the record says how far that came. Where the settings are not strict, the file may grow."""
    inode = party.inode
    inside_file = max(0, min(length, inode.size - offset))
    done = await write_zeros(party.volume, inode, offset, inside_file, is_time_up, party.permit_write)
    if done == inside_file:
        if not party.settings.strict and offset + length > inode.size:
            await party.volume.truncate(inode, offset + length)
        done = length
    record.copied(done, done)


async def write_pinned(
    record: CallRecord,
    party: OffloadParty,
    call: WriteCall,
    entry: TokenEntry,
    length: int,
    is_time_up: Callable[[], bool],
) -> None:
    """At most `length` bytes of a vendor token, zeros for what it has past its pinned bytes; the record says how far that came.

    Raises OffloadRefused when TransferOffset lies past the token, VolumeError if nothing was written (else the next call does).
    """
    if call.transfer_offset >= entry.length:
        raise OffloadRefused(Refusal.OFFSET_BEYOND_TOKEN)
    length = min(length, entry.length - call.transfer_offset)
    reached = party.inode.size - call.file_offset
    if not party.settings.strict:
        reached = max(reached, entry.origin.data_length - call.transfer_offset)
    inside_file = max(0, min(length, reached))
    pinned = max(0, min(inside_file, entry.pin.length - call.transfer_offset))
    if await _share(record, party, call, entry, pinned, is_time_up) < pinned:
        return
    rest, zeroed = inside_file - pinned, 0
    try:
        zeroed = await write_zeros(
            party.volume, party.inode, call.file_offset + pinned, rest, is_time_up, party.permit_write
        )
    except VolumeError:
        if not pinned:
            raise
    done = length - pinned if zeroed == rest else zeroed
    record.copied(done, done)


class _Reached:
    """How far a write has come, in bytes, as the permit of its steps, which come in order."""

    def __init__(self, begin: int, permit: RangePermit) -> None:
        self._begin = begin
        self._permit = permit
        self.length = 0

    def __call__(self, offset: int, length: int) -> None:
        """A step is about to change what lies at `offset`, if it may."""
        self.length = offset - self._begin
        self._permit(offset, length)


async def _share(
    record: CallRecord,
    party: OffloadParty,
    call: WriteCall,
    entry: TokenEntry,
    length: int,
    is_time_up: Callable[[], bool],
) -> int:
    """Returns how far it came. In one step where blocks match blocks, which moves no byte but at the edges; else leaf by leaf."""
    matches = (entry.pin.offset + call.transfer_offset - call.file_offset) % BLOCK_BYTES == 0
    step, done, reached = length if matches else LEAF_BYTES, 0, _Reached(call.file_offset, party.permit_write)
    while done < length and not (done and is_time_up()):
        part = min(step, length - done)
        try:
            shared = await party.volume.write_pin(
                party.inode,
                call.file_offset + done,
                entry.pin,
                call.transfer_offset + done,
                part,
                may_grow=not party.settings.strict,
                permit=reached,
            )
        except VolumeError:
            part = max(0, reached.length - done)
            if not done + part:
                raise
            moved = -call.file_offset % BLOCK_BYTES if matches else part
            record.copied(part, max(0, part - moved))
            return done + part
        record.copied(part, shared)
        done += part
    return done
