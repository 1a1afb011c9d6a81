"""SMB2 CREATE (MS-SMB2 2.2.13, 2.2.14). Typed create contexts: create_contexts.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import (
    HEADER_BYTES,
    decode_utf16,
    encode_utf16,
    or_one_byte,
    pack_chain,
    pad,
    take,
    take_aligned,
    unpack_body,
    unpack_chain,
    unpack_fixed,
)
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc.filetime import Filetime

_REQUEST = Struct("<HBBIQQIIIIIHHII")
_RESPONSE = Struct("<HBBIqqqqqqIxxxxQQII")
_REQUEST_END = HEADER_BYTES + _REQUEST.size
_RESPONSE_END = HEADER_BYTES + _RESPONSE.size
_CONTEXT = Struct("<IHHxxHI")

MAX_CREATE_CONTEXTS = 64
"""About a dozen kinds exist and each may be sent once."""

RawContext = tuple[bytes, bytes]
"""Name and data of one create context."""


class OplockLevel(IntEnum):
    """RequestedOplockLevel and OplockLevel."""

    NONE = 0x00
    II = 0x01
    EXCLUSIVE = 0x08
    BATCH = 0x09
    LEASE = 0xFF


class ImpersonationLevel(IntEnum):
    """ImpersonationLevel."""

    ANONYMOUS = 0
    IDENTIFICATION = 1
    IMPERSONATION = 2
    DELEGATE = 3


class CreateDisposition(IntEnum):
    """What to do with a file that exists or does not."""

    SUPERSEDE = 0
    OPEN = 1
    CREATE = 2
    OPEN_IF = 3
    OVERWRITE = 4
    OVERWRITE_IF = 5


class CreateAction(IntEnum):
    """What was done."""

    SUPERSEDED = 0
    OPENED = 1
    CREATED = 2
    OVERWRITTEN = 3


class CreateOptions:
    """CreateOptions bits."""

    DIRECTORY_FILE = 0x00000001
    WRITE_THROUGH = 0x00000002
    SEQUENTIAL_ONLY = 0x00000004
    NO_INTERMEDIATE_BUFFERING = 0x00000008
    SYNCHRONOUS_IO_ALERT = 0x00000010
    SYNCHRONOUS_IO_NONALERT = 0x00000020
    NON_DIRECTORY_FILE = 0x00000040
    COMPLETE_IF_OPLOCKED = 0x00000100
    NO_EA_KNOWLEDGE = 0x00000200
    OPEN_REMOTE_INSTANCE = 0x00000400
    RANDOM_ACCESS = 0x00000800
    DELETE_ON_CLOSE = 0x00001000
    OPEN_BY_FILE_ID = 0x00002000
    OPEN_FOR_BACKUP_INTENT = 0x00004000
    NO_COMPRESSION = 0x00008000
    OPEN_REQUIRING_OPLOCK = 0x00010000
    DISALLOW_EXCLUSIVE = 0x00020000
    RESERVE_OPFILTER = 0x00100000
    OPEN_REPARSE_POINT = 0x00200000
    OPEN_NO_RECALL = 0x00400000
    OPEN_FOR_FREE_SPACE_QUERY = 0x00800000


class CreateFlags:
    """Flags of a response (dialect 3.x)."""

    REPARSEPOINT = 0x01


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """Open or create `name`, relative to the share's root, with backslashes and without a leading one."""

    name: str
    desired_access: int
    share_access: int
    create_disposition: int = CreateDisposition.OPEN
    create_options: int = 0
    file_attributes: int = 0
    requested_oplock_level: int = OplockLevel.NONE
    impersonation_level: int = ImpersonationLevel.IMPERSONATION
    create_contexts: tuple[RawContext, ...] = ()

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        (
            _,
            oplock,
            impersonation,
            _,
            _,
            access,
            attributes,
            share,
            disposition,
            options,
            at,
            length,
            offset,
            size,
        ) = unpack_body(_REQUEST, 57, pdu, cls.__name__)
        name = decode_utf16(take(pdu, at, length, _REQUEST_END, "CREATE name"), "CREATE name")
        contexts = unpack_create_contexts(take_aligned(pdu, offset, size, _REQUEST_END, "create contexts"))
        return cls(name, access, share, disposition, options, attributes, oplock, impersonation, contexts)

    def pack(self) -> bytes:
        name, contexts = encode_utf16(self.name), pack_create_contexts(self.create_contexts)
        filled = pad(name) if contexts else name
        head = _REQUEST.pack(
            57,
            0,
            self.requested_oplock_level,
            self.impersonation_level,
            0,
            0,
            self.desired_access,
            self.file_attributes,
            self.share_access,
            self.create_disposition,
            self.create_options,
            _REQUEST_END,
            len(name),
            _REQUEST_END + len(filled) if contexts else 0,
            len(contexts),
        )
        return head + or_one_byte(filled + contexts)


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """The open that was made. Times are FILETIMEs; `allocation_size` and `end_of_file` are bytes."""

    file_id: FileId
    create_action: int
    creation_time: Filetime
    last_access_time: Filetime
    last_write_time: Filetime
    change_time: Filetime
    allocation_size: int
    end_of_file: int
    file_attributes: int
    oplock_level: int = OplockLevel.NONE
    flags: int = 0
    create_contexts: tuple[RawContext, ...] = ()

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        (
            oplock,
            flags,
            action,
            created,
            accessed,
            written,
            changed,
            allocation,
            end_of_file,
            attributes,
            persistent,
            volatile,
            offset,
            length,
        ) = unpack_body(_RESPONSE, 89, pdu, cls.__name__)
        contexts = unpack_create_contexts(take_aligned(pdu, offset, length, _RESPONSE_END, "create contexts"))
        return cls(
            FileId(persistent, volatile),
            action,
            created,
            accessed,
            written,
            changed,
            allocation,
            end_of_file,
            attributes,
            oplock,
            flags,
            contexts,
        )

    def pack(self) -> bytes:
        contexts = pack_create_contexts(self.create_contexts)
        head = _RESPONSE.pack(
            89,
            self.oplock_level,
            self.flags,
            self.create_action,
            self.creation_time,
            self.last_access_time,
            self.last_write_time,
            self.change_time,
            self.allocation_size,
            self.end_of_file,
            self.file_attributes,
            *self.file_id,
            _RESPONSE_END if contexts else 0,
            len(contexts),
        )
        return head + or_one_byte(contexts)


def unpack_create_contexts(data: Buffer) -> tuple[RawContext, ...]:
    """The (name, data) pairs of a chain of SMB2_CREATE_CONTEXT structures (MS-SMB2 2.2.13.2)."""
    chain = unpack_chain(data, _CONTEXT.size, MAX_CREATE_CONTEXTS, "create context", alignment=8)
    return tuple(_unpack_context(entry) for entry in chain)


def _unpack_context(entry: memoryview) -> RawContext:
    _, name_at, name_length, data_at, data_length = unpack_fixed(_CONTEXT, entry, "create context")
    if name_length < 4:
        raise ProtocolError(f"create context with a name of {name_length} bytes")
    name = bytes(take(entry, name_at, name_length, _CONTEXT.size, "create context name"))
    return name, bytes(take(entry, data_at, data_length, _CONTEXT.size, "create context data"))


def pack_create_contexts(contexts: Sequence[RawContext]) -> bytes:
    """Chain (name, data) pairs; the first must be placed at a multiple of 8."""
    return pack_chain([_pack_context(name, data) for name, data in contexts])


def _pack_context(name: bytes, data: bytes) -> bytes:
    start = _CONTEXT.size
    filled = pad(name) if data else name
    head = _CONTEXT.pack(0, start, len(name), start + len(filled) if data else 0, len(data))
    return head + filled + data
