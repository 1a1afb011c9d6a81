"""SIDs: who somebody is to Windows (MS-DTYP 2.4.2)."""

import re
from dataclasses import dataclass
from struct import Struct
from typing import Self

from odxfs.errors import ProtocolError
from odxfs.types import Buffer
from odxfs.wire.cursor import take, unpack_fixed

_HEAD = Struct("<BB6s")
_TEXT = re.compile(r"S-1-(\d{1,15}|0x[0-9a-fA-F]{12})((?:-\d{1,10})+)")
_REVISION = 1
_MAX_AUTHORITY = 2**48 - 1
_DECIMAL_AUTHORITY = 2**32 - 1

MAX_SUB_AUTHORITIES = 15


@dataclass(frozen=True, slots=True, order=True)
class Sid:
    """An identifier authority (48 bits) and one to 15 sub-authorities (32 bits each)."""

    identifier_authority: int
    sub_authorities: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The SID that `text` (S-1-5-...) spells; ValueError when it is none."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a SID")
        authority = int(match[1], 0) if match[1].startswith("0x") else int(match[1])
        parts = tuple(int(part) for part in match[2][1:].split("-"))
        if authority > _MAX_AUTHORITY or len(parts) > MAX_SUB_AUTHORITIES or max(parts) > _DECIMAL_AUTHORITY:
            raise ValueError(f"{text!r} is not a SID")
        return cls(authority, parts)

    def __str__(self) -> str:
        authority = self.identifier_authority
        shown = str(authority) if authority <= _DECIMAL_AUTHORITY else f"0x{authority:012x}"
        return "-".join(("S-1", shown, *map(str, self.sub_authorities)))

    @classmethod
    def unpack(cls, data: Buffer) -> Self:
        """The SID at the start of `data`, which may be longer."""
        revision, count, authority = unpack_fixed(_HEAD, data, cls.__name__)
        if revision != _REVISION or count > MAX_SUB_AUTHORITIES:
            raise ProtocolError(f"a SID of revision {revision} with {count} sub-authorities")
        parts = take(data, _HEAD.size, 4 * count, _HEAD.size, "SubAuthority")
        return cls(int.from_bytes(authority, "big"), Struct(f"<{count}I").unpack(parts))

    def pack(self) -> bytes:
        count = len(self.sub_authorities)
        head = _HEAD.pack(_REVISION, count, self.identifier_authority.to_bytes(6, "big"))
        return head + Struct(f"<{count}I").pack(*self.sub_authorities)

    @property
    def packed_bytes(self) -> int:
        """What `pack` returns is this long."""
        return _HEAD.size + 4 * len(self.sub_authorities)


EVERYONE = Sid(1, (0,))
CREATOR_OWNER = Sid(3, (0,))
CREATOR_GROUP = Sid(3, (1,))
OWNER_RIGHTS = Sid(3, (4,))
NETWORK = Sid(5, (2,))
AUTHENTICATED_USERS = Sid(5, (11,))
LOCAL_SYSTEM = Sid(5, (18,))
ADMINISTRATORS = Sid(5, (32, 544))
USERS = Sid(5, (32, 545))


def unix_user(uid: int) -> Sid:
    """S-1-22-1-uid: a user of this host that no Windows domain knows."""
    return Sid(22, (1, uid))


def unix_group(gid: int) -> Sid:
    """S-1-22-2-gid: a group of this host."""
    return Sid(22, (2, gid))
