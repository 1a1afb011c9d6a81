"""What a file must hold: a ledger beside each file that outlives the client that writes it, whatever moment that is killed at.

A file is cells of 512 bytes. Each write gives the cells it covers a higher generation, noted as intended before the write and
as acknowledged after it; a cell then must hold a generation from the acknowledged to the intended, whole.
"""

from pathlib import Path
from typing import Self

import numpy as np

CELL_BYTES = 512
_WORDS = CELL_BYTES // 8
_STEPS = np.arange(_WORDS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class WrongData(Exception):
    """A file does not hold what was written to it."""


class Ledger:
    """Of one file of fixed size. `identity` goes into each cell, so that another file's data is not taken for this one's."""

    def __init__(self, path: Path, cells: int, identity: int) -> None:
        self.path = path
        self.cells = cells
        self.identity = identity
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(cells * 8)
        noted = np.memmap(path, np.uint32, "r+", shape=(2, cells))
        self._acknowledged, self._intended = noted[0], noted[1]

    @classmethod
    def of(cls, folder: Path, name: str, size: int) -> Self:
        """The ledger of the file of that name; a number in the ledger's own name keeps its identity."""
        identity = sum(name.encode()) * 2654435761 % 2**31 ^ len(name)
        return cls(folder / f"{name.replace('/', '+')}.ledger", size // CELL_BYTES, identity)

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return self.cells * CELL_BYTES

    @property
    def is_written(self) -> bool:
        """Whether every cell has been acknowledged once."""
        return bool(self._acknowledged.all())

    def intend(self, first: int, count: int) -> bytes:
        """Note that these cells are about to be written; what to write."""
        part = slice(first, first + count)
        self._intended[part] = self._intended[part].max() + 1
        return _content(self.identity, np.arange(first, first + count), self._intended[part]).tobytes()

    def acknowledge(self, first: int, count: int) -> None:
        """The write of these cells has succeeded."""
        part = slice(first, first + count)
        self._acknowledged[part] = self._intended[part]

    def freeze(self, path: Path) -> "Ledger":
        """A copy of this ledger, for a copy of the file as it is now."""
        noted = np.stack([self._acknowledged, self._intended])
        path.with_suffix(".new").write_bytes(noted.tobytes())
        path.with_suffix(".new").rename(path)
        return Ledger(path, self.cells, self.identity)

    def check(self, first: int, data: bytes | memoryview, where: str) -> None:
        """Raise WrongData unless `data`, read at cell `first`, is what can be there."""
        count = len(data) // CELL_BYTES
        if len(data) % CELL_BYTES:
            raise WrongData(f"{where}: {len(data)} bytes at cell {first} are no whole cells")
        part = slice(first, first + count)
        words = np.frombuffer(data, np.uint64).reshape(count, _WORDS)
        found = (words[:, 0] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        known = (found >= self._acknowledged[part]) & (found <= self._intended[part])
        whole = (words == _content(self.identity, np.arange(first, first + count), found)).all(axis=1)
        wrong = np.flatnonzero(~(known & whole))
        if len(wrong):
            cell = int(wrong[0])
            raise WrongData(
                f"{where}: {len(wrong)} of {count} cells from {first} are wrong, the first is {first + cell}: "
                f"generation {found[cell]}{'' if whole[cell] else ' in pieces'}, acknowledged "
                f"{self._acknowledged[first + cell]}, intended {self._intended[first + cell]}"
            )

    def check_file(self, path: Path) -> int:
        """Read a whole local file in bounded pieces and check it; its size."""
        with path.open("rb") as file:
            for first in range(0, self.cells, 8192):
                self.check(first, file.read(min(8192, self.cells - first) * CELL_BYTES), str(path))
            if file.read(1):
                raise WrongData(f"{path} is longer than {self.size} bytes")
        return self.size


def _content(identity: int, cells: np.ndarray, generations: np.ndarray) -> np.ndarray:
    """The words of cells; a cell of generation 0 was never written and is zeros."""
    head = generations.astype(np.uint64) | np.uint64(identity << 32)
    seed = (head ^ (cells.astype(np.uint64) << np.uint64(20))) * _MIX
    words = (seed[:, None] + _STEPS) * _MIX
    words ^= words >> np.uint64(29)
    words[:, 0] = head
    words[generations == 0] = 0
    return words
