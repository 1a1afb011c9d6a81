"""A file system in memory, where syncs cost nothing: for pools that are looked at by the hundred."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_disk(directory: Path, size: str = "2g") -> Iterator[Path]:
    """A tmpfs on `directory`, which is made, until the block ends."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)
