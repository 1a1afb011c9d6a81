"""`odxfs cp` of a disk that changes between the copies, over SMB or on the mount; each copy is read in the other way."""

import json
import os

from ledger import Ledger
from place import MEBIBYTE, ODXFS, PASSWORD, Place, Turns, cells_of, run

DISK_BYTES = 96 * MEBIBYTE
COPIES = 3


def turns(place: Place) -> Turns:
    """Change, copy, check."""
    ledger = place.ledger("disk", DISK_BYTES)
    while True:
        _change(place, ledger)
        yield
        name = f"copy-{place.choice.randrange(COPIES)}"
        noted = place.ledgers / f"{name}.frozen"
        noted.unlink(missing_ok=True)
        over_smb = place.choice.random() < 0.7
        base = place.url if over_smb else str(place.folder)
        told = run(
            ODXFS, "cp", "--json", *(("--require-offload",) if over_smb else ()), f"{base}/disk", f"{base}/{name}",
            environment={**os.environ, "ODXFS_PASSWORD": PASSWORD},
        )  # fmt: skip
        if not json.loads(told)["files"]:
            raise ValueError(f"nothing was copied: {told}")
        frozen = ledger.freeze(place.scratch / "frozen")
        yield
        place.count(verified=_check(place, name, frozen, over_smb=over_smb))
        frozen.path.replace(noted)
        yield


def _change(place: Place, ledger: Ledger) -> None:
    whole = [(first, min(8192, ledger.cells - first)) for first in range(0, ledger.cells, 8192)]
    some = [place.pick(ledger, cells_of(MEBIBYTE)) for _ in range(20)]
    descriptor = os.open(place.folder / "disk", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for first, count in some if ledger.is_written else whole:
            place.write_cells(ledger, descriptor, first, count)
    finally:
        os.close(descriptor)


def _check(place: Place, name: str, frozen: Ledger, *, over_smb: bool) -> int:
    if over_smb:
        return frozen.check_file(place.folder / name)
    local = place.scratch / name
    run(
        ODXFS, "cp", "--quiet", f"{place.url}/{name}", local, environment={**os.environ, "ODXFS_PASSWORD": PASSWORD}
    )  # fmt: skip
    try:
        return frozen.check_file(local)
    finally:
        local.unlink()
