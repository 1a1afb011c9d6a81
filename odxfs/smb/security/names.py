"""The names behind SIDs and the SIDs behind names: users, groups, and what every Windows knows (MS-DTYP 2.4.2.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from odxfs.wire.fscc.sid import Sid

if TYPE_CHECKING:
    from odxfs.smb.auth.users import UserStore


class SidUse(IntEnum):
    """SID_NAME_USE (MS-SAMR 2.2.2.3)."""

    USER = 1
    DOMAIN = 3
    ALIAS = 4
    WELL_KNOWN_GROUP = 5
    UNKNOWN = 8


@dataclass(frozen=True, slots=True)
class Account:
    """One name of a domain. `domain` is the SID of the part in front of the last, `name` is without the domain's."""

    sid: Sid
    name: str
    domain_name: str
    use: SidUse

    @property
    def domain(self) -> Sid:
        """The SID of its domain; a domain's is itself."""
        if self.use is SidUse.DOMAIN:
            return self.sid
        return Sid(self.sid.identifier_authority, self.sid.sub_authorities[:-1])

    @property
    def rid(self) -> int:
        """The part of the SID that the domain does not have."""
        return self.sid.sub_authorities[-1]


BUILTIN = Sid(5, (32,))
BUILTIN_NAME = "BUILTIN"
NT_AUTHORITY_NAME = "NT AUTHORITY"
UNIX_AUTHORITY = 22
_NUMBER = re.compile("[0-9]{1,10}")
"""A uid or gid as it is written; Python refuses to read a number of thousands of digits."""

_UNIX_KINDS = {1: ("Unix User", SidUse.USER), 2: ("Unix Group", SidUse.ALIAS)}

_WELL_KNOWN = {
    "S-1-0-0": ("NULL SID", ""),
    "S-1-1-0": ("Everyone", ""),
    "S-1-2-0": ("LOCAL", ""),
    "S-1-3-0": ("CREATOR OWNER", ""),
    "S-1-3-1": ("CREATOR GROUP", ""),
    "S-1-3-4": ("OWNER RIGHTS", ""),
    "S-1-5-2": ("NETWORK", NT_AUTHORITY_NAME),
    "S-1-5-3": ("BATCH", NT_AUTHORITY_NAME),
    "S-1-5-4": ("INTERACTIVE", NT_AUTHORITY_NAME),
    "S-1-5-6": ("SERVICE", NT_AUTHORITY_NAME),
    "S-1-5-7": ("ANONYMOUS LOGON", NT_AUTHORITY_NAME),
    "S-1-5-10": ("SELF", NT_AUTHORITY_NAME),
    "S-1-5-11": ("Authenticated Users", NT_AUTHORITY_NAME),
    "S-1-5-18": ("SYSTEM", NT_AUTHORITY_NAME),
    "S-1-5-19": ("LOCAL SERVICE", NT_AUTHORITY_NAME),
    "S-1-5-20": ("NETWORK SERVICE", NT_AUTHORITY_NAME),
}
ALIASES = {
    "S-1-5-32-544": "Administrators",
    "S-1-5-32-545": "Users",
    "S-1-5-32-546": "Guests",
    "S-1-5-32-551": "Backup Operators",
}
"""The groups of BUILTIN that lists in the wild name."""


def _fixed() -> Iterator[Account]:
    for text, (name, domain) in _WELL_KNOWN.items():
        yield Account(Sid.parse(text), name, domain, SidUse.WELL_KNOWN_GROUP)
    for text, name in ALIASES.items():
        yield Account(Sid.parse(text), name, BUILTIN_NAME, SidUse.ALIAS)
    yield Account(BUILTIN, BUILTIN_NAME, BUILTIN_NAME, SidUse.DOMAIN)


_BY_SID = {account.sid: account for account in _fixed()}


class Names:
    """Every account of one server as it is at the moment; its own domain is called as the server itself.

    Raises UserError when the files cannot be read.
    """

    def __init__(self, server_name: str, users: UserStore) -> None:
        self.server_name = server_name
        local = [user for user in users.list() if not user.peer]
        self.machine = Sid.parse(users.machine_sid) if users.machine_sid else None
        """The SID of the server's own domain; None before the first user or group."""
        self.users = [self._local(user.sid, user.name, SidUse.USER) for user in local]
        """By name, without the accounts of other servers."""
        self.groups = [self._local(group.sid, group.name, SidUse.ALIAS) for group in users.groups.list()]
        self.administrators = frozenset(Sid.parse(user.sid) for user in local if user.uid == 0)
        """Who acts as uid 0."""
        self.members = {
            Sid.parse(group.sid): sorted(map(Sid.parse, group.members)) for group in users.groups.list()
        }
        """Of each local group."""
        own = [*self.users, *self.groups]
        if self.machine is not None:
            own.append(Account(self.machine, server_name, server_name, SidUse.DOMAIN))
        self._by_sid = _BY_SID | {account.sid: account for account in own}
        self._domains: dict[str, Account] = {}
        self._by_name: dict[str, Account] = {}
        for account in (*own, *_BY_SID.values()):
            name, domain = account.name.casefold(), account.domain_name.casefold()
            self._by_name.setdefault(name, account)
            self._by_name.setdefault(f"{domain}\\{name}", account)
            if account.use is SidUse.DOMAIN:
                self._domains[name] = account

    def of_sid(self, sid: Sid) -> Account | None:
        """Who a SID is; None for those that nobody here knows."""
        if sid.identifier_authority == UNIX_AUTHORITY and len(sid.sub_authorities) == 2:
            kind, number = sid.sub_authorities
            if kind in _UNIX_KINDS:
                domain, use = _UNIX_KINDS[kind]
                return Account(sid, str(number), domain, use)
        return self._by_sid.get(sid)

    def of_name(self, name: str) -> Account | None:
        """Who is called that, with or without a domain in front; case does not count.

        A domain alone may have its backslash behind it, and nothing at all is BUILTIN, as on Windows.
        """
        folded = name.casefold()
        domain, _, rest = folded.rpartition("\\")
        if not rest:
            return self._domains.get(domain or BUILTIN_NAME.casefold())
        for kind, (unix, _) in _UNIX_KINDS.items():
            if domain == unix.casefold() and _NUMBER.fullmatch(rest) and int(rest) < 2**32:
                return self.of_sid(Sid(UNIX_AUTHORITY, (kind, int(rest))))
        return self._by_name.get(folded)

    def aliases(self) -> list[Account]:
        """The groups of BUILTIN."""
        return [_BY_SID[Sid.parse(text)] for text in ALIASES]

    def _local(self, sid: str, name: str, use: SidUse) -> Account:
        return Account(Sid.parse(sid), name, self.server_name, use)


class CurrentNames:
    """`Names` as they are now, made anew when an account has changed: of a thousand accounts that takes milliseconds."""

    def __init__(self, users: UserStore) -> None:
        self._users = users
        self._made: tuple[str, tuple[int, int], Names] | None = None

    def of(self, server_name: str) -> Names:
        """The names of a server that is called so. Raises UserError when the files cannot be read."""
        revision = self._users.revision
        if self._made is None or self._made[:2] != (server_name, revision):
            self._made = server_name, revision, Names(server_name, self._users)
        return self._made[2]
