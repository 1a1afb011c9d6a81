"""Programs on the mount that know what they wrote: random writes with checks, copies of all or parts of a file."""

import os
import shutil

from ledger import Ledger
from place import CELL_BYTES, MEBIBYTE, Place, Turns

DISK_BYTES = 64 * MEBIBYTE
COPIES = 4
MOST_CELLS = 1024
TURNS_PER_OPEN = 100


def turns(place: Place) -> Turns:
    """A disk written at random; now and then a copy of it in one of three ways, checked at once and again later."""
    ledger = place.ledger("disk", DISK_BYTES)
    while True:
        descriptor = os.open(place.folder / "disk", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size < DISK_BYTES:
                os.ftruncate(descriptor, DISK_BYTES)
            for _ in range(TURNS_PER_OPEN):
                _operate(place, descriptor, ledger)
                yield
        finally:
            os.close(descriptor)
        _copy(place, ledger)
        yield


def _operate(place: Place, descriptor: int, ledger: Ledger) -> None:
    first, count = place.pick(ledger, MOST_CELLS)
    what = place.choice.random()
    if what < 0.45:
        place.write_cells(ledger, descriptor, first, count)
    elif what < 0.9:
        if what < 0.6:  # past the kernel's pages
            os.posix_fadvise(descriptor, first * CELL_BYTES, count * CELL_BYTES, os.POSIX_FADV_DONTNEED)
        data = os.pread(descriptor, count * CELL_BYTES, first * CELL_BYTES)
        ledger.check(first, data, "disk on the mount")
        place.count(verified=len(data))
    elif what < 0.93:
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def _copy(place: Place, ledger: Ledger) -> None:
    """Copy the disk to one of a few names; the copy's ledger is there before the copy takes the name."""
    name = f"copy-{place.choice.randrange(COPIES)}"
    target, unfinished = place.folder / name, place.folder / "unfinished"
    noted = place.ledgers / f"{name}.frozen"
    if noted.exists() and target.exists():
        place.count(verified=Ledger(noted, ledger.cells, ledger.identity).check_file(target))
    noted.unlink(missing_ok=True)
    with (place.folder / "disk").open("rb") as source, unfinished.open("wb") as copy:
        if place.choice.random() < 0.7:
            _copy_range(source.fileno(), copy.fileno())
        else:
            shutil.copyfileobj(source, copy, MEBIBYTE)
    frozen = ledger.freeze(place.scratch / "frozen")
    place.count(verified=frozen.check_file(unfinished))
    unfinished.replace(target)
    frozen.path.replace(noted)


def _copy_range(source: int, target: int) -> None:
    done = 0
    while done < DISK_BYTES:
        copied = os.copy_file_range(source, target, DISK_BYTES - done, done, done)
        if not copied:
            raise OSError(f"copy_file_range ends at {done} of {DISK_BYTES}")
        done += copied
