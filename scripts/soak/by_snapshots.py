"""Snapshots of the whole volume, a few at a time: each must show this client's disk as it was when the snapshot was made."""

import os
import time

from ledger import Ledger
from place import MEBIBYTE, ODXFS, Place, Turns, cells_of, run

DISK_BYTES = 24 * MEBIBYTE
KEPT = 3
PAUSE_SECONDS = 10.0


def turns(place: Place) -> Turns:
    """Change the disk, make a snapshot, change it again, look at a snapshot, delete the oldest."""
    ledger = place.ledger("disk", DISK_BYTES)
    number = time.time_ns()
    while True:
        _change(place, ledger)
        yield
        number += 1
        name = f"soak-{number}"
        run(ODXFS, "snapshot", "create", place.pool, name)
        ledger.freeze(place.ledgers / f"{name}.snapshot")
        place.count()
        yield
        _change(place, ledger)
        noted = sorted(place.ledgers.glob("*.snapshot"))
        seen = place.choice.choice(noted)
        frozen = Ledger(seen, ledger.cells, ledger.identity)
        path = place.mountpoint / ".snapshots" / seen.stem / place.client / "disk"
        place.count(verified=frozen.check_file(path))
        yield
        _delete_old(place)
        time.sleep(PAUSE_SECONDS)
        yield


def _delete_old(place: Place) -> None:
    names = sorted(os.listdir(place.mountpoint / ".snapshots"))
    for name in names[:-KEPT]:
        (place.ledgers / f"{name}.snapshot").unlink(missing_ok=True)
        run(ODXFS, "snapshot", "delete", place.pool, name)
        place.count()


def _change(place: Place, ledger: Ledger) -> None:
    descriptor = os.open(place.folder / "disk", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.ftruncate(descriptor, DISK_BYTES)
        for _ in range(10):
            first, count = place.pick(ledger, cells_of(MEBIBYTE))
            place.write_cells(ledger, descriptor, first, count)
    finally:
        os.close(descriptor)
