"""The descriptor of a new file or directory: what it inherits, what its maker gave, the default (MS-DTYP 2.5.3.4)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from odxfs.smb.limits import MAX_CACHED_INHERITANCES
from odxfs.smb.security.check import map_generic
from odxfs.wire.access_mask import Access
from odxfs.wire.fscc.security_descriptor import (
    Ace,
    AceFlags,
    AceType,
    Acl,
    Control,
    OpaqueAce,
    SecurityDescriptor,
)
from odxfs.wire.fscc.sid import CREATOR_GROUP, CREATOR_OWNER, LOCAL_SYSTEM, Sid

_GENERIC = Access.GENERIC_READ | Access.GENERIC_WRITE | Access.GENERIC_EXECUTE | Access.GENERIC_ALL
_INHERITANCE = AceFlags.OBJECT_INHERIT | AceFlags.CONTAINER_INHERIT
_ALL_INHERITANCE = _INHERITANCE | AceFlags.NO_PROPAGATE_INHERIT | AceFlags.INHERIT_ONLY | AceFlags.INHERITED


@lru_cache(MAX_CACHED_INHERITANCES)
def inherited(stored_parent: bytes, owner: Sid, group: Sid, *, is_directory: bool) -> bytes:
    """The packed descriptor of what `owner` makes in a folder with that descriptor and says nothing about.

    Where nothing is inherited it is Windows' default: everything to the owner and to SYSTEM.
    """
    return new_descriptor(
        SecurityDescriptor.unpack(stored_parent),
        SecurityDescriptor(),
        owner,
        group,
        is_directory=is_directory,
    ).pack()


def new_descriptor(
    parent: SecurityDescriptor, given: SecurityDescriptor, owner: Sid, group: Sid, *, is_directory: bool
) -> SecurityDescriptor:
    """The descriptor of a new file whose maker gave `given` (its owner and group count for nothing here)."""
    dacl_bits, dacl = _new_acl(
        given.dacl,
        bool(given.control & Control.DACL_PRESENT),
        bool(given.control & Control.DACL_PROTECTED),
        _inherit(parent.dacl, owner, group, _is_auto(parent, Control.DACL_AUTO_INHERITED), is_directory),
        _is_auto(parent, Control.DACL_AUTO_INHERITED),
    )
    sacl_bits, sacl = _new_acl(
        given.sacl,
        bool(given.control & Control.SACL_PRESENT),
        bool(given.control & Control.SACL_PROTECTED),
        _inherit(parent.sacl, owner, group, _is_auto(parent, Control.SACL_AUTO_INHERITED), is_directory),
        _is_auto(parent, Control.SACL_AUTO_INHERITED),
    )
    control = Control.SELF_RELATIVE | dacl_bits | sacl_bits << 1
    if dacl is None and not given.control & Control.DACL_PRESENT:
        dacl = default_dacl(owner)
    return SecurityDescriptor(owner, group, dacl, sacl, control)


def default_dacl(owner: Sid) -> Acl:
    """What Windows' tokens give to a file that inherits nothing."""
    full = Access.FILE_ALL_ACCESS
    return Acl(
        (Ace(AceType.ACCESS_ALLOWED, 0, full, owner), Ace(AceType.ACCESS_ALLOWED, 0, full, LOCAL_SYSTEM))
    )


def mapped(acl: Acl | None) -> Acl | None:
    """The list as it is kept: generic rights as what they mean. Entries that are only for heirs keep them till then."""
    return None if acl is None else replace(acl, aces=tuple(map(_mapped, acl.aces)))


def _mapped(ace: Ace | OpaqueAce) -> Ace | OpaqueAce:
    if isinstance(ace, OpaqueAce) or ace.ace_flags & AceFlags.INHERIT_ONLY or not ace.mask & _GENERIC:
        return ace
    return replace(ace, mask=map_generic(ace.mask))


def _is_auto(parent: SecurityDescriptor, bit: int) -> bool:
    return bool(parent.control & bit)


def _new_acl(
    given: Acl | None, present: bool, protected: bool, heirs: tuple[Ace | OpaqueAce, ...], auto: bool
) -> tuple[int, Acl | None]:
    """Control bits (as of the DACL; the SACL's are one place higher) and the list; None is no list or a NULL one."""
    if not present:
        if not heirs:
            return 0, None
        return Control.DACL_AUTO_INHERITED if auto else 0, Acl(heirs, _revision(heirs))
    bits = Control.DACL_PRESENT | (Control.DACL_PROTECTED if protected else 0)
    if given is None:
        return bits, None
    explicit = mapped(given)
    assert explicit is not None
    if protected or not auto:
        return bits, explicit
    own = tuple(ace for ace in explicit.aces if not ace.ace_flags & AceFlags.INHERITED)
    return bits | Control.DACL_AUTO_INHERITED, replace(explicit, aces=own + heirs)


def _revision(aces: tuple[Ace | OpaqueAce, ...]) -> int:
    return 4 if any(isinstance(ace, OpaqueAce) for ace in aces) else 2


def _inherit(
    acl: Acl | None, owner: Sid, group: Sid, auto: bool, is_directory: bool
) -> tuple[Ace | OpaqueAce, ...]:
    """The entries of a parent's list that a child gets (MS-DTYP 2.5.3.4.2)."""
    heirs: list[Ace | OpaqueAce] = []
    mark = AceFlags.INHERITED if auto else 0
    for ace in acl.aces if acl is not None else ():
        heirs += _heirs(ace, owner, group, mark, is_directory)
    return tuple(heirs)


def _heirs(
    ace: Ace | OpaqueAce, owner: Sid, group: Sid, mark: int, is_directory: bool
) -> list[Ace | OpaqueAce]:
    flags = ace.ace_flags
    others = flags & ~_ALL_INHERITANCE | mark
    if not is_directory:
        return [_for_child(ace, others, owner, group)] if flags & AceFlags.OBJECT_INHERIT else []
    onward = 0 if flags & AceFlags.NO_PROPAGATE_INHERIT else flags & _INHERITANCE
    if not flags & AceFlags.CONTAINER_INHERIT:
        kept = onward | others | AceFlags.INHERIT_ONLY
        return [replace(ace, ace_flags=kept)] if onward else []
    if not onward:
        return [_for_child(ace, others, owner, group)]
    effective = _for_child(ace, others, owner, group)
    if replace(effective, ace_flags=flags) == ace:
        return [replace(ace, ace_flags=onward | others)]
    return [effective, replace(ace, ace_flags=onward | others | AceFlags.INHERIT_ONLY)]


def _for_child(ace: Ace | OpaqueAce, flags: int, owner: Sid, group: Sid) -> Ace | OpaqueAce:
    """The entry as it holds for the child itself: its maker in place of CREATOR OWNER, generic rights as what they mean."""
    if isinstance(ace, OpaqueAce):
        return replace(ace, ace_flags=flags)
    sid = {CREATOR_OWNER: owner, CREATOR_GROUP: group}.get(ace.sid, ace.sid)
    return replace(ace, ace_flags=flags, mask=map_generic(ace.mask), sid=sid)
