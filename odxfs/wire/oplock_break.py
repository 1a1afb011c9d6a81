"""SMB2 OPLOCK_BREAK: oplocks and leases (MS-SMB2 2.2.23, 2.2.24, 2.2.25)."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.wire.cursor import HEADER_BYTES, unpack_body, unpack_fixed
from odxfs.wire.file_id import FileId

_OPLOCK = Struct("<HBxxxxxQQ")
_LEASE_NOTIFICATION = Struct("<HHI16sIIIII")
_LEASE = Struct("<HxxI16sIQ")
_SIZE = Struct("<H")

_OPLOCK_SIZE = 24
_LEASE_NOTIFICATION_SIZE = 44
_LEASE_SIZE = 36


class LeaseBreakFlags:
    """Flags of a notification."""

    ACK_REQUIRED = 0x01


@dataclass(frozen=True, slots=True)
class _OplockBreak:
    """The one layout of all three oplock messages; `oplock_level` is create.OplockLevel."""

    oplock_level: int
    file_id: FileId

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        level, persistent, volatile = unpack_body(_OPLOCK, _OPLOCK_SIZE, pdu, cls.__name__)
        return cls(level, FileId(persistent, volatile))

    def pack(self) -> bytes:
        return _OPLOCK.pack(_OPLOCK_SIZE, self.oplock_level, *self.file_id)


@dataclass(frozen=True, slots=True)
class OplockBreakNotification(_OplockBreak):
    """Server to client: fall back to this level (2.2.23.1)."""


@dataclass(frozen=True, slots=True)
class OplockBreakAcknowledgment(_OplockBreak):
    """Client to server: done (2.2.24.1)."""


@dataclass(frozen=True, slots=True)
class OplockBreakResponse(_OplockBreak):
    """Server to client: understood (2.2.25.1)."""


@dataclass(frozen=True, slots=True)
class LeaseBreakNotification:
    """Server to client: the lease of `lease_key` (16 bytes) changes state (2.2.23.2)."""

    lease_key: bytes
    current_lease_state: int
    new_lease_state: int
    new_epoch: int = 0
    flags: int = 0
    break_reason: int = 0
    access_mask_hint: int = 0
    share_mask_hint: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        epoch, flags, key, current, new, reason, access, share = unpack_body(
            _LEASE_NOTIFICATION, _LEASE_NOTIFICATION_SIZE, pdu, cls.__name__
        )
        return cls(key, current, new, epoch, flags, reason, access, share)

    def pack(self) -> bytes:
        return _LEASE_NOTIFICATION.pack(
            _LEASE_NOTIFICATION_SIZE,
            self.new_epoch,
            self.flags,
            self.lease_key,
            self.current_lease_state,
            self.new_lease_state,
            self.break_reason,
            self.access_mask_hint,
            self.share_mask_hint,
        )


@dataclass(frozen=True, slots=True)
class _LeaseBreak:
    """The one layout of a lease's acknowledgment and its response."""

    lease_key: bytes
    lease_state: int
    flags: int = 0
    lease_duration: int = 0

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        flags, key, state, duration = unpack_body(_LEASE, _LEASE_SIZE, pdu, cls.__name__)
        return cls(key, state, flags, duration)

    def pack(self) -> bytes:
        return _LEASE.pack(_LEASE_SIZE, self.flags, self.lease_key, self.lease_state, self.lease_duration)


@dataclass(frozen=True, slots=True)
class LeaseBreakAcknowledgment(_LeaseBreak):
    """Client to server: the lease is at `lease_state` now (2.2.24.2)."""


@dataclass(frozen=True, slots=True)
class LeaseBreakResponse(_LeaseBreak):
    """Server to client: understood (2.2.25.2)."""


def unpack_acknowledgment(pdu: memoryview) -> OplockBreakAcknowledgment | LeaseBreakAcknowledgment:
    """What a server receives as OPLOCK_BREAK; StructureSize tells the two apart."""
    if _structure_size(pdu) == _LEASE_SIZE:
        return LeaseBreakAcknowledgment.unpack(pdu)
    return OplockBreakAcknowledgment.unpack(pdu)


def unpack_notification(pdu: memoryview) -> OplockBreakNotification | LeaseBreakNotification:
    """What a client receives unasked as OPLOCK_BREAK (message id all ones)."""
    if _structure_size(pdu) == _LEASE_NOTIFICATION_SIZE:
        return LeaseBreakNotification.unpack(pdu)
    return OplockBreakNotification.unpack(pdu)


def _structure_size(pdu: memoryview) -> int:
    (size,) = unpack_fixed(_SIZE, pdu[HEADER_BYTES:], "OPLOCK_BREAK")
    return int(size)
