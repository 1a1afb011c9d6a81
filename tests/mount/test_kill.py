"""kill -9 of the mounting process under load from both doors: no repair, and all that was acknowledged is there.

Each writer keeps a journal of the states that its folder may be in: what was last acknowledged as durable, and what came
after it. A commit holds everything up to some moment, so after the kill the folder must be in one of these states.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from odxfs.client.client import connect
from odxfs.errors import OdxfsError
from odxfs.volume import check_directory
from tests.mount.command import clear, complaints, odxfs_ok, wait_for_end
from tests.mount.test_full_disk import sync_directory
from tests.mount.test_ranges import KEEP_SIZE, PUNCH_HOLE, fallocate

ROUNDS = 150 if os.environ.get("ODXFS_LONG") else 15
FILES = 6
LARGEST_RECORD = 20_000
PAGE_BYTES = 4096
"""The kernel sends an unaligned write in parts, cut between pages; so an unacknowledged one may be there in part."""

USER, PASSWORD, SHARE = "ada", "correct horse", "data"

State = dict[str, bytes]
"""Name -> content of a folder."""


class Killed:
    """Counts acknowledgements of all writers and kills the server after the given number."""

    def __init__(self, pid: int, acknowledgements: int) -> None:
        self._pid = pid
        self._left = acknowledgements
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(self._pid, signal.SIGKILL)

    @property
    def is_dead(self) -> bool:
        return self._left <= 0


class Journal:
    """The states that a folder may be in after a crash, the oldest first."""

    def __init__(self) -> None:
        self.possible: list[State] = [{}]
        self.number = 0

    @property
    def now(self) -> State:
        return self.possible[-1]

    def issue(self, state: State) -> None:
        """About to bring the folder into `state`; it may be there from now on."""
        self.possible.append(state)

    def acknowledge(self, killed: Killed) -> None:
        """All that was issued is durable."""
        del self.possible[:-1]
        killed.count()

    def record(self, choose: random.Random) -> bytes:
        """The next numbered record."""
        self.number += 1
        return b"record %d " % self.number + choose.randbytes(choose.randrange(LARGEST_RECORD))

    def settle(self, folder: Path) -> None:
        """After the crash: the folder is in a possible state, which is the one to go on from."""
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert found in self.possible, f"{describe(found)} is none of {[*map(describe, self.possible)]}"
        self.possible = [found]


def describe(state: State) -> dict[str, tuple[int, bytes]]:
    return {name: (len(content), content[:20]) for name, content in state.items()}


def write_through_the_mount(folder: Path, journal: Journal, choose: random.Random, killed: Killed) -> None:
    """Append, overwrite, cut, punch, clone, rename and unlink, with fsync after most of it, until the server is dead."""
    names = [f"file{number}" for number in range(FILES)]
    while True:
        name, what = choose.choice(names), choose.random()
        content = journal.now.get(name)
        if content is None or what < 0.6:
            offset = choose.randrange(len(content or b"") + 1) if what < 0.2 else len(content or b"")
            write_record(folder, name, offset, journal, choose, killed)
        elif what < 0.75:
            change = choose.choice((cut, punch, clone))
            change(folder, name, choose.choice(names), journal, choose)
        elif what < 0.87 or len(content) > 1 << 20:
            journal.issue({other: kept for other, kept in journal.now.items() if other != name})
            (folder / name).unlink()
        else:
            target = choose.choice(names)
            state = {**journal.now, target: content}
            if target != name:
                del state[name]
            journal.issue(state)
            (folder / name).rename(folder / target)
        if choose.random() < 0.5:
            sync_directory(folder)
            journal.acknowledge(killed)


def cut(folder: Path, name: str, _: str, journal: Journal, choose: random.Random) -> None:
    """Move the end of a file to somewhere before it, or a little behind."""
    content = journal.now[name]
    size = choose.randrange(len(content) + 10_000)
    journal.issue({**journal.now, name: content[:size].ljust(size, b"\0")})
    os.truncate(folder / name, size)


def punch(folder: Path, name: str, _: str, journal: Journal, choose: random.Random) -> None:
    """Make a hole of whole blocks, which is one step."""
    content = journal.now[name]
    blocks = len(content) // PAGE_BYTES
    if not blocks:
        return
    first = choose.randrange(blocks)
    start, end = first * PAGE_BYTES, choose.randrange(first + 1, blocks + 1) * PAGE_BYTES
    journal.issue({**journal.now, name: content[:start] + bytes(end - start) + content[end:]})
    with (folder / name).open("r+b") as file:
        fallocate(file.fileno(), PUNCH_HOLE | KEEP_SIZE, start, end - start)


def clone(folder: Path, name: str, target: str, journal: Journal, choose: random.Random) -> None:
    """A copy of a file under a name that was free or another's: emptied, then the whole blocks, then the rest."""
    content = journal.now[name]
    if name == target:
        return
    whole = len(content) // PAGE_BYTES * PAGE_BYTES
    for part in dict.fromkeys((0, whole, len(content))):
        journal.issue({**journal.now, target: content[:part]})
    with (folder / name).open("rb") as source, (folder / target).open("wb") as copy:
        done = 0
        while done < len(content):
            done += os.copy_file_range(source.fileno(), copy.fileno(), len(content) - done)


def write_record(
    folder: Path, name: str, offset: int, journal: Journal, choose: random.Random, killed: Killed
) -> None:
    before = journal.now.get(name)
    if before is None:
        before = b""
        journal.issue({**journal.now, name: before})
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT)
    try:
        record = journal.record(choose)
        end = offset + len(record)
        for cut in (*range(offset - offset % PAGE_BYTES + PAGE_BYTES, end, PAGE_BYTES), end):
            written = before[:offset] + record[: cut - offset] + before[cut:]
            journal.issue({**journal.now, name: written})
        assert os.pwrite(descriptor, record, offset) == len(record)
        os.fsync(descriptor)
        journal.acknowledge(killed)
    finally:
        os.close(descriptor)


async def write_through_the_share(port: int, journal: Journal, choose: random.Random, killed: Killed) -> None:
    """Write files of a few records, each with FLUSH, and delete old ones, until the server is dead."""
    async with connect("127.0.0.1", port, USER, PASSWORD) as client:
        tree = await client.tree(SHARE)
        while True:
            for name in choose.sample(sorted(journal.now), max(0, len(journal.now) - FILES)):
                journal.issue({other: kept for other, kept in journal.now.items() if other != name})
                await tree.delete(rf"share\{name}")
            name = f"file{journal.number}"
            journal.issue({**journal.now, name: b""})
            file = await tree.open_to_write(rf"share\{name}")
            for _ in range(3):
                before, record = journal.now[name], journal.record(choose)
                journal.issue({**journal.now, name: before + record})
                assert await file.write(len(before), record) == len(record)
                await file.flush()
                journal.acknowledge(killed)
            await file.close()


@contextmanager
def writing(killed: Killed, *writers: Callable[[], None]) -> Iterator[None]:
    """Run the writers in threads until the server's death ends them; what else ends them is raised."""
    failures: list[BaseException] = []

    def work(writer: Callable[[], None]) -> None:
        try:
            writer()
        except BaseException as error:
            if not (killed.is_dead and isinstance(error, (OSError, OdxfsError))):
                failures.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    directory, mountpoint = tmp_path / "pool", tmp_path / "mnt"
    mountpoint.mkdir()
    odxfs_ok("mkfs", directory)
    odxfs_ok("user", "add", directory, USER, "--password-stdin", stdin=PASSWORD)
    choose = random.Random(1)
    by_mount, by_share = Journal(), Journal()
    try:
        for _ in range(ROUNDS):
            words = ("--share", SHARE, "--smb-listen", "127.0.0.1:0", "--json")
            live = odxfs_ok("mount", directory, mountpoint, *words).json
            settle(mountpoint, {"mount": by_mount, "share": by_share})
            killed = Killed(live["pid"], choose.randrange(1, 150))
            port = int(live["smb"].rpartition(":")[2])
            seeds = [random.Random(choose.random()) for _ in range(2)]
            share = partial(write_through_the_share, port, by_share, seeds[0], killed)
            with writing(
                killed,
                partial(trio.run, share),
                partial(write_through_the_mount, mountpoint / "mount", by_mount, seeds[1], killed),
            ):
                wait_for_end(live["pid"])
            odxfs_ok("umount", mountpoint)
            assert odxfs_ok("fsck", directory, "--json").json["found"] == []
            assert trio.run(lambda: check_directory(directory, read_data=True)) == []
        odxfs_ok("mount", directory, mountpoint)
        settle(mountpoint, {"mount": by_mount, "share": by_share})
        odxfs_ok("umount", mountpoint)
        assert by_mount.number > ROUNDS
        assert by_share.number > ROUNDS
        assert complaints(directory) == []
    finally:
        clear(mountpoint)


def settle(mountpoint: Path, journals: dict[str, Journal]) -> None:
    for name, journal in journals.items():
        if not (mountpoint / name).exists():
            (mountpoint / name).mkdir()
            sync_directory(mountpoint)
        journal.settle(mountpoint / name)
