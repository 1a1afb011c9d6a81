"""Self-relative security descriptors, ACLs and ACEs (MS-DTYP 2.4.4, 2.4.5, 2.4.6). SIDs: sid.py.

An ACE of a kind this package does not look into keeps its bytes, so that what one client sets another reads back.
"""

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import EMPTY, pad, take, unpack_fixed
from odxfs.wire.fscc.sid import Sid

_DESCRIPTOR = Struct("<BxHIIII")
_ACL = Struct("<BxHHxx")
_ACE = Struct("<BBH")
_MASK = Struct("<I")
_REVISION = 1
_LONGEST = 0xFFFF

MAX_ACES = 2048
"""An ACL has at most 64 KiB; this many ACEs of the usual 32 bytes fill it."""


class AceType(IntEnum):
    """AceType (2.4.4.1) of the kinds that are a mask and a SID."""

    ACCESS_ALLOWED = 0x00
    ACCESS_DENIED = 0x01
    SYSTEM_AUDIT = 0x02
    ACCESS_ALLOWED_CALLBACK = 0x09
    ACCESS_DENIED_CALLBACK = 0x0A
    SYSTEM_AUDIT_CALLBACK = 0x0D
    SYSTEM_MANDATORY_LABEL = 0x11
    SYSTEM_RESOURCE_ATTRIBUTE = 0x12
    SYSTEM_SCOPED_POLICY_ID = 0x13


class ObjectAceType:
    """AceType of the kinds whose mask and SID stand around object GUIDs (2.4.4.3, 2.4.4.4)."""

    ACCESS_DENIED = 0x06
    ACCESS_DENIED_CALLBACK = 0x0C


_SID_ACES = frozenset(AceType)


class AceFlags:
    """AceFlags (2.4.4.1)."""

    OBJECT_INHERIT = 0x01
    CONTAINER_INHERIT = 0x02
    NO_PROPAGATE_INHERIT = 0x04
    INHERIT_ONLY = 0x08
    INHERITED = 0x10
    SUCCESSFUL_ACCESS = 0x40
    FAILED_ACCESS = 0x80


class Control:
    """Control bits (2.4.6)."""

    OWNER_DEFAULTED = 0x0001
    GROUP_DEFAULTED = 0x0002
    DACL_PRESENT = 0x0004
    DACL_DEFAULTED = 0x0008
    SACL_PRESENT = 0x0010
    SACL_DEFAULTED = 0x0020
    DACL_AUTO_INHERIT_REQUIRED = 0x0100
    SACL_AUTO_INHERIT_REQUIRED = 0x0200
    DACL_AUTO_INHERITED = 0x0400
    SACL_AUTO_INHERITED = 0x0800
    DACL_PROTECTED = 0x1000
    SACL_PROTECTED = 0x2000
    RM_CONTROL_VALID = 0x4000
    SELF_RELATIVE = 0x8000


def _malformed(message: str) -> ProtocolError:
    return ProtocolError(message, Status.INVALID_SECURITY_DESCR)


@dataclass(frozen=True, slots=True)
class Ace:
    """One entry: `mask` for `sid`. `application_data` follows the SID in callback and resource ACEs."""

    ace_type: int
    ace_flags: int
    mask: int
    sid: Sid
    application_data: bytes = b""

    def pack(self) -> bytes:
        return _pack_ace(
            self.ace_type, self.ace_flags, _MASK.pack(self.mask) + self.sid.pack() + self.application_data
        )


@dataclass(frozen=True, slots=True)
class OpaqueAce:
    """An entry of another kind (object ACEs), kept as it came."""

    ace_type: int
    ace_flags: int
    body: bytes

    def pack(self) -> bytes:
        return _pack_ace(self.ace_type, self.ace_flags, self.body)


def _pack_ace(ace_type: int, flags: int, body: bytes) -> bytes:
    filled = pad(body, 4)
    return _ACE.pack(ace_type, flags, _ACE.size + len(filled)) + filled


def _unpack_ace(data: memoryview) -> tuple[Ace | OpaqueAce, int]:
    """The ACE at the start of `data` and its size in bytes."""
    ace_type, flags, size = unpack_fixed(_ACE, data, "ACE", Status.INVALID_SECURITY_DESCR)
    if size < _ACE.size or size % 4 or size > len(data):
        raise _malformed(f"an ACE of {size} in {len(data)} bytes")
    body = data[_ACE.size : size]
    if ace_type not in _SID_ACES:
        return OpaqueAce(ace_type, flags, bytes(body)), size
    (mask,) = unpack_fixed(_MASK, body, "ACE", Status.INVALID_SECURITY_DESCR)
    sid = Sid.unpack(body[_MASK.size :])
    return Ace(ace_type, flags, mask, sid, bytes(body[_MASK.size + sid.packed_bytes :])), size


@dataclass(frozen=True, slots=True)
class Acl:
    """An ordered list of ACEs; revision 4 where there are object ACEs."""

    aces: tuple[Ace | OpaqueAce, ...] = ()
    revision: int = 2

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """The ACL at the start of `data`; its own size may be larger than its ACEs, never than `data`."""
        revision, size, count = unpack_fixed(_ACL, data, cls.__name__, Status.INVALID_SECURITY_DESCR)
        if not _ACL.size <= size <= len(data) or count > MAX_ACES:
            raise _malformed(f"an ACL of {size} in {len(data)} bytes with {count} ACEs")
        rest, aces = memoryview(data)[_ACL.size : size], []
        for _ in range(count):
            ace, length = _unpack_ace(rest)
            aces.append(ace)
            rest = rest[length:]
        return cls(tuple(aces), revision)

    def pack(self) -> bytes:
        """The packed list. ProtocolError (INVALID_SECURITY_DESCR) when it is longer than its own size can say."""
        body = b"".join(ace.pack() for ace in self.aces)
        if _ACL.size + len(body) > _LONGEST:
            raise _malformed(f"an ACL of {len(body)} bytes")
        return _ACL.pack(self.revision, _ACL.size + len(body), len(self.aces)) + body


@dataclass(frozen=True, slots=True)
class SecurityDescriptor:
    """Owner, group and the two lists. `control` bit DACL_PRESENT without a `dacl` is a NULL DACL: everybody may all."""

    owner: Sid | None = None
    group: Sid | None = None
    dacl: Acl | None = None
    sacl: Acl | None = None
    control: int = Control.SELF_RELATIVE

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """The self-relative descriptor in `data`. ProtocolError (INVALID_SECURITY_DESCR, or INVALID_PARAMETER)."""
        revision, control, *offsets = unpack_fixed(
            _DESCRIPTOR, data, cls.__name__, Status.INVALID_SECURITY_DESCR
        )
        if revision != _REVISION or not control & Control.SELF_RELATIVE:
            raise _malformed(f"a descriptor of revision {revision}, control {control:#x}")
        owner, group, sacl, dacl = (_part(data, offset) for offset in offsets)
        return cls(
            Sid.unpack(owner) if owner else None,
            Sid.unpack(group) if group else None,
            Acl.unpack(dacl) if dacl and control & Control.DACL_PRESENT else None,
            Acl.unpack(sacl) if sacl and control & Control.SACL_PRESENT else None,
            control,
        )

    def pack(self) -> bytes:
        """The self-relative form: SACL, DACL, owner, group. Bits for parts that are there are set in Control."""
        control = self.control | Control.SELF_RELATIVE
        control |= Control.DACL_PRESENT if self.dacl is not None else 0
        control |= Control.SACL_PRESENT if self.sacl is not None else 0
        offsets, body = {}, b""
        for name, part in (
            ("sacl", self.sacl),
            ("dacl", self.dacl),
            ("owner", self.owner),
            ("group", self.group),
        ):
            offsets[name] = _DESCRIPTOR.size + len(body) if part is not None else 0
            body += part.pack() if part is not None else b""
        order = (offsets["owner"], offsets["group"], offsets["sacl"], offsets["dacl"])
        return _DESCRIPTOR.pack(_REVISION, control, *order) + body


def _part(data: Buffer, offset: int) -> memoryview:
    """What begins at `offset` and may reach to the end of `data`; empty for offset 0."""
    if offset == 0:
        return EMPTY
    if not _DESCRIPTOR.size <= offset < len(data):
        raise _malformed(f"a part of a descriptor at {offset} of {len(data)} bytes")
    return take(data, offset, len(data) - offset, _DESCRIPTOR.size, "descriptor")
