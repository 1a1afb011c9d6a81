"""What a recording disk writes down: one record for each operation that changes it, in the order in which they happened."""

import enum
from dataclasses import dataclass
from typing import NamedTuple

SECTOR_BYTES = 512
"""What a disk writes whole or not at all."""

ROOT = 1
"""The number of the root directory."""


class Write(NamedTuple):
    """Bytes of a file were replaced."""

    node: int
    offset: int
    data: bytes


class Resize(NamedTuple):
    """The end of a file was moved (ftruncate)."""

    node: int
    size: int


class Punch(NamedTuple):
    """A range was made a hole (fallocate)."""

    node: int
    offset: int
    length: int


class Enter(NamedTuple):
    """A name was made in a directory, for a new file or directory."""

    directory: int
    name: str
    node: int
    is_directory: bool


class Remove(NamedTuple):
    """A name was taken out of a directory."""

    directory: int
    name: str


class Sync(NamedTuple):
    """fsync or fdatasync of a file, or fsync of a directory, has succeeded."""

    node: int


class SyncFailed(NamedTuple):
    """It has failed: what was to be made durable may be lost, whatever syncs come later."""

    node: int


class Mark(NamedTuple):
    """The test noted something at this point; all before it had happened."""

    note: str


Record = Write | Resize | Punch | Enter | Remove | Sync | SyncFailed | Mark


class Fault(enum.Enum):
    """How an operation fails."""

    ERROR = "EIO"
    FULL = "ENOSPC"
    """From here on the disk has no room, but for what is given back."""
    SHORT = "short write"
    """A write is done in part, and says so; other operations do not fail."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The `at`th changing operation from now on (the first is 1) fails; with `lasting` all behind it, too."""

    at: int
    fault: Fault
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """The `at`th read from now on fails with EIO; with `lasting` all behind it, too."""

    at: int
    lasting: bool = False
