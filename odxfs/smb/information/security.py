"""Security descriptors as clients read and set them (MS-SMB2 3.3.5.20.3 and .21.3, MS-FSA 2.1.5.14 and 2.1.5.17).

What a client has set is kept whole. For what nobody has set anything a descriptor is made of POSIX owner, group and mode, and
says in Windows' words what the volume enforces: a user of this server is shown by his SID, other owners as S-1-22-1-uid,
groups as S-1-22-2-gid.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from odxfs.ntstatus import Status
from odxfs.smb.access import (
    ACCESS_SYSTEM_SECURITY,
    DELETE,
    FILE_ALL_ACCESS,
    FILE_DELETE_CHILD,
    READ_CONTROL,
    WRITE_DAC,
    WRITE_OWNER,
    access_of_bits,
    require,
)
from odxfs.smb.information.answer import Information
from odxfs.smb.request import SmbError
from odxfs.smb.security.creating import check_owner, check_size, group_for
from odxfs.smb.security.inheritance import mapped
from odxfs.smb.security.posix import mode_of, owner_sid, uid_of
from odxfs.volume import AttributeChange
from odxfs.wire.fscc.security_descriptor import Ace, AceType, Acl, Control, SecurityDescriptor
from odxfs.wire.fscc.sid import EVERYONE, Sid, unix_group
from odxfs.wire.query_info import SecurityInformation

if TYPE_CHECKING:
    from odxfs.smb.opens import SmbOpen
    from odxfs.smb.request import RequestContext
    from odxfs.volume import Inode
    from odxfs.wire.query_info import QueryInfoRequest

_LENGTH = struct.Struct("<I")
_OWNERS = SecurityInformation.OWNER | SecurityInformation.GROUP
_KINDS = {
    SecurityInformation.LABEL: AceType.SYSTEM_MANDATORY_LABEL,
    SecurityInformation.ATTRIBUTE: AceType.SYSTEM_RESOURCE_ATTRIBUTE,
    SecurityInformation.SCOPE: AceType.SYSTEM_SCOPED_POLICY_ID,
}
"""Parts that are entries of one kind in the SACL, and that need other rights than the audit entries."""

_OF_DACL = (
    Control.DACL_PRESENT | Control.DACL_DEFAULTED | Control.DACL_AUTO_INHERITED | Control.DACL_PROTECTED
)
_OF_SACL = (
    Control.SACL_PRESENT | Control.SACL_DEFAULTED | Control.SACL_AUTO_INHERITED | Control.SACL_PROTECTED
)
_PARTS = (
    _OWNERS
    | SecurityInformation.DACL
    | SecurityInformation.SACL
    | SecurityInformation.LABEL
    | (SecurityInformation.ATTRIBUTE | SecurityInformation.SCOPE)
)


async def query_security(context: RequestContext, opened: SmbOpen, request: QueryInfoRequest) -> Information:
    """The parts asked for; to ask for none needs no right.

    SmbError: ACCESS_DENIED; BUFFER_TOO_SMALL, whose data is the size that is needed.
    """
    parts = _named_parts(request.additional_information)
    if parts & ~SecurityInformation.SACL:
        require(opened.granted_access, READ_CONTROL)
    if parts & SecurityInformation.SACL:
        require(opened.granted_access, ACCESS_SYSTEM_SECURITY)
    await opened.volume.security(opened.file_inode)
    data = _select(describe(context, opened.file_inode), parts).pack()
    if len(data) > request.output_buffer_length:
        raise SmbError(Status.BUFFER_TOO_SMALL, data=_LENGTH.pack(len(data)))
    return Information(data, 0)


async def set_security(context: RequestContext, opened: SmbOpen, parts: int, data: bytes) -> None:
    """Keep the parts of a descriptor that `parts` names; owner, group and mode of the mount follow (`security/posix.py`).

    SmbError: ACCESS_DENIED, INVALID_OWNER, INVALID_PRIMARY_GROUP, INVALID_SECURITY_DESCR.
    """
    parts = _named_parts(parts)
    _check_rights(opened.granted_access, parts)
    given = SecurityDescriptor.unpack(data)
    if not parts:
        return  # what asks for no right changes nothing
    volume, inode, token = opened.volume, opened.file_inode, context.token
    await volume.security(inode)
    merged = _merge(describe(context, inode), given, parts)
    uid, gid = inode.uid, inode.gid
    if parts & SecurityInformation.OWNER:
        if merged.owner != describe(context, inode).owner:
            check_owner(given, token)
        uid = token.uid if merged.owner == token.user else uid_of(merged.owner, context.server.users)
    if parts & SecurityInformation.GROUP:
        gid = group_for(merged, token, context, gid)
    mode = mode_of(merged, inode.mode, gid, context.server.users)
    change = AttributeChange(mode=mode, uid=uid, gid=gid, security=check_size(merged.pack()))
    await volume.set_attributes(inode, change)


def _named_parts(parts: int) -> int:
    """The bits that mean something; BACKUP is all of them."""
    return _PARTS if parts & SecurityInformation.BACKUP else parts & _PARTS


def _check_rights(granted: int, parts: int) -> None:
    if parts & (_OWNERS | SecurityInformation.LABEL):
        require(granted, WRITE_OWNER)
    if parts & (SecurityInformation.DACL | SecurityInformation.ATTRIBUTE):
        require(granted, WRITE_DAC)
    if parts & (SecurityInformation.SACL | SecurityInformation.SCOPE):
        require(granted, ACCESS_SYSTEM_SECURITY)


def _select(whole: SecurityDescriptor, parts: int) -> SecurityDescriptor:
    """Those parts of a descriptor."""
    control = Control.SELF_RELATIVE
    if parts & SecurityInformation.DACL:
        control |= whole.control & _OF_DACL
    sacl = _sacl_parts(whole.sacl, parts)
    if parts & SecurityInformation.SACL or sacl is not None:
        control |= whole.control & _OF_SACL
    return SecurityDescriptor(
        owner=whole.owner if parts & SecurityInformation.OWNER else None,
        group=whole.group if parts & SecurityInformation.GROUP else None,
        dacl=whole.dacl if parts & SecurityInformation.DACL else None,
        sacl=sacl,
        control=control,
    )


def _is_of(ace_type: int, parts: int) -> bool:
    """Whether an entry of the SACL belongs to those parts."""
    for part, kind in _KINDS.items():
        if ace_type == kind:
            return bool(parts & part)
    return bool(parts & SecurityInformation.SACL)


def _sacl_parts(sacl: Acl | None, parts: int) -> Acl | None:
    if sacl is None:
        return None
    aces = tuple(ace for ace in sacl.aces if _is_of(ace.ace_type, parts))
    return replace(sacl, aces=aces) if aces or parts & SecurityInformation.SACL else None


def _merge(old: SecurityDescriptor, given: SecurityDescriptor, parts: int) -> SecurityDescriptor:
    """`old` with the named parts of `given`. Who sets a DACL and gives none sets a NULL DACL, as on Windows."""
    control, owner, group, dacl = old.control, old.owner, old.group, old.dacl
    if parts & SecurityInformation.OWNER:
        if given.owner is None:
            raise SmbError(Status.INVALID_OWNER)
        owner, control = given.owner, control & ~Control.OWNER_DEFAULTED
    if parts & SecurityInformation.GROUP:
        if given.group is None:
            raise SmbError(Status.INVALID_PRIMARY_GROUP)
        group, control = given.group, control & ~Control.GROUP_DEFAULTED
    if parts & SecurityInformation.DACL:
        dacl = mapped(given.dacl)
        control = control & ~_OF_DACL | _kept_bits(given.control) | Control.DACL_PRESENT
    sacl = old.sacl
    if parts & (SecurityInformation.SACL | SecurityInformation.LABEL | SecurityInformation.ATTRIBUTE) or (
        parts & SecurityInformation.SCOPE
    ):
        sacl = _merged_sacl(old.sacl, given.sacl, parts)
        control = control & ~_OF_SACL | _kept_bits(given.control >> 1) << 1
    return SecurityDescriptor(owner, group, dacl, sacl, control)


def _kept_bits(control: int) -> int:
    """Of a list's bits (the DACL's): AUTO_INHERITED only from who asks by AUTO_INHERIT_REQ that it be kept."""
    kept = control & (Control.DACL_PRESENT | Control.DACL_PROTECTED | Control.DACL_DEFAULTED)
    both = Control.DACL_AUTO_INHERITED | Control.DACL_AUTO_INHERIT_REQUIRED
    return kept | Control.DACL_AUTO_INHERITED if control & both == both else kept


def _merged_sacl(old: Acl | None, given: Acl | None, parts: int) -> Acl | None:
    kept = () if old is None else tuple(ace for ace in old.aces if not _is_of(ace.ace_type, parts))
    added = () if given is None else tuple(ace for ace in given.aces if _is_of(ace.ace_type, parts))
    if not kept and not added:
        return Acl() if given is not None and parts & SecurityInformation.SACL else None
    return Acl(added + kept, max(acl.revision for acl in (old, given) if acl is not None))


def describe(context: RequestContext, inode: Inode) -> SecurityDescriptor:
    """The whole descriptor of `inode`, whose security is at hand."""
    if inode.security:
        return SecurityDescriptor.unpack(inode.security)
    owner, group = _user_sid(context, inode.uid), unix_group(inode.gid)
    control = Control.SELF_RELATIVE | Control.DACL_PRESENT
    return SecurityDescriptor(owner, group, _dacl(inode, owner, group), None, control)


def _user_sid(context: RequestContext, uid: int) -> Sid:
    user = context.session.user
    if user is not None and user.uid == uid:
        return Sid.parse(user.sid)
    return owner_sid(uid, ((each.uid, each.sid) for each in context.server.users.list()))


def _dacl(inode: Inode, owner: Sid, group: Sid) -> Acl:
    """Owner, group, everyone, as POSIX tries them; a deny entry where a later one would give what the mode does not."""
    mode = inode.mode
    owner_mask = FILE_ALL_ACCESS if inode.uid == 0 else access_of_bits(mode >> 6 & 0o7, owner=True)
    group_mask = access_of_bits(mode >> 3 & 0o7) & ~FILE_DELETE_CHILD
    others_mask = access_of_bits(mode & 0o7) & ~FILE_DELETE_CHILD
    aces = [
        *_deny(owner, (group_mask | others_mask) & ~owner_mask),
        Ace(AceType.ACCESS_ALLOWED, 0, owner_mask | DELETE, owner),
        *_deny(group, others_mask & ~group_mask),
        Ace(AceType.ACCESS_ALLOWED, 0, group_mask, group),
        Ace(AceType.ACCESS_ALLOWED, 0, others_mask, EVERYONE),
    ]
    return Acl(tuple(aces))


def _deny(sid: Sid, mask: int) -> list[Ace]:
    return [Ace(AceType.ACCESS_DENIED, 0, mask, sid)] if mask else []
