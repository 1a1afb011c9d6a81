"""Lists of names, SIDs and numbers in a stub: read from requests, packed for answers (C706 14.3; NDR, little endian).

impacket takes some ten microseconds a word, so that a list as long as a client may send would keep everybody waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Generic, TypeVar

from odxfs.smb.rpc.handles import HANDLE_BYTES
from odxfs.smb.rpc.pdu import Fault
from odxfs.smb.rpc.pipe import RpcFault
from odxfs.wire.fscc.sid import MAX_SUB_AUTHORITIES, Sid

MAX_LISTED = 1000
"""Names, SIDs or numbers of one call: what Windows looks up at a time (MS-LSAT 3.1.4.9)."""

_NUMBER = Struct("<I")
_STRING = Struct("<HHI")
"""RPC_UNICODE_STRING: Length, MaximumLength, pointer (MS-DTYP 2.3.10)."""

_SID = Struct("<IBB6s")
"""The maximum count of the array, Revision, SubAuthorityCount, IdentifierAuthority (MS-DTYP 2.4.2.3)."""

_COUNTS = Struct("<III")
_REFERENT = 0x00020000
"""A pointer that is not NULL: which number it is means nothing to NDR but in [ptr], which none of these are."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ListRequest(Generic[Item]):
    """A handle, and the list that is asked about."""

    handle: bytes
    items: list[Item]


def names_of_lookup(stub: bytes) -> ListRequest[str]:
    """The beginning of LsarLookupNames, 2 and 3: handle, Count, array of RPC_UNICODE_STRING (MS-LSAT 3.1.4.6 to .8)."""
    reader = _Reader(stub)
    reader.number()
    return ListRequest(reader.handle, reader.names(_checked(reader.number())))


def names_of_domain(stub: bytes) -> ListRequest[str]:
    """SamrLookupNamesInDomain: the same with a varying array (MS-SAMR 3.1.5.11.2)."""
    reader = _Reader(stub)
    reader.number()
    return ListRequest(reader.handle, reader.names(reader.varying_count()))


def numbers_of_domain(stub: bytes) -> ListRequest[int]:
    """SamrLookupIdsInDomain: a varying array of RIDs (MS-SAMR 3.1.5.11.3)."""
    reader = _Reader(stub)
    reader.number()
    return ListRequest(reader.handle, reader.numbers(reader.varying_count()))


def sids_of_lookup(stub: bytes) -> ListRequest[Sid]:
    """The beginning of LsarLookupSids, 2, and SamrGetAliasMembership: Count and a pointer to an array of pointers to RPC_SID
    (LSAPR_SID_ENUM_BUFFER, MS-LSAT 2.2.18; SAMPR_PSID_ARRAY, MS-SAMR 2.2.3.7)."""
    reader = _Reader(stub)
    count, pointer = reader.numbers(2)
    if not count or not pointer:
        return ListRequest(reader.handle, [])
    pointers = reader.numbers(_checked(reader.number()))
    if not all(pointers):
        raise RpcFault(Fault.BAD_STUB_DATA)
    return ListRequest(reader.handle, [reader.sid() for _ in pointers])


def _checked(count: int) -> int:
    if count > MAX_LISTED:
        raise RpcFault(Fault.NO_MEMORY)
    return count


class _Reader:
    """What stands behind the handle, piece by piece. struct.error where the stub ends too early, which is a fault, too."""

    def __init__(self, stub: bytes) -> None:
        self.handle = stub[:HANDLE_BYTES]
        self._stub = stub
        self._offset = HANDLE_BYTES

    def number(self) -> int:
        return self.numbers(1)[0]

    def numbers(self, count: int) -> list[int]:
        return list(self._take(Struct(f"<{count}I")))

    def varying_count(self) -> int:
        """Of an array that says how much of it comes (C706 14.3.3.3): all of it from its beginning, here."""
        maximum, offset, actual = self._take(_COUNTS)
        if offset or actual > maximum:
            raise RpcFault(Fault.BAD_STUB_DATA)
        return _checked(actual)

    def names(self, count: int) -> list[str]:
        """An array of `count` strings: first the structures, then what they point to."""
        pointers = [self._take(_STRING)[2] for _ in range(count)]
        return [self._characters() if pointer else "" for pointer in pointers]

    def _characters(self) -> str:
        maximum, offset, actual = self._take(_COUNTS)
        end = self._offset + 2 * actual
        if offset or actual > maximum or end > len(self._stub):
            raise RpcFault(Fault.BAD_STUB_DATA)
        characters = self._stub[self._offset : end]
        self._offset = -(-end // _NUMBER.size) * _NUMBER.size
        return characters.decode("utf-16-le").rstrip("\0")

    def sid(self) -> Sid:
        count, _, said, authority = self._take(_SID)
        if count > MAX_SUB_AUTHORITIES or said != count:
            raise RpcFault(Fault.BAD_STUB_DATA)
        return Sid(int.from_bytes(authority, "big"), tuple(self.numbers(count)))

    def _take(self, structure: Struct) -> tuple[Any, ...]:
        found = structure.unpack_from(self._stub, self._offset)
        self._offset += structure.size
        return found


def pack_sid(sid: Sid) -> bytes:
    """What a pointer to an RPC_SID points to."""
    return _NUMBER.pack(len(sid.sub_authorities)) + sid.pack()


def string_head(text: str) -> bytes:
    """The RPC_UNICODE_STRING of a text; an empty one has no buffer."""
    size = len(_encoded(text))
    return _STRING.pack(size, size, _REFERENT if text else 0)


def string_body(text: str) -> bytes:
    """What the pointer of `string_head` points to, padded."""
    if not text:
        return b""
    encoded = _encoded(text)
    count = len(encoded) // 2
    return _COUNTS.pack(count, 0, count) + encoded + bytes(-len(encoded) % _NUMBER.size)


def _encoded(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def pack_list(heads: list[bytes], bodies: list[bytes]) -> bytes:
    """A count and a pointer to an array of so many structures, and behind it what those point to."""
    if not heads:
        return bytes(2 * _NUMBER.size)
    return _COUNTS.pack(len(heads), _REFERENT, len(heads)) + b"".join(heads + bodies)


def pack_number(number: int) -> bytes:
    """An unsigned long."""
    return _NUMBER.pack(number)


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """SAMPR_ULONG_ARRAY (MS-SAMR 2.2.7.4)."""
    return pack_list([_NUMBER.pack(number) for number in numbers], [])


def pack_sids(sids: Sequence[Sid]) -> bytes:
    """SAMPR_PSID_ARRAY_OUT (MS-SAMR 2.2.7.7): each is pointed to."""
    return pack_list([_NUMBER.pack(_REFERENT)] * len(sids), [pack_sid(sid) for sid in sids])
