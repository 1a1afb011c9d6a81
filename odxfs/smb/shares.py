"""The shares of a server, and the file they are kept in unless a configuration declares them: DIR/shares.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from odxfs.errors import ExitCode, UserError
from odxfs.offload_policy import OffloadPolicy
from odxfs.record_file import RecordFile

FILE_NAME = "shares.json"
FORMAT_VERSION = 1
IPC_NAME = "IPC$"
TOKENS_NAME = "TOKENS$"
MAX_SHARE_NAME_CHARACTERS = 80
"""The longest share name that NetShareEnum's clients show (NNLEN in Windows' lmcons.h)."""

COMMENT_PATTERN = r"[^\x00-\x1f\ud800-\udfff]{0,255}"
"""A line of text; half a surrogate pair, which stands for a byte that is not UTF-8, cannot be sent."""

_FORBIDDEN = set('"/\\[]:|<>+=;,*?')


@dataclass(frozen=True, slots=True)
class Share:
    """A name under which a volume, or the folder `path` of it ("" is its root, "/" separates), is served.

    `access_based_enumeration`: listings leave out what the user may not read.
    `continuously_available`: clients may have persistent opens, which are there again after a restart of the server.
    """

    name: str
    volume: str = "main"
    path: str = ""
    comment: str = ""
    read_only: bool = False
    copy_offload: bool = True
    encrypt_required: bool = False
    offload_policy: str = "pin"
    continuously_available: bool = False
    access_based_enumeration: bool = False

    @property
    def is_ipc(self) -> bool:
        """True for IPC$, which holds pipes instead of files."""
        return self.name == IPC_NAME

    @property
    def is_tokens(self) -> bool:
        """True for TOKENS$, on which other servers read tokens."""
        return self.name == TOKENS_NAME


IPC_SHARE = Share(IPC_NAME, volume="", comment="Remote IPC")
TOKENS_SHARE = Share(TOKENS_NAME, volume="", read_only=True, copy_offload=False, encrypt_required=True)
_ALWAYS_THERE = {share.name.casefold(): share for share in (IPC_SHARE, TOKENS_SHARE)}


class Shares(Protocol):
    """The shares that a server serves, wherever they are kept."""

    def list(self) -> list[Share]:
        """The file shares by name, without IPC$ and TOKENS$."""

    def find(self, name: str) -> Share | None:
        """The share of that name, IPC$ and TOKENS$ included; None if there is none. Raises UserError when they cannot be read."""


class DeclaredShares:
    """Shares that a configuration declares: these and no others."""

    def __init__(self, shares: Iterable[Share]) -> None:
        self._shares = {share.name.casefold(): share for share in shares}

    def list(self) -> list[Share]:
        """The file shares by name, without IPC$ and TOKENS$."""
        return sorted(self._shares.values(), key=lambda share: share.name.casefold())

    def find(self, name: str) -> Share | None:
        """The share of that name, IPC$ and TOKENS$ included; None when there is none."""
        return _ALWAYS_THERE.get(name.casefold()) or self._shares.get(name.casefold())


class ShareStore:
    """Reads the file again when somebody else changed it; writes it atomically. Names are compared without case."""

    def __init__(self, directory: Path) -> None:
        self._file = RecordFile(directory / FILE_NAME, self._load, self._dump)
        self._shares: dict[str, Share] = {}

    def list(self) -> list[Share]:
        """The file shares by name, without IPC$ and TOKENS$."""
        self._file.refresh()
        return sorted(self._shares.values(), key=lambda share: share.name.casefold())

    def find(self, name: str) -> Share | None:
        """The share of that name, IPC$ and TOKENS$ included; None when there is none."""
        if name.casefold() in _ALWAYS_THERE:
            return _ALWAYS_THERE[name.casefold()]
        self._file.refresh()
        return self._shares.get(name.casefold())

    def add(self, share: Share) -> None:
        """Add `share`; UserError when the name is taken, or no share can be called so or have such a comment."""
        check_share_name(share.name)
        if not re.fullmatch(COMMENT_PATTERN, share.comment):
            raise UserError(
                f"{share.comment!r} cannot be the comment of a share: it is a line of up to 255 characters"
            )
        with self._file.changing():
            if share.name.casefold() in self._shares:
                raise UserError(f"there is already a share {share.name!r}", ExitCode.EXISTS)
            self._shares[share.name.casefold()] = share

    def change(self, name: str, fields: Mapping[str, Any]) -> None:
        """Give the share other values of these fields; UserError when there is none of that name."""
        with self._file.changing():
            self._shares[name.casefold()] = replace(self._known(name), **fields)

    def delete(self, name: str) -> None:
        """Remove the share; UserError when there is none."""
        with self._file.changing():
            self._known(name)
            del self._shares[name.casefold()]

    def _known(self, name: str) -> Share:
        share = self._shares.get(name.casefold())
        if share is None:
            raise UserError(f"there is no share {name!r}", ExitCode.NOT_FOUND)
        return share

    def _load(self, content: dict[str, Any] | None) -> None:
        shares: list[Share] = []
        if content is not None:
            self._file.require_format(content, FORMAT_VERSION)
            shares = [Share(**fields) for fields in content["shares"]]
        for share in shares:
            OffloadPolicy.of(share.offload_policy)
        self._shares = {share.name.casefold(): share for share in shares}

    def _dump(self) -> dict[str, Any]:
        return {"version": FORMAT_VERSION, "shares": [asdict(share) for share in self._shares.values()]}


def check_share_name(name: str) -> None:
    """Raise UserError for a name that no share of files may have."""
    if not 1 <= len(name) <= MAX_SHARE_NAME_CHARACTERS or not name.isprintable() or _FORBIDDEN & set(name):
        raise UserError(f"{name!r} cannot be the name of a share")
    if name.casefold() in _ALWAYS_THERE:
        raise UserError(f"{name.upper()} is always there and serves no files", ExitCode.EXISTS)
