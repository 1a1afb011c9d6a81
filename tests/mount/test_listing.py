"""Reading large directories while they change: what is there all the time is listed once, and places are kept."""

import ctypes
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
ENTRIES = 1_000_000 if os.environ.get("ODXFS_LONG") == "1" else 20_000
PASSING = 400


class Dirent(ctypes.Structure):
    """struct dirent of glibc on 64 bits."""

    _fields_ = (
        ("inode", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("kind", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


LIBC.opendir.restype = ctypes.c_void_p
LIBC.readdir.restype = ctypes.POINTER(Dirent)
LIBC.readdir.argtypes = LIBC.telldir.argtypes = LIBC.closedir.argtypes = LIBC.rewinddir.argtypes = (
    ctypes.c_void_p,
)
LIBC.telldir.restype = ctypes.c_long
LIBC.seekdir.argtypes = (ctypes.c_void_p, ctypes.c_long)


class Directory:
    """An open directory stream, as C programs have it."""

    def __init__(self, path: Path) -> None:
        self._stream = LIBC.opendir(os.fsencode(path))
        assert self._stream

    def next(self) -> str | None:
        """The next name but "." and ".."."""
        while entry := LIBC.readdir(self._stream):
            name = os.fsdecode(entry.contents.name)
            if name not in (".", ".."):
                return name
        return None

    def __iter__(self) -> Iterator[str]:
        return iter(self.next, None)  # type: ignore[arg-type]

    def tell(self) -> int:
        return int(LIBC.telldir(self._stream))

    def seek(self, place: int) -> None:
        LIBC.seekdir(self._stream, place)

    def rewind(self) -> None:
        LIBC.rewinddir(self._stream)

    def close(self) -> None:
        LIBC.closedir(self._stream)


@contextmanager
def directory(path: Path) -> Iterator[Directory]:
    """The stream, closed in the end."""
    stream = Directory(path)
    try:
        yield stream
    finally:
        stream.close()


def fill(folder: Path, count: int) -> list[str]:
    """Empty files, without the round trips of an open."""
    names = [f"stays-{number:07}" for number in range(count)]
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        for name in names:
            os.mknod(name, stat.S_IFREG | 0o600, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    return names


def test_what_stays_is_listed_once_while_others_come_and_go(folder: Path) -> None:
    stays = fill(folder, ENTRIES)
    for number in range(PASSING):
        (folder / f"goes-{number:05}").touch()
    seen = []
    with directory(folder) as stream:
        for turn, name in enumerate(stream):
            seen.append(name)
            if turn % (ENTRIES // PASSING) == 0:
                change = turn // (ENTRIES // PASSING)
                (folder / f"comes-{change:05}").touch()
                (folder / f"goes-{PASSING - 1 - change:05}").unlink(
                    missing_ok=True
                ) if change < PASSING else None
    assert [name for name in sorted(seen) if name.startswith("stays")] == stays
    assert len(seen) == len(set(seen))


def test_a_place_in_the_directory_is_kept_while_it_changes(folder: Path) -> None:
    fill(folder, 3_000)
    with directory(folder) as stream:
        places, order = [], []
        for _ in range(3_000):
            places.append(stream.tell())
            name = stream.next()
            assert name is not None
            order.append(name)
        assert stream.next() is None
        for at in (2_999, 0, 1_500, 17, 2_048):
            stream.seek(places[at])
            assert list(itertools.islice(stream, 5)) == order[at : at + 5]
        gone = set(order[100:200]) | set(order[2_000:2_500])
        for name in gone:
            (folder / name).unlink()
        stream.seek(places[50])
        assert list(stream) == [name for name in order[50:] if name not in gone]
        stream.rewind()
        assert list(stream) == [name for name in order if name not in gone]
        (folder / "new").touch()
        stream.rewind()
        assert "new" in set(stream)
