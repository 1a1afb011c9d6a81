"""The store's files with a power switch: what was not synced can be lost, in any part."""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from odxfs.types import BLOCK_BYTES, Buffer
from odxfs.volume.blocks.files import Files


class RecordingFiles(Files):
    """Keeps what each write replaced until the write is synced; `before_sync` and `after_sync` are called in between."""

    def __init__(self) -> None:
        super().__init__()
        self.unsynced: dict[int, list[tuple[int, bytes]]] = {}
        self.on_sync: Callable[[], None] = lambda: None

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        length = sum(map(len, buffers))
        self.unsynced.setdefault(descriptor, []).append((offset, os.pread(descriptor, length, offset)))
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self.on_sync()
        covered = len(self.unsynced.get(descriptor, ()))
        super().sync(descriptor)
        del self.unsynced.get(descriptor, [])[:covered]
        self.on_sync()

    def copy_after_power_cut(self, source: Path, destination: Path, choose: random.Random) -> None:
        """What may be on the disk if the power went now: unsynced blocks are there or not, each by chance."""
        (destination / "segments").mkdir(parents=True)
        for name in ("pool.json", "catalog.db", "catalog.db-wal"):
            if (source / name).exists():
                shutil.copy(source / name, destination / name)
        by_path = {os.readlink(f"/proc/self/fd/{number}"): number for number in self.unsynced}
        for segment in (source / "segments").iterdir():
            copy_sparse(self, segment, destination / "segments" / segment.name)
            lost = self.unsynced.get(by_path.get(str(segment), -1), [])
            with (destination / "segments" / segment.name).open("r+b") as file:
                for offset, before in reversed(lost):
                    for at in range(0, len(before), BLOCK_BYTES):
                        if choose.random() < 0.7:
                            os.pwrite(file.fileno(), before[at : at + BLOCK_BYTES], offset + at)


def copy_sparse(files: Files, source: Path, destination: Path) -> None:
    """Copy a segment without filling its holes."""
    descriptor = os.open(source, os.O_RDONLY)
    try:
        with destination.open("wb") as copy:
            os.truncate(copy.fileno(), os.fstat(descriptor).st_size)
            for offset, length in files.data_ranges(descriptor):
                os.pwrite(copy.fileno(), os.pread(descriptor, length, offset), offset)
    finally:
        os.close(descriptor)
