"""The users who may log in, in one JSON file.

The file holds the NT hash of each password (MD4 of its UTF-16 form), because NTLM needs nothing else and nothing less. An NT
hash is password-equivalent: who reads it can log in without the password. Hence mode 0600, and hence nothing here logs it.
"""

import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odxfs.errors import ExitCode, UserError
from odxfs.record_file import RecordFile, locked_directory
from odxfs.smb.auth.groups import Group, GroupStore, account_sid, may_be_account_name
from odxfs.smb.auth.md4 import md4

USERS_FILE = "users.json"
FORMAT_VERSION, FORMAT_VERSION_WITH_PEERS = 1, 2
"""A file with a peer has another version, since older programs would take it for a user of files."""
FIRST_RID = 1000
"""Where Windows begins to number the accounts that people make."""
MAX_ID = 2**32 - 2
"""The largest uid and gid; the one above means "leave it" to chown(2)."""

_NT_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class User:
    """One account. `nt_hash` is password-equivalent and is left out of repr; `sid` is S-1-5-21-machine-rid."""

    name: str
    nt_hash: bytes = field(repr=False)
    uid: int
    gid: int
    sid: str
    peer: bool = False
    """Whether this is another server, which reads tokens and sees nothing else."""


def nt_hash(password: str) -> bytes:
    """NTOWFv1 (MS-NLMP 3.3.1): MD4 of the password in UTF-16."""
    return md4(password.encode("utf-16-le"))


def fold(name: str) -> str:
    """The form under which a name is looked up: case does not count."""
    return name.casefold()


class UserStore:
    """`users.json` of a pool directory. Every reading call first looks whether the file has changed.

    `groups` are the groups that these users may be in.
    """

    def __init__(self, directory: Path) -> None:
        self.groups = GroupStore(directory)
        self._file = RecordFile(directory / USERS_FILE, self._load, self._dump)
        self._machine = ""
        self._next_rid = FIRST_RID
        self._users: dict[str, User] = {}
        self._revision = 0

    @property
    def revision(self) -> tuple[int, int]:
        """Something else when a user or a group has changed. Raises UserError(CONFIG) when a file is damaged."""
        self._file.refresh()
        return self._revision, self.groups.revision

    def find(self, name: str) -> User | None:
        """The user of that name, whatever its case. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return self._users.get(fold(name))

    def list(self) -> list[User]:
        """All users, by name."""
        self._file.refresh()
        return sorted(self._users.values(), key=lambda user: fold(user.name))

    def add(self, name: str, password: str, uid: int, gid: int, *, peer: bool = False) -> User:
        """A new user, or a server's account.

        Raises UserError: EXISTS when there is one, USAGE for a name that no Windows client could send.
        """
        if not may_be_account_name(name):
            raise UserError(f"{name!r} cannot be a user name")
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
            raise UserError(f"uid and gid are numbers from 0 to {MAX_ID}")
        with self._file.changing():
            if fold(name) in self._users or self.groups.find(name) is not None:
                raise UserError(f"there is a user or group {name!r} already", ExitCode.EXISTS)
            user = User(name, nt_hash(_checked(password)), uid, gid, self._new_sid(), peer)
            self._users[fold(name)] = user
        return user

    def add_group(self, name: str, gid: int) -> Group:
        """A new group without members. Raises UserError as GroupStore.add does, and EXISTS for the name of a user."""
        with locked_directory(self._file.path.parent):
            with self._file.changing(is_locked=True):
                if fold(name) in self._users:
                    raise UserError(f"there is a user {name!r}", ExitCode.EXISTS)
                sid = self._new_sid()
            return self.groups.add(name, gid, sid)

    def set_member(self, group: str, name: str, *, member: bool) -> None:
        """Put a user into a group or take him out. Raises UserError(NOT_FOUND)."""
        self._file.refresh()
        self.groups.set_member(group, self._known(name).sid, member=member)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password. Raises UserError(NOT_FOUND)."""
        with self._file.changing():
            old = self._known(name)
            self._users[fold(name)] = replace(old, nt_hash=nt_hash(_checked(password)))

    def delete(self, name: str) -> None:
        """Forget a user; its SID is never given again. Raises UserError(NOT_FOUND)."""
        with self._file.changing():
            self._known(name)
            del self._users[fold(name)]

    @property
    def machine_sid(self) -> str:
        """S-1-5-21-a-b-c, drawn once when the first user or group is added; empty before."""
        self._file.refresh()
        return self._machine

    def _new_sid(self) -> str:
        """A SID that nobody has had; inside `changing`."""
        self._machine = self._machine or _new_machine_sid()
        self._next_rid += 1
        return f"{self._machine}-{self._next_rid - 1}"

    def _known(self, name: str) -> User:
        user = self._users.get(fold(name))
        if user is None:
            raise UserError(f"there is no user {name!r}", ExitCode.NOT_FOUND)
        return user

    def _load(self, content: dict[str, Any] | None) -> None:
        if content is None:
            self._revision += bool(self._users)
            self._users = {}
            return
        self._file.require_format(content, FORMAT_VERSION, FORMAT_VERSION_WITH_PEERS)
        machine, next_rid = content["machine_sid"], int(content["next_rid"])
        account_sid(f"{machine}-{next_rid}")
        users = [_load_user(entry) for entry in content["users"]]
        self._machine, self._next_rid = machine, next_rid
        self._users = {fold(user.name): user for user in users}
        self._revision += 1

    def _dump(self) -> dict[str, Any]:
        has_peers = any(user.peer for user in self._users.values())
        return {
            "version": FORMAT_VERSION_WITH_PEERS if has_peers else FORMAT_VERSION,
            "machine_sid": self._machine,
            "next_rid": self._next_rid,
            "users": [_dump_user(user) for user in self._users.values()],
        }


def _new_machine_sid() -> str:
    return "S-1-5-21-" + "-".join(str(secrets.randbits(32)) for _ in range(3))


def _dump_user(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "nt_hash": user.nt_hash.hex(),
        "uid": user.uid,
        "gid": user.gid,
        "sid": user.sid,
        **({"peer": True} if user.peer else {}),
    }


def _load_user(entry: dict[str, Any]) -> User:
    if not _NT_HASH.fullmatch(entry["nt_hash"]):
        raise ValueError(f"nt_hash of {entry['name']}")
    return User(
        str(entry["name"]),
        bytes.fromhex(entry["nt_hash"]),
        int(entry["uid"]),
        int(entry["gid"]),
        account_sid(entry["sid"]),
        entry.get("peer", False) is True,
    )


def _checked(password: str) -> str:
    if not password:
        raise UserError("a password cannot be empty: a login without one is an anonymous login")
    try:
        password.encode()
    except UnicodeEncodeError as error:
        raise UserError("the password is not UTF-8 text") from error
    return password
