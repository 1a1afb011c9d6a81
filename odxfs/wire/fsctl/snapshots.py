"""FSCTL_SRV_ENUMERATE_SNAPSHOTS (MS-SMB2 2.2.32.2): the previous versions there are. It has no input."""

from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import decode_utf16, encode_utf16, take, unpack_fixed

_HEAD = Struct("<III")
MINIMUM_BYTES = 16
"""What a client must have room for (MS-SMB2 3.3.5.15.1), and what Samba's and Linux's want to see, even if nothing is listed."""


@dataclass(frozen=True, slots=True)
class SrvSnapshotArray:
    """`snapshots` are @GMT tokens: all of the `number_of_snapshots`, or none where there was no room for all.

    `snapshot_array_bytes` is what all of them take up: each with a null behind it, and one more null.
    """

    number_of_snapshots: int
    snapshot_array_bytes: int
    snapshots: tuple[str, ...] = ()

    @classmethod
    def of(cls, tokens: tuple[str, ...], room_bytes: int) -> Self:
        """An answer that fits into `room_bytes`, which are at least MINIMUM_BYTES: everything, or the counts only."""
        array_bytes = len(_pack_array(tokens))
        listed = tokens if _HEAD.size + array_bytes <= room_bytes else ()
        return cls(len(tokens), array_bytes, listed)

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        number, returned, array_bytes = unpack_fixed(_HEAD, data, cls.__name__)
        if returned == 0:
            return cls(number, array_bytes)
        text = decode_utf16(take(data, _HEAD.size, array_bytes, _HEAD.size, "SnapShots"), "SnapShots")
        snapshots = tuple(text.rstrip("\0").split("\0"))
        if len(snapshots) != returned or not all(snapshots):
            raise ProtocolError(f"{len(snapshots)} snapshots where {returned} are announced")
        return cls(number, array_bytes, snapshots)

    def pack(self) -> bytes:
        head = _HEAD.pack(self.number_of_snapshots, len(self.snapshots), self.snapshot_array_bytes)
        body = _pack_array(self.snapshots) if self.snapshots else b""
        return (head + body).ljust(MINIMUM_BYTES, b"\0")


def _pack_array(tokens: tuple[str, ...]) -> bytes:
    return encode_utf16("".join(f"{token}\0" for token in tokens) + "\0")
