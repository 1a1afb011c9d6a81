"""How a program recognises a file that it reaches both over SMB and on a mount: each opening of a pool has an id of its own, and
inode numbers are the same by both ways.

Not the pool's UUID: a copy of a pool's directory has it, too. The share tells the opening in the extended information of
FileFsObjectIdInformation (MS-FSCC 2.5.6), the mount with the number as the extended attribute `user.odxfs.identity`.
"""

from uuid import UUID

from odxfs.types import Buffer

IDENTITY = b"user.odxfs.identity"

_MARK = b"odxfs opening 1\0"
_OPENING_BYTES = 16
_EXTENDED_BYTES = 48


def pack_opening(opening: UUID) -> bytes:
    """The extended information of a volume: 48 bytes, marked, since other servers have other things there."""
    return (_MARK + opening.bytes).ljust(_EXTENDED_BYTES, b"\0")


def unpack_opening(extended: Buffer) -> bytes | None:
    """The opening that extended information tells of, None for another server's."""
    data = bytes(extended)
    return data[len(_MARK) : len(_MARK) + _OPENING_BYTES] if data.startswith(_MARK) else None


def pack_identity(opening: UUID, number: int) -> bytes:
    """The value of the attribute."""
    return opening.bytes + number.to_bytes(8, "little")


def unpack_identity(value: bytes) -> tuple[bytes, int] | None:
    """Opening and inode number, None for what is no such value."""
    if len(value) != _OPENING_BYTES + 8:
        return None
    return value[:_OPENING_BYTES], int.from_bytes(value[_OPENING_BYTES:], "little")
