"""The Linux kernel's SMB client on a machine of its own, where programs write, copy, cut, rename and delete, and check it all.

Its cache holds what is written until it is synced, closed or unmounted, or until the server takes the lease back for a program
on the mount. When the machine vanishes, that is lost; what the server has acknowledged is not.
"""

import os
import time

from kernel_guest import Guest
from ledger import CELL_BYTES, Ledger, WrongData
from place import MEBIBYTE, Place, Turns

DISK, DISK_BYTES = "disk", 8 * MEBIBYTE
COPIES, SMALL_FILES = 3, 4
MOST_CELLS, MOST_SMALL_BYTES = 512, 300_000
PIECE_CELLS = 2048
OPENS_PER_MOUNT, OPERATIONS_PER_OPEN = 4, 20
GONE_SECONDS = 30.0
PROTECTIONS = ("sec=ntlmssp", "sec=ntlmsspi", "seal")
"""As the server asks for, signed, encrypted."""
CACHES = ("cache=strict", "cache=strict", "cache=none")
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


class Disk:
    """The file of random writes: what the guest must see of it, and what the server must have."""

    def __init__(self, place: Place, guest: Guest) -> None:
        self.place, self.guest = place, guest
        self.kept = place.ledger(DISK, DISK_BYTES)
        self.seen = self.kept.freeze(place.scratch / "seen")
        self._waiting: list[tuple[int, int]] = []
        self._descriptor = -1

    def open(self) -> None:
        """Make it when it is not there, or not as long as it has to be."""
        self._descriptor = self.guest.open(DISK, os.O_RDWR | os.O_CREAT)
        if self.guest.size(DISK) < DISK_BYTES:
            self.guest.truncate(self._descriptor, DISK_BYTES)

    def close(self) -> None:
        """What was written is then the server's."""
        self.guest.close(self._descriptor)
        self._settle()

    def sync(self) -> None:
        """What was written is then the server's."""
        self.guest.sync(self._descriptor)
        self._settle()

    def write(self, first: int, count: int) -> None:
        """In the guest: it is seen there at once, and is the server's some time later."""
        self._waiting.append((first, count))
        self.guest.write(self._descriptor, first * CELL_BYTES, self._intend(first, count))
        self.seen.acknowledge(first, count)
        self.place.count(written=count * CELL_BYTES)

    def write_on_mount(self, first: int, count: int) -> None:
        """By a program beside the server: it is seen in the guest, and is the server's, at once."""
        data = self._intend(first, count)
        with (self.place.folder / DISK).open("r+b", buffering=0) as file:
            if os.pwrite(file.fileno(), data, first * CELL_BYTES) != len(data):
                raise OSError("a short write on the mount")
        for ledger in (self.kept, self.seen):
            ledger.acknowledge(first, count)
        self.place.count(written=len(data))

    def check(self, first: int, count: int) -> None:
        """Read in the guest."""
        data = self.guest.read(self._descriptor, first * CELL_BYTES, count * CELL_BYTES)
        _check_cells(self.seen, first, count, data, "disk in the guest")
        self.place.count(verified=len(data))

    def check_on_mount(self, first: int, count: int) -> None:
        """Read beside the server what the guest has written, and maybe not sent yet."""
        with (self.place.folder / DISK).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), count * CELL_BYTES, first * CELL_BYTES)
        _check_cells(self.seen, first, count, data, "disk on the mount")
        self.place.count(verified=len(data))

    def _intend(self, first: int, count: int) -> bytes:
        self.kept.intend(first, count)
        return self.seen.intend(first, count)

    def _settle(self) -> None:
        for first, count in self._waiting:
            self.kept.acknowledge(first, count)
        self._waiting.clear()


def turns(place: Place) -> Turns:
    """Boot; then one mount after another, each of which first deletes what a machine that vanished has left half done."""
    with Guest(place) as guest:
        disk = Disk(place, guest)
        while True:
            guest.mount(place.choice.choice(PROTECTIONS), place.choice.choice(CACHES))
            _tidy_up(guest)
            for _ in range(OPENS_PER_MOUNT):
                yield from _use_disk(place, guest, disk)
                _use_small_file(place, guest)
                guest.listen()
                yield
            guest.unmount()


def _tidy_up(guest: Guest) -> None:
    for name in guest.names():
        if name.startswith(("new-", "small-")):
            guest.delete(name)


def _use_disk(place: Place, guest: Guest, disk: Disk) -> Turns:
    disk.open()
    for _ in range(OPERATIONS_PER_OPEN):
        _operate(place, disk)
        yield
    _copy(place, guest, disk)
    yield
    disk.close()


def _operate(place: Place, disk: Disk) -> None:
    first, count = place.pick(disk.seen, MOST_CELLS)
    what = place.choice.random()
    if what < 0.4:
        disk.write(first, count)
    elif what < 0.8:
        disk.check(first, count)
    elif what < 0.86:
        disk.check_on_mount(first, count)
    elif what < 0.92:
        disk.write_on_mount(first, count)
    else:
        disk.sync()


def _copy(place: Place, guest: Guest, disk: Disk) -> None:
    """Copy the disk to one of a few names; the copy's ledger is there before the copy takes the name."""
    name, unfinished = f"copy-{place.choice.randrange(COPIES)}", "new-copy"
    noted = place.ledgers / f"{name}.frozen"
    if noted.exists():
        place.count(
            verified=_check_file(place, guest, name, Ledger(noted, disk.seen.cells, disk.seen.identity))
        )
    noted.unlink(missing_ok=True)
    guest.copy(place.choice.choice(("range", "clone", "bytes")), DISK, unfinished)
    frozen = disk.seen.freeze(place.scratch / "frozen")
    place.count(verified=_check_file(place, guest, unfinished, frozen))
    guest.rename(unfinished, name)
    frozen.path.replace(noted)


def _check_file(place: Place, guest: Guest, name: str, ledger: Ledger) -> int:
    """Read it whole, in the guest or on the mount; its size."""
    if place.choice.random() < 0.3:
        return ledger.check_file(place.folder / name)
    descriptor = guest.open(name, os.O_RDONLY)
    for first in range(0, ledger.cells, PIECE_CELLS):
        data = guest.read(descriptor, first * CELL_BYTES, PIECE_CELLS * CELL_BYTES)
        _check_cells(ledger, first, PIECE_CELLS, data, f"{name} in the guest")
    guest.close(descriptor)
    return ledger.size


def _check_cells(ledger: Ledger, first: int, count: int, data: bytes, where: str) -> None:
    if len(data) != count * CELL_BYTES:
        raise WrongData(f"{where}: {len(data)} bytes of {count} cells at cell {first}")
    ledger.check(first, data, where)


def _use_small_file(place: Place, guest: Guest) -> None:
    """The life of a file: made, written, cut or lengthened, renamed before or after it is closed, read, deleted."""
    number = place.choice.randrange(SMALL_FILES)
    made, name = f"new-{number}", f"small-{number}"
    data = place.choice.randbytes(place.choice.randint(1, MOST_SMALL_BYTES))
    size = place.choice.randrange(2 * len(data))
    descriptor = guest.open(made, NEW)
    guest.write(descriptor, 0, data)
    guest.truncate(descriptor, size)
    if place.choice.random() < 0.5:
        guest.rename(made, name)
    guest.close(descriptor)
    if made in guest.names():
        guest.rename(made, name)
    _check_small_file(place, guest, name, data[:size].ljust(size, b"\0"))
    guest.delete(name)
    _expect_gone(place, guest, {made, name})
    place.count(written=len(data), verified=2 * size)


def _expect_gone(place: Place, guest: Guest, deleted: set[str]) -> None:
    """What was read on the mount before may be open there for a moment still, since the kernel closes files in the background,
    and until then the name stays.
    """
    end = time.monotonic() + GONE_SECONDS
    while left := deleted & {*guest.names(), *os.listdir(place.folder)}:
        if time.monotonic() > end:
            raise WrongData(f"{left} were deleted {GONE_SECONDS:.0f} seconds ago, and are there")
        time.sleep(0.1)


def _check_small_file(place: Place, guest: Guest, name: str, data: bytes) -> None:
    """By the guest and on the mount, its length, too."""
    descriptor = guest.open(name, os.O_RDONLY)
    found = guest.read(descriptor, 0, 2 * MOST_SMALL_BYTES)
    guest.close(descriptor)
    sizes = guest.size(name), (place.folder / name).stat().st_size
    if sizes != (len(data), len(data)):
        raise WrongData(f"{name} has {sizes} bytes in the guest and on the mount, not {len(data)}")
    for where, content in (("guest", found), ("mount", (place.folder / name).read_bytes())):
        if content != data:
            raise WrongData(f"{name} of {len(data)} bytes is not what was written, read by the {where}")
