"""What a cell of the matrix is: one client in one dialect, signed or encrypted, on one server."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared_mount import SharedMount

DIALECTS = ("2.1", "3.0", "3.0.2", "3.1.1")
PROTECTIONS = ("signed", "encrypted")


class CannotDo(Exception):
    """The client has no way to do this; the reason is shown in place of a result."""


class Fault(Exception):
    """Something did not happen as it has to."""


@dataclass(frozen=True)
class Cell:
    """Where and how a client works. `folder` is a local folder of the cell alone, `original` a file to copy.

    Clients work in the folder `name` of the share, which is empty.
    """

    server: SharedMount
    dialect: str
    protection: str
    folder: Path
    original: Path
    name: str

    @property
    def encrypts(self) -> bool:
        return self.protection == "encrypted"

    @property
    def content(self) -> bytes:
        return self.original.read_bytes()

    def on_mount(self, name: str) -> Path:
        """A file of the cell, as local programs see it."""
        return self.server.mountpoint / self.name / name

    def require_copy(self, file: Path) -> None:
        """Fault unless the file's bytes are the original's."""
        require(_hash_of(file) == _hash_of(self.original), f"{file.name} has other bytes than the original")


Client = Callable[[Cell], None]
"""Does in a cell what a user would do; raises CannotDo or Fault, or whatever the client raises."""


def require(holds: bool, sentence: str) -> None:
    """Fault with that sentence unless it holds."""
    if not holds:
        raise Fault(sentence)


def _hash_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
