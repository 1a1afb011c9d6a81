"""Extended attributes: FileFullEaInformation and FileGetEaInformation (MS-FSCC 2.4.16, 2.4.16.1)."""

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.types import Buffer
from odxfs.wire.cursor import pack_chain, take, unpack_chain, unpack_fixed

_FULL = Struct("<IBBH")
_GET = Struct("<IB")
EA_ALIGNMENT = 4
"""Where each entry of a chain begins."""

MAX_EAS = 1024
"""All attributes of a file fit into 64 KiB, which is far fewer in practice."""

NEED_EA = 0x80
"""Flag: who does not understand the attribute must not interpret the file."""


class ExtendedAttribute(NamedTuple):
    """One attribute; names are ASCII bytes, compared without case. Setting an empty value removes it."""

    name: bytes
    value: bytes
    flags: int = 0


def unpack_full_ea(data: Buffer) -> tuple[ExtendedAttribute, ...]:
    """The attributes of a FileFullEaInformation buffer or an ExtA create context.

    Raises ProtocolError: INVALID_EA_NAME, else EA_LIST_INCONSISTENT (MS-FSA 2.1.5.15.8).
    """
    chain = unpack_chain(data, _FULL.size, MAX_EAS, "EA", EA_ALIGNMENT)
    try:
        return tuple(_unpack_full(entry) for entry in chain)
    except ProtocolError as error:
        if error.status is Status.INVALID_EA_NAME:
            raise
        raise ProtocolError(str(error), Status.EA_LIST_INCONSISTENT) from error


def pack_full_ea(attributes: Iterable[ExtendedAttribute]) -> bytes:
    """The chain of `attributes`."""
    return pack_chain([_pack_full(attribute) for attribute in attributes], EA_ALIGNMENT)


def packed_bytes(attribute: ExtendedAttribute) -> int:
    """What `attribute` takes up at the end of a FileFullEaInformation chain."""
    return _FULL.size + len(attribute.name) + 1 + len(attribute.value)


def unpack_get_ea(data: Buffer) -> tuple[bytes, ...]:
    """The names of a FileGetEaInformation list, the input of a query for certain attributes."""
    return tuple(
        _unpack_get(entry) for entry in unpack_chain(data, _GET.size, MAX_EAS, "EA name", EA_ALIGNMENT)
    )


def pack_get_ea(names: Iterable[bytes]) -> bytes:
    """The chain of `names`."""
    return pack_chain([_GET.pack(0, len(name)) + name + b"\0" for name in names], EA_ALIGNMENT)


def _pack_full(attribute: ExtendedAttribute) -> bytes:
    head = _FULL.pack(0, attribute.flags, len(attribute.name), len(attribute.value))
    return head + attribute.name + b"\0" + attribute.value


def _unpack_full(entry: memoryview) -> ExtendedAttribute:
    _, flags, name_length, value_length = unpack_fixed(_FULL, entry, "EA")
    name = _name(entry, _FULL.size, name_length)
    start = _FULL.size + name_length + 1
    return ExtendedAttribute(name, bytes(take(entry, start, value_length, start, "EA value")), flags)


def _unpack_get(entry: memoryview) -> bytes:
    _, length = unpack_fixed(_GET, entry, "EA name")
    return _name(entry, _GET.size, length)


def _name(entry: memoryview, offset: int, length: int) -> bytes:
    name = bytes(take(entry, offset, length + 1, offset, "EA name"))
    if not length or b"\0" in name[:-1] or name[-1] or not name.isascii():
        raise ProtocolError("malformed EA name", Status.INVALID_EA_NAME)
    return name[:-1]
