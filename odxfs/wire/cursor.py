"""The one place where offsets, lengths and strings of a peer's bytes are judged.

Every parser of the package goes through these helpers, so a bound is stated once. They raise ProtocolError and nothing
else. `pdu` is one message that begins at its SMB2 header (offsets in SMB2 count from there); `data` is any buffer.
"""

import re
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any

from odxfs.errors import CutShort, ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer

HEADER_BYTES = 64
"""The SMB2 header (MS-SMB2 2.2.1); no variable part of a message may begin inside it."""

EMPTY = memoryview(b"")

_LINK = Struct("<I")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def unpack_body(layout: Struct, structure_size: int, pdu: Buffer, what: str) -> tuple[Any, ...]:
    """The fixed part of the body of `pdu` after its StructureSize, which must be `structure_size`."""
    if len(pdu) < HEADER_BYTES + layout.size:
        raise ProtocolError(f"{what} is cut short at {len(pdu)} bytes")
    size, *fields = layout.unpack_from(pdu, HEADER_BYTES)
    if size != structure_size:
        raise ProtocolError(f"{what} has StructureSize {size}, not {structure_size}")
    return tuple(fields)


def unpack_fixed(
    layout: Struct, data: Buffer, what: str, status: Status = Status.INVALID_PARAMETER
) -> tuple[Any, ...]:
    """The fields of `layout` from the start of `data`; CutShort with `status` when they are not all there."""
    if len(data) < layout.size:
        raise CutShort(f"{what} is cut short at {len(data)} of {layout.size} bytes", status)
    return layout.unpack_from(data)


def take(pdu: Buffer, offset: int, length: int, floor: int, what: str) -> memoryview:
    """The `length` bytes at `offset` of `pdu`, which may not begin before `floor`.

    An empty part may have any offset: peers leave the offset 0 or point past the end.
    """
    if length == 0:
        return EMPTY
    if offset < floor or offset + length > len(pdu):
        raise ProtocolError(f"{what} at {offset}+{length} lies outside {floor}..{len(pdu)}")
    return memoryview(pdu)[offset : offset + length]


def take_aligned(pdu: Buffer, offset: int, length: int, floor: int, what: str) -> memoryview:
    """Like `take`, for parts that MS-SMB2 wants at a multiple of 8."""
    if length and offset % 8:
        raise ProtocolError(f"{what} at {offset} is not aligned to 8")
    return take(pdu, offset, length, floor, what)


def decode_counted_utf16(data: Buffer, offset: int, length: int, what: str) -> str:
    """The `length` bytes of UTF-16LE that stand at `offset` of `data`, right behind its fixed part."""
    return decode_utf16(take(data, offset, length, offset, what), what)


def decode_utf16(data: Buffer, what: str) -> str:
    """`data` as UTF-16LE; an odd length and a lone surrogate are refused."""
    try:
        return str(data, "utf-16-le")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{what} is not UTF-16: {error.reason}") from None


def encode_utf16(text: str) -> bytes:
    """`text` as UTF-16LE without a terminator.

    A lone surrogate (a name of the volume that is not UTF-8) becomes U+FFFD, so that one odd name never makes a whole
    listing unreadable.
    """
    try:
        return text.encode("utf-16-le")
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text).encode("utf-16-le")


def aligned(length: int, alignment: int = 8) -> int:
    """`length` rounded up to `alignment`."""
    return -(-length // alignment) * alignment


def pad(data: bytes, alignment: int = 8) -> bytes:
    """`data` filled up with zeros to a multiple of `alignment`."""
    return data + bytes(-len(data) % alignment)


def or_one_byte(data: bytes) -> bytes:
    """`data`, or one zero where it is empty.

    An odd StructureSize counts one byte of the variable part, and some peers insist on seeing it.
    """
    return data or b"\0"


def unpack_chain(
    data: Buffer, minimum: int, limit: int, what: str, alignment: int = 4
) -> Iterator[memoryview]:
    """The entries of a chain whose every entry begins with the u32 offset of the next one, 0 in the last.

    Each link goes forward by at least `minimum` bytes, so a chain cannot loop; more than `limit` entries are refused. The
    last entry reaches to the end of `data`. An empty buffer holds no entry.
    """
    view = memoryview(data)
    for _ in range(limit):
        if not view:
            return
        if len(view) < minimum:
            raise ProtocolError(f"{what} entry is cut short at {len(view)} of {minimum} bytes")
        (link,) = _LINK.unpack_from(view)
        if link == 0:
            yield view
            return
        if link < minimum or link % alignment or link >= len(view):
            raise ProtocolError(f"{what} entry has a next offset of {link} in {len(view)} bytes")
        yield view[:link]
        view = view[link:]
    raise ProtocolError(f"more than {limit} {what} entries")


def fitting(entries: Sequence[bytes], room: int, alignment: int = 8) -> Sequence[bytes]:
    """As many of `entries`, from the first on, as `pack_chain` puts into `room` bytes."""
    used = 0
    for count, entry in enumerate(entries):
        if used + len(entry) > room:
            return entries[:count]
        used += len(entry) + -len(entry) % alignment
    return entries


def pack_chain(entries: Sequence[bytes], alignment: int = 8) -> bytes:
    """Chain `entries`, each made with four zero bytes in front where its next offset belongs.

    Every entry but the last is filled up to `alignment`.
    """
    parts = []
    for entry in entries[:-1]:
        filled = pad(entry, alignment)
        parts.append(_LINK.pack(len(filled)) + filled[4:])
    parts.extend(entries[-1:])
    return b"".join(parts)
