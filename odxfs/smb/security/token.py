"""What stands for a user in an access check: his SID, his groups and his privileges (MS-DTYP 2.5.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING

from odxfs.wire.access_mask import Access
from odxfs.wire.fscc.sid import (
    ADMINISTRATORS,
    AUTHENTICATED_USERS,
    EVERYONE,
    NETWORK,
    USERS,
    Sid,
    unix_group,
    unix_user,
)

if TYPE_CHECKING:
    from odxfs.smb.auth.groups import Group
    from odxfs.smb.auth.users import User, UserStore
    from odxfs.smb.sessions import Session


class Privilege(Flag):
    """The privileges (MS-LSAD 3.1.1.2.1) that mean something for files."""

    SECURITY = auto()
    """SeSecurityPrivilege: read and change audit lists (ACCESS_SYSTEM_SECURITY)."""
    TAKE_OWNERSHIP = auto()
    """SeTakeOwnershipPrivilege: WRITE_OWNER of everything, when it is asked for by name."""
    BACKUP = auto()
    """SeBackupPrivilege: read everything that is opened with the intent to back it up."""
    RESTORE = auto()
    """SeRestorePrivilege: write everything that is opened with that intent, and make anybody the owner."""


OF_ADMINISTRATORS = Privilege.SECURITY | Privilege.TAKE_OWNERSHIP | Privilege.BACKUP | Privilege.RESTORE
_BY_NAME = {
    Privilege.SECURITY: Access.ACCESS_SYSTEM_SECURITY,
    Privilege.TAKE_OWNERSHIP: Access.WRITE_OWNER,
}
_BY_INTENT = {
    Privilege.BACKUP: Access.FILE_LIST_DIRECTORY | Access.FILE_READ_EA | Access.FILE_READ_ATTRIBUTES
    | Access.FILE_TRAVERSE | Access.READ_CONTROL | Access.SYNCHRONIZE,
    Privilege.RESTORE: Access.FILE_WRITE_DATA | Access.FILE_APPEND_DATA | Access.FILE_WRITE_EA
    | Access.FILE_WRITE_ATTRIBUTES | Access.DELETE | Access.WRITE_DAC | Access.WRITE_OWNER,
}  # fmt: skip
"""MS-FSA 2.1.5.1.2: two sets without a right in common."""

WELL_KNOWN = frozenset((EVERYONE, AUTHENTICATED_USERS, NETWORK, USERS))
"""The groups that everybody is in who has logged in over the network."""


@dataclass(frozen=True, slots=True, eq=False)
class Token:
    """Who acts. Equal only to itself, so that what was worked out for it is found again by identity.

    `sids` has all that an entry of an access list may name him by, the user's own SID included. `gids` are his POSIX groups,
    `gid` among them. `account` is whom it was made for.
    """

    account: User
    user: Sid
    primary_group: Sid
    sids: frozenset[Sid]
    uid: int
    gid: int
    gids: frozenset[int]
    privileges: Privilege
    rights_by_name: int
    """What the privileges add to what is asked for by name."""
    rights_by_intent: int
    """What they add in an open with the intent to back up."""

    @property
    def is_administrator(self) -> bool:
        """Whether BUILTIN\\Administrators is among the groups: users who act as uid 0."""
        return ADMINISTRATORS in self.sids

    def may_own(self, owner: Sid) -> bool:
        """Whether this user may make `owner` the owner of a file (MS-FSA 2.1.5.17)."""
        if Privilege.RESTORE in self.privileges or owner == self.user:
            return True
        return self.is_administrator and owner == ADMINISTRATORS


def make_token(user: User, groups: Iterable[Group]) -> Token:
    """The token of a user who is in those groups. Who acts as uid 0 is an administrator."""
    of_user = list(groups)
    gids = frozenset((user.gid, *(group.gid for group in of_user)))
    sids = {Sid.parse(user.sid), unix_user(user.uid), *map(unix_group, gids), *WELL_KNOWN}
    sids.update(Sid.parse(group.sid) for group in of_user)
    privileges = Privilege(0)
    if user.uid == 0:
        sids.add(ADMINISTRATORS)
        privileges = OF_ADMINISTRATORS
    return Token(
        account=user,
        user=Sid.parse(user.sid),
        primary_group=unix_group(user.gid),
        sids=frozenset(sids),
        uid=user.uid,
        gid=user.gid,
        gids=gids,
        privileges=privileges,
        rights_by_name=_sum_of(privileges, _BY_NAME),
        rights_by_intent=_sum_of(privileges, _BY_INTENT),
    )


def _sum_of(privileges: Privilege, rights: dict[Privilege, int]) -> int:
    return sum(mask for privilege, mask in rights.items() if privilege in privileges)


def token_of(session: Session, users: UserStore) -> Token:
    """The token of a session: made at its first use after a login, and then the same, whatever becomes of the groups.

    Raises UserError when the groups cannot be read.
    """
    user = session.user
    assert user is not None, "only a valid session acts"
    token = session.token
    if token is None or token.account is not user:
        session.token = token = make_token(user, users.groups.of(user.sid))
    return token
