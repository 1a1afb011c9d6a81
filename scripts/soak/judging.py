"""What a soak must show at its end, as findings: sentences that say what is wrong."""

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import by_copies
import by_kernel
import by_mount
import by_smbclient
import by_smbprotocol
import by_snapshots
import by_tokens
from ledger import Ledger, WrongData
from place import CLIENTS, MEBIBYTE, ODXFS, Place, run
from sampling import Sample, take_sample
from served import Server

WARM_UP_SECONDS = 900.0
"""From the start: caches fill, the files reach their sizes, and every client has been killed and come back."""
GROWTH_PART, GROWTH_MIB = 0.05, 12.0
"""What memory may grow by from the first third after the warm-up to the last, by their medians."""
GROWTH_COUNT = 8
"""The same for descriptors and threads."""
LEAST_SAMPLES = 12
QUIET_SECONDS = 420.0
"""A durable open waits up to 300 s for its client; tokens live 60 s, unless they are asked to live longer."""

RULE = (
    f"after the first {WARM_UP_SECONDS / 60:.0f} minutes, the median of the last third is at most that of the first third "
    f"plus {GROWTH_PART:.0%} plus {GROWTH_MIB:g} MiB"
)


def is_judged(samples: Sequence[Sample]) -> bool:
    """Whether the run was long enough for `RULE`."""
    return sum(sample.seconds > WARM_UP_SECONDS for sample in samples) >= LEAST_SAMPLES


def judge_growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Memory, descriptors and threads by `RULE`; nothing of a run that is too short for it."""
    used = [sample for sample in samples if sample.seconds > WARM_UP_SECONDS]
    if not is_judged(samples):
        return
    third = len(used) // 3

    def medians(name: str) -> tuple[float, float]:
        return (
            statistics.median(getattr(sample, name) for sample in used[:third]),
            statistics.median(getattr(sample, name) for sample in used[-third:]),
        )

    first, last = medians("resident_mib")
    if last > first * (1 + GROWTH_PART) + GROWTH_MIB:
        loads = f"{_load(used[:third]):.2f} and {_load(used[-third:]):.2f} of a processor"
        yield f"memory is not flat: {first:.0f} MiB at first, {last:.0f} MiB at last, with {loads} in use"
    for name in ("descriptors", "threads"):
        first, last = medians(name)
        if last > first + GROWTH_COUNT:
            yield f"{name} are not flat: {first:g} at first, {last:g} at last"


def _load(samples: Sequence[Sample]) -> float:
    """Processors that the server kept busy: where something else takes them, clients do less and less is held for them."""
    first, last = samples[0], samples[-1]
    return (last.processor_seconds - first.processor_seconds) / (last.seconds - first.seconds)


def judge_rest(server: Server, began: float) -> Iterator[str]:
    """After the last client: wait until the server holds nothing of them any more."""
    for name in run("ls", server.mountpoint / ".snapshots").split():
        run(ODXFS, "snapshot", "delete", server.pool, name)
    end = time.monotonic() + QUIET_SECONDS
    names = ("connections", "sessions", "opens", "parked_opens", "tokens", "pins")
    while True:
        sample = take_sample(server, began)
        left = {name: getattr(sample, name) for name in names if getattr(sample, name)}
        if not left or time.monotonic() > end:
            break
        time.sleep(2)
    if left:
        yield f"left behind by clients that have gone: {left}"


def judge_files(work: Path, port: int) -> Iterator[str]:
    """Read every file that a ledger knows."""
    for client in CLIENTS:
        place = Place(work, port, client)
        for name, ledger in _known_files(place):
            path = place.folder / name
            try:
                if path.exists():
                    ledger.check_file(path)
                elif ledger.is_written:
                    yield f"{client}/{name} is gone"
            except (WrongData, OSError) as error:
                yield f"{client}/{name}: {error}"


def _known_files(place: Place) -> Iterator[tuple[str, Ledger]]:
    disks = {
        "smbprotocol": [
            (f"disk-{number}", by_smbprotocol.DISK_BYTES) for number in range(by_smbprotocol.DISKS)
        ],
        "smbclient": [
            (f"file-{number}", by_smbclient.SIZES[number % len(by_smbclient.SIZES)])
            for number in range(by_smbclient.FILES)
        ],
        "mount": [("disk", by_mount.DISK_BYTES)],
        "tokens": [("source", by_tokens.DISK_BYTES)],
        "copies": [("disk", by_copies.DISK_BYTES)],
        "snapshots": [("disk", by_snapshots.DISK_BYTES)],
        "kernel": [(by_kernel.DISK, by_kernel.DISK_BYTES)],
    }.get(place.kind, [])
    for name, size in disks:
        ledger = place.ledger(name, size)
        yield name, ledger
        for frozen in place.ledgers.glob("*.frozen"):
            yield frozen.stem, Ledger(frozen, size // 512, ledger.identity)


def verified_gib(work: Path) -> float:
    """Of all clients so far."""
    return sum(int(Place(work, 0, client).counts[2]) for client in CLIENTS) / MEBIBYTE / 1024
