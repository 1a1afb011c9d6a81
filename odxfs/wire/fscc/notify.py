"""FILE_NOTIFY_INFORMATION, the entries of CHANGE_NOTIFY (MS-FSCC 2.7.1)."""

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from odxfs.types import Buffer
from odxfs.wire.cursor import decode_counted_utf16, encode_utf16, pack_chain, unpack_chain, unpack_fixed

_HEAD = Struct("<III")
_ALIGNMENT = 4

MAX_ENTRIES = 1 << 18


class NotifyAction(IntEnum):
    """Action."""

    ADDED = 1
    REMOVED = 2
    MODIFIED = 3
    RENAMED_OLD_NAME = 4
    RENAMED_NEW_NAME = 5
    ADDED_STREAM = 6
    REMOVED_STREAM = 7
    MODIFIED_STREAM = 8


class NotifyInformation(NamedTuple):
    """One change; `file_name` is relative to the watched directory."""

    action: int
    file_name: str


def pack_notify_information(changes: Iterable[NotifyInformation]) -> bytes:
    """The chain of `changes`, in the order in which they happened."""
    return pack_chain([_pack(change) for change in changes], _ALIGNMENT)


def unpack_notify_information(data: Buffer) -> tuple[NotifyInformation, ...]:
    """The changes of an answer."""
    chain = unpack_chain(data, _HEAD.size, MAX_ENTRIES, "notify", _ALIGNMENT)
    return tuple(_unpack(entry) for entry in chain)


def _pack(change: NotifyInformation) -> bytes:
    name = encode_utf16(change.file_name)
    return _HEAD.pack(0, change.action, len(name)) + name


def _unpack(entry: memoryview) -> NotifyInformation:
    _, action, length = unpack_fixed(_HEAD, entry, "notify entry")
    return NotifyInformation(action, decode_counted_utf16(entry, _HEAD.size, length, "FileName"))
