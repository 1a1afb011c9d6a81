"""The local groups of users, in one JSON file beside that of the users: `groups.json`.

A group has a SID, by which access lists name it, and a gid, by which it counts on volumes. Members are kept by SID, so that a
user who is removed and added again is not in the groups of old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from odxfs.errors import ExitCode, UserError
from odxfs.record_file import RecordFile
from odxfs.wire.fscc.sid import Sid

GROUPS_FILE = "groups.json"
FORMAT_VERSION = 1
MAX_GID = 2**32 - 2
"""The largest gid; the one above means "leave it" to chown(2)."""

_NAME = re.compile(r"""[^"/\\\[\]:;|=,+*?<>@\x00-\x1f\x7f\ud800-\udfff]{1,64}""")
"""What Windows allows in the name of an account, without "@", which separates a name from a realm, and without halves of
surrogate pairs, which stand for bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group; `sid` is S-1-5-21-machine-rid, `members` are the SIDs of users."""

    name: str
    gid: int
    sid: str
    members: frozenset[str] = frozenset()


class GroupStore:
    """`groups.json` of a pool or SVM directory. Every reading call first looks whether the file has changed."""

    def __init__(self, directory: Path) -> None:
        self._file = RecordFile(directory / GROUPS_FILE, self._load, self._dump)
        self._groups: dict[str, Group] = {}
        self._revision = 0

    @property
    def revision(self) -> int:
        """Another number when a group has changed. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return self._revision

    def list(self) -> list[Group]:
        """All groups, by name. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return sorted(self._groups.values(), key=lambda group: group.name.casefold())

    def find(self, name: str) -> Group | None:
        """The group of that name, whatever its case. Raises UserError(CONFIG) when the file is damaged."""
        self._file.refresh()
        return self._groups.get(name.casefold())

    def of(self, user_sid: str) -> tuple[Group, ...]:
        """The groups that a user is in. Raises UserError(CONFIG) when the file is damaged."""
        return tuple(group for group in self.list() if user_sid in group.members)

    def add(self, name: str, gid: int, sid: str) -> Group:
        """A new group without members. Raises UserError: EXISTS, USAGE for a name that no client could send.

        The caller has locked the directory: only so he knows that there is no user of that name.
        """
        if not may_be_account_name(name):
            raise UserError(f"{name!r} cannot be the name of a group")
        if not 0 <= gid <= MAX_GID:
            raise UserError(f"a gid is a number from 0 to {MAX_GID}")
        with self._file.changing(is_locked=True):
            if name.casefold() in self._groups:
                raise UserError(f"there is a group {name!r} already", ExitCode.EXISTS)
            group = self._groups[name.casefold()] = Group(name, gid, sid)
        return group

    def delete(self, name: str) -> None:
        """Forget a group; its SID is never given again. Raises UserError(NOT_FOUND)."""
        with self._file.changing():
            self._known(name)
            del self._groups[name.casefold()]

    def set_member(self, name: str, user_sid: str, *, member: bool) -> None:
        """Put a user into a group or take him out; he is what he was until his next login. Raises UserError(NOT_FOUND)."""
        with self._file.changing():
            group = self._known(name)
            members = group.members | {user_sid} if member else group.members - {user_sid}
            self._groups[name.casefold()] = replace(group, members=members)

    def _known(self, name: str) -> Group:
        group = self._groups.get(name.casefold())
        if group is None:
            raise UserError(f"there is no group {name!r}", ExitCode.NOT_FOUND)
        return group

    def _load(self, content: dict[str, Any] | None) -> None:
        if content is None:
            self._revision += bool(self._groups)
            self._groups = {}
            return
        self._file.require_format(content, FORMAT_VERSION)
        groups = [_load_group(entry) for entry in content["groups"]]
        self._groups = {group.name.casefold(): group for group in groups}
        self._revision += 1

    def _dump(self) -> dict[str, Any]:
        return {"version": FORMAT_VERSION, "groups": [_dump_group(group) for group in self._groups.values()]}


def may_be_account_name(name: str) -> bool:
    """Whether a client could send it as the name of a user or group."""
    return _NAME.fullmatch(name) is not None and name.strip(" .") == name


def account_sid(spelt: object) -> str:
    """The SID of a user or group, S-1-5-21-machine-rid, as a file has it; ValueError for anything else."""
    sid = Sid.parse(str(spelt))
    if sid.identifier_authority != 5 or len(sid.sub_authorities) != 5 or sid.sub_authorities[0] != 21:
        raise ValueError(f"{sid} is no account's SID")
    return str(sid)


def _load_group(entry: dict[str, Any]) -> Group:
    sids = [account_sid(spelt) for spelt in (entry["sid"], *entry["members"])]
    return Group(str(entry["name"]), int(entry["gid"]), sids[0], frozenset(sids[1:]))


def _dump_group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "gid": group.gid, "sid": group.sid, "members": sorted(group.members)}
