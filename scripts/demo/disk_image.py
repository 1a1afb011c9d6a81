"""Makes a real VM disk without root tricks or mounts: a fixed VHDX that holds an ext4 file system with real files."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

DISK_BYTES = 2 * 1024**3
CONTENT_BYTES = 600 * 1000**2
_SOURCES = (Path("/usr/lib"), Path("/usr/share"), Path("/usr/bin"), Path("/usr/include"))
_LARGEST_FILE_BYTES = 64 * 1024**2


def make_disk(work: Path, disk: Path) -> int:
    """Write the fixed VHDX to `disk`, with scratch files in `work`; returns the bytes of the files inside it."""
    content = work / "content"
    content_bytes = _gather_files(content)
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(DISK_BYTES)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "quickstart", "-d", str(content), str(raw))
    shutil.rmtree(content)
    _run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", "subformat=fixed", str(raw), str(disk))
    raw.unlink()
    return content_bytes


def _gather_files(target: Path) -> int:
    """Copy files of this machine below `target` until CONTENT_BYTES are there; a small machine's files are taken twice."""
    gathered = 0
    for turn in ("first", "second", "third"):
        for path in _regular_files():
            size = path.stat().st_size
            copy = target / turn / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            gathered += size
            if gathered >= CONTENT_BYTES:
                return gathered
    return gathered


def _regular_files() -> Iterator[Path]:
    for source in _SOURCES:
        for folder, _, names in os.walk(source):
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_FILE_BYTES:
                    yield path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
