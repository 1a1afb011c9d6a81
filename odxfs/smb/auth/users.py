"""The users who may log in, in one JSON file.

The file holds the NT hash of each password (MD4 of its UTF-16 form), because NTLM needs nothing else and nothing less. An NT
hash is password-equivalent: who reads it can log in without the password. Hence mode 0600, and hence nothing here logs it.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odxfs.errors import ExitCode, UserError
from odxfs.smb.auth.md4 import md4

USERS_FILE = "users.json"
FORMAT_VERSION, FORMAT_VERSION_WITH_PEERS = 1, 2
"""A file with a peer has another version, since older programs would take it for a user of files."""
FIRST_RID = 1000
MAX_ID = 2**32 - 2
"""The largest uid and gid; the one above means "leave it" to chown(2)."""
"""Where Windows begins to number the accounts that people make."""

_NAME = re.compile(r"""[^"/\\\[\]:;|=,+*?<>@\x00-\x1f\x7f]{1,64}""")
"""What Windows allows in an account name, without "@", which separates a name from a realm."""

_NT_HASH = re.compile(r"[0-9a-f]{32}")
_SID = re.compile(r"S-1-5-21-\d+-\d+-\d+")


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
    """`users.json` of a pool directory. Every reading call first looks whether the file has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / USERS_FILE
        self._stamp: tuple[int, int, int] | None = None
        self._machine = ""
        self._next_rid = FIRST_RID
        self._users: dict[str, User] = {}

    def find(self, name: str) -> User | None:
        """The user of that name, whatever its case. Raises UserError(CONFIG) when the file is damaged."""
        self._refresh()
        return self._users.get(fold(name))

    def list(self) -> list[User]:
        """All users, by name."""
        self._refresh()
        return sorted(self._users.values(), key=lambda user: fold(user.name))

    def add(self, name: str, password: str, uid: int, gid: int, *, peer: bool = False) -> User:
        """A new user, or a server's account.

        Raises UserError: EXISTS when there is one, USAGE for a name that no Windows client could send.
        """
        if not _NAME.fullmatch(name) or name.strip(" .") != name:
            raise UserError(f"{name!r} cannot be a user name")
        if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
            raise UserError(f"uid and gid are numbers from 0 to {MAX_ID}")
        with self._changing():
            if fold(name) in self._users:
                raise UserError(f"there is a user {name!r} already", ExitCode.EXISTS)
            sid = f"{self._machine}-{self._next_rid}"
            user = User(name, nt_hash(_checked(password)), uid, gid, sid, peer)
            self._next_rid += 1
            self._users[fold(name)] = user
        return user

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password. Raises UserError(NOT_FOUND)."""
        with self._changing():
            old = self._known(name)
            self._users[fold(name)] = replace(old, nt_hash=nt_hash(_checked(password)))

    def delete(self, name: str) -> None:
        """Forget a user; its SID is never given again. Raises UserError(NOT_FOUND)."""
        with self._changing():
            self._known(name)
            del self._users[fold(name)]

    @property
    def machine_sid(self) -> str:
        """S-1-5-21-a-b-c, drawn once when the first user is added; empty before."""
        self._refresh()
        return self._machine

    def _known(self, name: str) -> User:
        user = self._users.get(fold(name))
        if user is None:
            raise UserError(f"there is no user {name!r}", ExitCode.NOT_FOUND)
        return user

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the file under a lock, so that two commands at a time do not undo each other."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._stamp = None
            self._refresh()
            if not self._machine:
                self._machine = "S-1-5-21-" + "-".join(str(secrets.randbits(32)) for _ in range(3))
            yield
            self._write()
            os.fsync(descriptor)
        finally:
            self._stamp = None
            os.close(descriptor)

    def _write(self) -> None:
        users = [
            {
                "name": user.name,
                "nt_hash": user.nt_hash.hex(),
                "uid": user.uid,
                "gid": user.gid,
                "sid": user.sid,
                **({"peer": True} if user.peer else {}),
            }
            for user in self._users.values()
        ]
        content = {
            "version": FORMAT_VERSION_WITH_PEERS if any("peer" in user for user in users) else FORMAT_VERSION,
            "machine_sid": self._machine,
            "next_rid": self._next_rid,
            "users": users,
        }
        temporary = self._path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    def _refresh(self) -> None:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._users = None, {}
            return
        stamp = (now.st_ino, now.st_mtime_ns, now.st_size)
        if stamp == self._stamp:
            return
        try:
            content = json.loads(self._path.read_text("utf-8"))
            self._load(content)
        except OSError as error:
            raise UserError(f"{self._path} cannot be read: {error.strerror}", ExitCode.CONFIG) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._path} is damaged: {error}", ExitCode.CONFIG) from error
        self._stamp = stamp

    def _load(self, content: dict[str, Any]) -> None:
        if content["version"] not in (FORMAT_VERSION, FORMAT_VERSION_WITH_PEERS):
            raise UserError(
                f"{self._path} has format {content['version']}, not {FORMAT_VERSION_WITH_PEERS}",
                ExitCode.FORMAT,
            )
        machine, next_rid = content["machine_sid"], int(content["next_rid"])
        if not _SID.fullmatch(machine):
            raise ValueError("machine_sid")
        users = [_load_user(entry) for entry in content["users"]]
        self._machine, self._next_rid = machine, next_rid
        self._users = {fold(user.name): user for user in users}


def _load_user(entry: dict[str, Any]) -> User:
    if not _NT_HASH.fullmatch(entry["nt_hash"]):
        raise ValueError(f"nt_hash of {entry['name']}")
    return User(
        str(entry["name"]),
        bytes.fromhex(entry["nt_hash"]),
        int(entry["uid"]),
        int(entry["gid"]),
        str(entry["sid"]),
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
