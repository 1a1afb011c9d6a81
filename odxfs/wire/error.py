"""The SMB2 ERROR response (MS-SMB2 2.2.2): the body of a response whose status is an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import (
    HEADER_BYTES,
    aligned,
    decode_utf16,
    encode_utf16,
    or_one_byte,
    pad,
    take,
    unpack_body,
    unpack_fixed,
)

_LAYOUT = Struct("<HBxI")
_END = HEADER_BYTES + _LAYOUT.size
_CONTEXT = Struct("<II")
_SYMLINK = Struct("<I4sIHHHHHHI")
_SYMLINK_TAG = b"SYML"
_REPARSE_TAG_SYMLINK = 0xA000000C
_SYMLINK_COUNTED = 12  # bytes of the reparse data counted before the path buffer


class ErrorId(IntEnum):
    """ErrorId of a context (2.2.2.1)."""

    DEFAULT = 0x00000000
    SHARE_REDIRECT = 0x72645253


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """SMB2 ERROR Context (2.2.2.1), dialect 3.1.1 only."""

    data: bytes
    error_id: int = ErrorId.DEFAULT


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """`error_data` as it stands, or, in dialect 3.1.1 where there is data, `error_contexts`; never both."""

    error_data: bytes = b""
    error_contexts: tuple[ErrorContext, ...] = ()

    @classmethod
    def unpack(cls, pdu: memoryview) -> Self:
        count, length = unpack_body(_LAYOUT, 9, pdu, cls.__name__)
        data = take(pdu, _END, length, _END, "ErrorData")
        if count:
            return cls(b"", _unpack_contexts(data, count))
        return cls(bytes(data))

    def pack(self) -> bytes:
        data = _pack_contexts(self.error_contexts) if self.error_contexts else self.error_data
        return _LAYOUT.pack(9, len(self.error_contexts), len(data)) + or_one_byte(data)


@dataclass(frozen=True, slots=True)
class SymbolicLinkErrorResponse:
    """The error data of STOPPED_ON_SYMLINK (2.2.2.2.1): where the link points.

    `unparsed_path_length` counts the bytes of the asked-for path that follow the link; `flags` 1 means a relative target.
    """

    substitute_name: str
    print_name: str
    unparsed_path_length: int = 0
    flags: int = 0

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        (
            length,
            tag,
            reparse_tag,
            reparse_length,
            unparsed,
            sub_at,
            sub_length,
            print_at,
            print_length,
            flags,
        ) = unpack_fixed(_SYMLINK, data, cls.__name__)
        if tag != _SYMLINK_TAG or reparse_tag != _REPARSE_TAG_SYMLINK or length + 4 > len(data):
            raise ProtocolError("malformed symbolic link error data")
        if not _SYMLINK_COUNTED <= reparse_length <= len(data) - _SYMLINK.size + _SYMLINK_COUNTED:
            raise ProtocolError(f"symbolic link error data with ReparseDataLength {reparse_length}")
        start = _SYMLINK.size
        substitute = take(data, start + sub_at, sub_length, start, "SubstituteName")
        printed = take(data, start + print_at, print_length, start, "PrintName")
        return cls(
            decode_utf16(substitute, "SubstituteName"), decode_utf16(printed, "PrintName"), unparsed, flags
        )

    def pack(self) -> bytes:
        substitute, printed = encode_utf16(self.substitute_name), encode_utf16(self.print_name)
        names = len(substitute) + len(printed)
        head = _SYMLINK.pack(
            _SYMLINK.size - 4 + names,
            _SYMLINK_TAG,
            _REPARSE_TAG_SYMLINK,
            _SYMLINK_COUNTED + names,
            self.unparsed_path_length,
            0,
            len(substitute),
            len(substitute),
            len(printed),
            self.flags,
        )
        return head + substitute + printed


def _unpack_contexts(data: memoryview, count: int) -> tuple[ErrorContext, ...]:
    contexts, offset = [], 0
    for _ in range(count):
        length, error_id = unpack_fixed(_CONTEXT, data[offset:], "error context")
        part = take(data, offset + _CONTEXT.size, length, offset, "error context")
        contexts.append(ErrorContext(bytes(part), error_id))
        offset += aligned(_CONTEXT.size + length)
    return tuple(contexts)


def _pack_contexts(contexts: Sequence[ErrorContext]) -> bytes:
    parts = b""
    for context in contexts:
        parts = pad(parts) + _CONTEXT.pack(len(context.data), context.error_id) + context.data
    return parts
