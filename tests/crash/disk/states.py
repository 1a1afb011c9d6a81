"""The states in which a crash may leave a recorded disk, and one of them written out as real files.

What is assumed of the disk and its file system (ext4, XFS), no more and no less:
- What a successful fsync or fdatasync of a file covers is there: bytes, size, holes.
- Of what was not synced any part may be there: each operation on its own, in any order, and of a write each sector of 512
  bytes. A sector is old or new, never a mix, and never another file's.
- A file that was made longer and whose bytes are not there reads as zeros.
- A name is made or taken away as a whole, durably with an fsync of its directory, and by nothing else.
- What a failed sync was to make durable may be lost for good, whatever is synced later.
"""

import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.disk.log import (
    SECTOR_BYTES,
    Enter,
    Mark,
    Punch,
    Record,
    Remove,
    Resize,
    Sync,
    SyncFailed,
    Write,
)
from tests.volume.model.content import Content

Uncertain = Write | Resize | Punch | Enter | Remove
"""A record whose effect a crash may take away."""

EXHAUSTIVE = 5
"""Up to so many uncertain operations every subset of them is a state to look at; of more, a choice."""


@dataclass
class Image:
    """Files and directories by number."""

    files: dict[int, Content] = field(default_factory=dict)
    directories: dict[int, dict[str, int]] = field(default_factory=dict)

    def copy(self) -> "Image":
        """The same, to be changed by itself."""
        return Image(
            {number: content.copy() for number, content in self.files.items()},
            {number: names.copy() for number, names in self.directories.items()},
        )

    def apply(self, records: Iterable[Uncertain]) -> None:
        """Do these operations, those of files without a name included: a name may come later."""
        for record in records:
            match record:
                case Write(node, offset, data):
                    self._file(node).write(offset, data)
                case Resize(node, size):
                    self._file(node).resize(size)
                case Punch(node, offset, length):
                    self._file(node).zero(offset, length)
                case Enter(directory, name, node, is_directory):
                    self.directories.setdefault(directory, {})[name] = node
                    if is_directory:
                        self.directories.setdefault(node, {})
                    else:
                        self._file(node)
                case Remove(directory, name):
                    self.directories.setdefault(directory, {}).pop(name, None)

    def write_out(self, node: int, place: Path) -> None:
        """Make the tree below a directory as real files in `place`, which is made, too."""
        place.mkdir()
        for name, child in self.directories.get(node, {}).items():
            if child in self.directories:
                self.write_out(child, place / name)
            else:
                _write_file(place / name, self._file(child))

    def _file(self, node: int) -> Content:
        return self.files.setdefault(node, Content())


def _write_file(path: Path, content: Content) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(descriptor, content.size)
        for offset, length in content.runs(0, content.size):
            os.pwrite(descriptor, content.read(offset, length), offset)
    finally:
        os.close(descriptor)


@dataclass
class Crash:
    """A moment at which the power goes."""

    durable: Image
    uncertain: list[Uncertain]
    notes: list[str]
    """The marks before it, in order."""

    def states(self, choose: random.Random, at_most: int) -> Iterator[tuple[str, Image]]:
        """(what it is, the state): every one, or where those are too many, the telling ones and some by chance."""
        for what, kept in _choices(self.uncertain, choose, at_most):
            image = self.durable.copy()
            image.apply(kept)
            yield what, image


def crashes(log: list[Record], choose: random.Random) -> Iterator[Crash]:
    """Every moment just before a sync, and the end: the states of any other moment are among those of the next of these.

    What a failed sync was to cover is lost or as uncertain as before, operation by operation, by chance.
    """
    durable, uncertain, notes = Image(), list[Uncertain](), list[str]()
    for record in log:
        match record:
            case Mark(note):
                notes.append(note)
            case Sync(node):
                yield Crash(durable.copy(), uncertain.copy(), notes.copy())
                durable.apply([waiting for waiting in uncertain if _belongs(waiting) == node])
                uncertain = [waiting for waiting in uncertain if _belongs(waiting) != node]
            case SyncFailed(node):
                uncertain = [
                    waiting for waiting in uncertain if _belongs(waiting) != node or choose.random() < 0.5
                ]
            case _:
                uncertain.append(record)
    yield Crash(durable, uncertain, notes)


def _belongs(record: Uncertain) -> int:
    """The file or directory whose sync makes an operation durable."""
    return record.directory if isinstance(record, Enter | Remove) else record.node


def _choices(
    uncertain: list[Uncertain], choose: random.Random, at_most: int
) -> Iterator[tuple[str, list[Uncertain]]]:
    count = len(uncertain)
    if count <= EXHAUSTIVE:
        for bits in range(1 << count):
            kept = [record for at, record in enumerate(uncertain) if bits >> at & 1]
            yield f"operations {bits:0{count}b} of {count}", kept
        at_most = max(0, at_most - (1 << count))
    else:
        yield "nothing", []
        yield "everything", uncertain
        at_most = max(0, at_most - 2)
    if not count:
        return
    for _ in range(at_most):
        yield choose.choice((_prefix, _without_one, _one_torn, _by_chance))(uncertain, choose)


def _prefix(uncertain: list[Uncertain], choose: random.Random) -> tuple[str, list[Uncertain]]:
    """As a disk does that keeps the order, torn in the operation under way."""
    end = choose.randrange(len(uncertain))
    return f"the first {end} and part of the next", uncertain[:end] + _torn(uncertain[end], choose)


def _without_one(uncertain: list[Uncertain], choose: random.Random) -> tuple[str, list[Uncertain]]:
    missing = choose.randrange(len(uncertain))
    return f"all but number {missing}", uncertain[:missing] + uncertain[missing + 1 :]


def _one_torn(uncertain: list[Uncertain], choose: random.Random) -> tuple[str, list[Uncertain]]:
    at = choose.randrange(len(uncertain))
    return f"all, number {at} torn", [*uncertain[:at], *_torn(uncertain[at], choose), *uncertain[at + 1 :]]


def _by_chance(uncertain: list[Uncertain], choose: random.Random) -> tuple[str, list[Uncertain]]:
    """Each operation there, torn or lost."""
    likely = choose.choice((0.2, 0.5, 0.9))
    kept: list[Uncertain] = []
    for record in uncertain:
        kept += (
            _torn(record, choose) if choose.random() < 0.3 else [record] if choose.random() < likely else []
        )
    return f"each with {likely}", kept


def _torn(record: Uncertain, choose: random.Random) -> list[Uncertain]:
    """Some sectors of a write; of anything else nothing."""
    if not isinstance(record, Write):
        return []
    cuts = [
        cut - record.offset
        for cut in range(
            record.offset // SECTOR_BYTES * SECTOR_BYTES, record.offset + len(record.data), SECTOR_BYTES
        )
    ]
    cuts[0] = 0
    sectors = list(zip(cuts, [*cuts[1:], len(record.data)], strict=True))
    cut = choose.randrange(len(sectors) + 1)
    kept = choose.choice(
        (sectors[:cut], sectors[cut:], [sector for sector in sectors if choose.random() < 0.5])
    )
    return [Write(record.node, record.offset + low, record.data[low:high]) for low, high in kept]
