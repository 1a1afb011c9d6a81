"""The shares of a server, and the file they are kept in unless a configuration declares them: DIR/shares.json."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from odxfs.errors import ExitCode, UserError
from odxfs.offload import OffloadPolicy

logger = logging.getLogger(__name__)

FILE_NAME = "shares.json"
FORMAT_VERSION = 1
IPC_NAME = "IPC$"
TOKENS_NAME = "TOKENS$"
MAX_SHARE_NAME_CHARACTERS = 80
"""The longest share name that NetShareEnum's clients show (NNLEN in Windows' lmcons.h)."""

_FORBIDDEN = set('"/\\[]:|<>+=;,*?')


@dataclass(frozen=True, slots=True)
class Share:
    """A name under which a volume, or the folder `path` of it ("" is its root, "/" separates), is served."""

    name: str
    volume: str = "main"
    path: str = ""
    comment: str = ""
    read_only: bool = False
    copy_offload: bool = True
    encrypt_required: bool = False
    offload_policy: str = "pin"

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
        self._file = directory / FILE_NAME
        self._stamp: tuple[int, int, int] | None = None
        self._shares: dict[str, Share] = {}

    def list(self) -> list[Share]:
        """The file shares by name, without IPC$ and TOKENS$."""
        self._refresh()
        return sorted(self._shares.values(), key=lambda share: share.name.casefold())

    def find(self, name: str) -> Share | None:
        """The share of that name, IPC$ and TOKENS$ included; None when there is none."""
        if name.casefold() in _ALWAYS_THERE:
            return _ALWAYS_THERE[name.casefold()]
        self._refresh()
        return self._shares.get(name.casefold())

    def add(self, share: Share) -> None:
        """Add `share`; UserError when the name is taken or no share can be called so."""
        check_share_name(share.name)
        self._refresh()
        if share.name.casefold() in self._shares:
            raise UserError(f"there is already a share {share.name!r}", ExitCode.EXISTS)
        self._store({**self._shares, share.name.casefold(): share})

    def change(self, name: str, fields: Mapping[str, Any]) -> None:
        """Give the share other values of these fields; UserError when there is none of that name."""
        self._refresh()
        if name.casefold() not in self._shares:
            raise UserError(f"there is no share {name!r}", ExitCode.NOT_FOUND)
        self._store({**self._shares, name.casefold(): replace(self._shares[name.casefold()], **fields)})

    def delete(self, name: str) -> None:
        """Remove the share; UserError when there is none."""
        self._refresh()
        if name.casefold() not in self._shares:
            raise UserError(f"there is no share {name!r}", ExitCode.NOT_FOUND)
        self._store({key: share for key, share in self._shares.items() if key != name.casefold()})

    def _refresh(self) -> None:
        try:
            found = os.stat(self._file)
        except FileNotFoundError:
            self._stamp, self._shares = None, {}
            return
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._shares = _parse(self._file)
            self._stamp = stamp

    def _store(self, shares: Mapping[str, Share]) -> None:
        text = json.dumps(
            {"version": FORMAT_VERSION, "shares": [asdict(share) for share in shares.values()]}, indent=2
        )
        descriptor, temporary = tempfile.mkstemp(dir=self._file.parent, prefix=FILE_NAME)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._file)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_directory(self._file.parent)
        self._refresh()


def check_share_name(name: str) -> None:
    """Raise UserError for a name that no share of files may have."""
    if not 1 <= len(name) <= MAX_SHARE_NAME_CHARACTERS or not name.isprintable() or _FORBIDDEN & set(name):
        raise UserError(f"{name!r} cannot be the name of a share")
    if name.casefold() in _ALWAYS_THERE:
        raise UserError(f"{name.upper()} is always there and serves no files", ExitCode.EXISTS)


def _parse(file: Path) -> dict[str, Share]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != FORMAT_VERSION:
            raise UserError(
                f"{file} has format {content['version']!r}, this program reads {FORMAT_VERSION}",
                ExitCode.FORMAT,
            )
        shares = [Share(**fields) for fields in content["shares"]]
        for share in shares:
            OffloadPolicy.of(share.offload_policy)
        return {share.name.casefold(): share for share in shares}
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}", ExitCode.CONFIG) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is not a list of shares: {error}", ExitCode.CONFIG) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
