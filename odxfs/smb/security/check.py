"""The access check over a stored security descriptor (MS-DTYP 2.5.3.2).

An entry decides the rights that no entry before it has decided, so what a user may do is one mask, worked out in one walk: a
request is granted when all of it is in the mask, and MAXIMUM_ALLOWED is the mask itself.

Conditions of callback entries are not evaluated. As MS-DTYP has it for a condition whose value is unknown, such an entry
refuses and never allows; so does an object entry, whose GUIDs mean nothing to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from odxfs.errors import ProtocolError
from odxfs.smb.limits import (
    MAX_CACHED_ACCESS_CHECKS,
    MAX_CACHED_LARGE_ACCESS_CHECKS,
    MAX_SMALL_DESCRIPTOR_BYTES,
)
from odxfs.wire.access_mask import Access
from odxfs.wire.fscc.security_descriptor import (
    Ace,
    AceFlags,
    AceType,
    Acl,
    ObjectAceType,
    OpaqueAce,
    SecurityDescriptor,
)
from odxfs.wire.fscc.sid import OWNER_RIGHTS, Sid

if TYPE_CHECKING:
    from odxfs.smb.security.token import Token

OF_OWNER = Access.READ_CONTROL | Access.WRITE_DAC
"""What an owner always has, unless an entry for OWNER RIGHTS (S-1-3-4) speaks of him."""

_DENYING = frozenset((AceType.ACCESS_DENIED, AceType.ACCESS_DENIED_CALLBACK))
_DENYING_OBJECTS = frozenset((ObjectAceType.ACCESS_DENIED, ObjectAceType.ACCESS_DENIED_CALLBACK))
_GUID_BYTES = 16
_OBJECT_HEAD_BYTES = 8


def allowed(stored: bytes, token: Token) -> int:
    """Every right that the packed descriptor gives to the user, ACCESS_SYSTEM_SECURITY and privileges apart.

    Costs a look-up when it was asked for before, else a walk over the entries.
    """
    return _small(stored, token) if len(stored) <= MAX_SMALL_DESCRIPTOR_BYTES else _large(stored, token)


def _allowed(stored: bytes, token: Token) -> int:
    descriptor = SecurityDescriptor.unpack(stored)
    sids: Collection[Sid] = token.sids
    owns = descriptor.owner is not None and descriptor.owner in sids
    if owns:
        sids = token.sids | {OWNER_RIGHTS}
    granted = rights_in(descriptor.dacl, sids, lambda sid: sid in sids)
    if owns and not _speaks_of_owner(descriptor.dacl):
        granted |= OF_OWNER
    return granted


_small = lru_cache(MAX_CACHED_ACCESS_CHECKS)(_allowed)
_large = lru_cache(MAX_CACHED_LARGE_ACCESS_CHECKS)(_allowed)


def rights_in(dacl: Acl | None, allowing: Collection[Sid], denies: Callable[[Sid], bool]) -> int:
    """What entries for the SIDs `allowing` give, less what entries before them deny to a SID that `denies`.

    Without a list everybody may everything (MS-DTYP 2.4.6: a NULL DACL).
    """
    if dacl is None:
        return Access.FILE_ALL_ACCESS
    undecided, granted = Access.FILE_ALL_ACCESS, 0
    for ace in dacl.aces:
        if ace.ace_flags & AceFlags.INHERIT_ONLY:
            continue
        if isinstance(ace, OpaqueAce):
            undecided &= ~_denied_by_object(ace, denies)
        elif ace.ace_type == AceType.ACCESS_ALLOWED and ace.sid in allowing:
            granted |= undecided & map_generic(ace.mask)
            undecided &= ~granted
        elif ace.ace_type in _DENYING and denies(ace.sid):
            undecided &= ~map_generic(ace.mask)
    return granted


def map_generic(mask: int) -> int:
    """`mask` with the generic bits as what they mean for files and directories (MS-FSA 2.1.5.1.2)."""
    access = mask & ~(
        Access.GENERIC_READ | Access.GENERIC_WRITE | Access.GENERIC_EXECUTE | Access.GENERIC_ALL
    )
    if mask & Access.GENERIC_READ:
        access |= Access.FILE_GENERIC_READ
    if mask & Access.GENERIC_WRITE:
        access |= Access.FILE_GENERIC_WRITE
    if mask & Access.GENERIC_EXECUTE:
        access |= Access.FILE_GENERIC_EXECUTE
    if mask & Access.GENERIC_ALL:
        access |= Access.FILE_ALL_ACCESS
    return access


def _speaks_of_owner(dacl: Acl | None) -> bool:
    return dacl is not None and any(
        isinstance(ace, Ace) and ace.sid == OWNER_RIGHTS and not ace.ace_flags & AceFlags.INHERIT_ONLY
        for ace in dacl.aces
    )


def _denied_by_object(ace: OpaqueAce, denies: Callable[[Sid], bool]) -> int:
    """What an object entry refuses; one that cannot be read refuses everything."""
    if ace.ace_type not in _DENYING_OBJECTS:
        return 0
    mask, flags = int.from_bytes(ace.body[:4], "little"), int.from_bytes(ace.body[4:8], "little")
    at = _OBJECT_HEAD_BYTES + _GUID_BYTES * ((flags & 1) + (flags >> 1 & 1))
    try:
        return map_generic(mask) if denies(Sid.unpack(ace.body[at:])) else 0
    except ProtocolError:
        return Access.FILE_ALL_ACCESS
