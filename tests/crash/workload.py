"""What the crash tests do to a pool: everything a volume can do, chosen at random from a seed, on files small enough."""

import random
import stat
from collections.abc import Awaitable, Callable

import trio

from odxfs.errors import NoSpace, VolumeError
from odxfs.types import BLOCK_BYTES, LEAF_BYTES
from odxfs.volume import Pin, Pool, RenameFlags
from tests.crash.soundness import difference
from tests.volume.model.content import Content
from tests.volume.model.reality import seen_of_pool
from tests.volume.model.subject import Subject
from tests.volume.model.tree import Frozen, Node, Path, Tree, with_snapshots, without_snapshots

_OFFSETS = (
    0,
    0,
    512,
    5000,
    3 * BLOCK_BYTES,
    LEAF_BYTES - BLOCK_BYTES,
    LEAF_BYTES - 700,
    LEAF_BYTES,
    2 * LEAF_BYTES,
)
_LENGTHS = (1, 511, 512, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 20_000, 20_000, 70_000)
_LARGE_BYTES = 300_000
"""More than is written on the trio thread."""

_NAMES = (b"a", b"b", b"c", b"D", b"e")
_STREAMS = (b"first", b"Second")
_SNAPSHOTS = ("monday", "tuesday")
_FILES = 5
_PINS = 3


class Workload:
    """Random changes to one volume, and every state that it went through.

    `states` are what the volume looked like, in order; `acknowledged` is the index of the one that a sync has answered for
    last. A commit holds the whole volume as of one moment, so after a crash it is one of the states from that one on.
    """

    may_fail = False
    """Whether single operations may fail without more ado (a read error)."""

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)
        self.states: list[Frozen] = [{}]
        self.acknowledged = 0
        self.refused = 0
        """Operations that failed, which they may where the disk does."""

    async def begin(self, pool: Pool, on_progress: Callable[[], None] = lambda: None) -> None:
        """Go on with this pool, which must be in one of the possible states.

        `on_progress` is called when the states or what is acknowledged have changed, and before each operation.
        """
        self.pool, self._on_progress = pool, on_progress
        found = await seen_of_pool(pool)
        assert found in self.possible, difference(found, self.states[-1])
        volume, self.snapshots = without_snapshots(found)
        self.tree = Tree.thawed(volume)
        self.subject = Subject(pool.volume("main"), self.tree)
        self.subject.on_state = self._note_state
        self.pins: list[tuple[Pin, Content]] = []
        await self.subject.find_inodes()
        self._note_state()
        self._reached = len(self.states) - 1
        """The index of the state that the last operation that has ended has led to."""

    def __getstate__(self) -> dict[str, object]:
        """For another process: without the pool."""
        kept = ("choose", "states", "acknowledged", "refused")
        return {name: getattr(self, name) for name in kept}

    @property
    def possible(self) -> list[Frozen]:
        """The states that a crash may leave."""
        return self.states[self.acknowledged :]

    async def assert_same(self) -> None:
        """What can be read is what the model says."""
        found, expected = await seen_of_pool(self.pool), with_snapshots(self.tree.frozen(), self.snapshots)
        assert found == expected, difference(found, expected)

    async def run(self, steps: int, *, commits_alongside: bool = True) -> None:
        """Make so many steps; a commit every few, now and then one that runs while the steps go on."""
        async with trio.open_nursery() as nursery:
            for _ in range(steps):
                what = self.choose.random()
                if what < 0.12:
                    await self.sync()
                elif what < 0.16 and commits_alongside:
                    nursery.start_soon(self.sync)
                    await trio.lowlevel.checkpoint()
                else:
                    await self.step()

    async def sync(self) -> None:
        """Have all that was done so far acknowledged as durable."""
        index = self._reached
        if await self._tried(self.subject.volume.sync()):
            self.acknowledged = max(self.acknowledged, index)
            self._on_progress()

    async def step(self) -> None:
        """One operation."""
        self._on_progress()
        await self._tried(self._step())
        self._note_state()
        self._reached = len(self.states) - 1

    async def _tried(self, operation: Awaitable[object]) -> bool:
        try:
            await operation
        except VolumeError as error:
            if not (isinstance(error, NoSpace) or self.pool.failure is not None or self.may_fail):
                raise
            self.refused += 1
            return False
        return True

    async def _step(self) -> None:
        files = self.tree.paths(stat.S_IFREG)
        if len(files) < 2:
            await self._make_file()
            return
        choices: list[tuple[Callable[[], Awaitable[object]], int]] = [
            (self._write, 30),
            (self._write_large, 2),
            (self._truncate, 8),
            (self._deallocate, 8),
            (self._clone, 12),
            (self._capture, 4),
            (self._write_pin, 8),
            (self._release_pin, 2),
            (self._make_file, 5 if len(files) < _FILES else 0),
            (self._make_other, 4),
            (self._unlink, 5 if len(files) > 2 else 0),
            (self._rename, 8),
            (self._remove_directory, 3),
            (self._link, 2),
            (self._xattr, 5),
            (self._make_stream, 4),
            (self._remove_stream, 2),
            (self._rename_stream, 1),
            (self._hold, 3),
            (self._release, 3),
            (self._create_snapshot, 3),
            (self._delete_snapshot, 2),
        ]
        operations, weights = zip(*choices, strict=True)
        await self.choose.choices(operations, weights)[0]()

    # -- data -------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        data = self.choose.randbytes(self.choose.choice(_LENGTHS))
        await self.subject.write(self._any_file(), self._offset(), data)

    async def _write_large(self) -> None:
        await self.subject.write(self._any_file(), self._offset(), self.choose.randbytes(_LARGE_BYTES))

    async def _truncate(self) -> None:
        await self.subject.truncate(self._any_file(), self._offset())

    async def _deallocate(self) -> None:
        length = self.choose.choice((*_LENGTHS, LEAF_BYTES))
        await self.subject.deallocate(self._any_file(), self._offset(), length)

    async def _clone(self) -> None:
        source, node = self._any_file(), self._any_file()
        source_offset, offset = self._offset(), self._offset()
        length = self.choose.choice((*_LENGTHS, LEAF_BYTES, 2 * LEAF_BYTES))
        if self.choose.random() < 0.5:
            offset = offset // LEAF_BYTES * LEAF_BYTES + source_offset % LEAF_BYTES
        if source is not node or abs(source_offset - offset) >= length:
            await self.subject.clone_range(source, source_offset, node, offset, length)

    async def _capture(self) -> None:
        if len(self.pins) < _PINS:
            length = self.choose.choice((*_LENGTHS, LEAF_BYTES))
            self.pins.append(await self.subject.capture(self._any_file(), self._offset(), length))

    async def _write_pin(self) -> None:
        if self.pins:
            pin, held = self.choose.choice(self.pins)
            offset = self.choose.choice((self._offset(), pin.offset))
            await self.subject.write_pin(self._any_file(), offset, pin, held, 0, held.size)

    async def _release_pin(self) -> None:
        if self.pins:
            pin, _ = self.pins.pop(self.choose.randrange(len(self.pins)))
            self.pool.release_pin(pin)

    # -- names ------------------------------------------------------------------------------------------------------

    async def _make_file(self) -> None:
        path = self._free_path()
        if path:
            await self.subject.create(path)

    async def _make_other(self) -> None:
        path = self._free_path()
        if path and len(path) < 3 and self.choose.random() < 0.7:
            await self.subject.create(path, stat.S_IFDIR)
        elif path:
            await self.subject.create(path, stat.S_IFLNK, self.choose.randbytes(20).hex().encode())

    async def _unlink(self) -> None:
        paths = self.tree.paths(stat.S_IFREG) + self.tree.paths(stat.S_IFLNK)
        await self.subject.unlink(self.choose.choice(paths))

    async def _remove_directory(self) -> None:
        empty = [path for path, node in self.tree.walk() if node.is_directory and not node.children]
        if empty:
            await self.subject.rmdir(self.choose.choice(empty))

    async def _rename(self) -> None:
        old = self.choose.choice([path for path, _ in self.tree.walk()])
        new = (*self.choose.choice(self._directories()), self.choose.choice(_NAMES))
        if self.tree.can_rename(old, new):
            await self.subject.rename(old, new)
        elif self.tree.can_exchange(old, new):
            await self.subject.rename(old, new, RenameFlags.EXCHANGE)

    async def _link(self) -> None:
        path = self._free_path()
        if path:
            await self.subject.link(self.choose.choice(self.tree.paths(stat.S_IFREG)), path)

    async def _xattr(self) -> None:
        node = self.choose.choice(self.tree.nodes())
        name = self.choose.choice((b"user.one", b"user.two"))
        if name in node.xattrs and self.choose.random() < 0.3:
            await self.subject.remove_xattr(node, name)
        else:
            await self.subject.set_xattr(node, name, self.choose.randbytes(self.choose.choice((0, 10, 3000))))

    async def _make_stream(self) -> None:
        base, name = self.choose.choice(self.subject.bases()), self.choose.choice(_STREAMS)
        if name not in base.streams:
            await self.subject.create_stream(base, name)

    async def _remove_stream(self) -> None:
        having = [base for base in self.subject.bases() if base.streams]
        if having:
            base = self.choose.choice(having)
            await self.subject.remove_stream(base, self.choose.choice(sorted(base.streams)))

    async def _rename_stream(self) -> None:
        having = [base for base in self.subject.bases() if len(base.streams) == 1]
        if having:
            base = self.choose.choice(having)
            old = next(iter(base.streams))
            await self.subject.rename_stream(base, old, next(name for name in _STREAMS if name != old))

    async def _hold(self) -> None:
        self.subject.hold(self._any_file())

    async def _release(self) -> None:
        held = [node for node in self._files() if node.holds]
        if held:
            await self.subject.release(self.choose.choice(held))

    # -- snapshots --------------------------------------------------------------------------------------------------

    async def _create_snapshot(self) -> None:
        name = self.choose.choice(_SNAPSHOTS)
        if name in self.snapshots:
            return
        before = self.snapshots
        self.snapshots = {**before, name: self.tree.frozen()}
        self._note_state()  # a commit makes it
        try:
            await self.pool.snapshots.create("main", name)
        except VolumeError:
            self.snapshots = before
            raise

    async def _delete_snapshot(self) -> None:
        if not self.snapshots:
            return
        name = self.choose.choice(sorted(self.snapshots))
        before = self.snapshots
        self.snapshots = {other: frozen for other, frozen in before.items() if other != name}
        self._note_state()
        try:
            await self.pool.snapshots.delete("main", name)
        except VolumeError:
            if any(found.name == name for found in self.pool.snapshots.of("main")):
                self.snapshots = (
                    before  # refused; one that failed later is gone until the pool is opened again
                )
            raise

    # -- choices ----------------------------------------------------------------------------------------------------

    def _files(self) -> list[Node]:
        nameless = [each for node in self.subject.nameless for each in (node, *node.streams.values())]
        return [*[node for node in self.tree.nodes() if node.is_file], *nameless]

    def _any_file(self) -> Node:
        return self.choose.choice(self._files())

    def _offset(self) -> int:
        return max(0, self.choose.choice(_OFFSETS) + self.choose.choice((-BLOCK_BYTES, -1, 0, 0, 0, 1, 512)))

    def _directories(self) -> list[Path]:
        return [(), *self.tree.paths(stat.S_IFDIR)]

    def _free_path(self) -> Path | None:
        path = (*self.choose.choice(self._directories()), self.choose.choice(_NAMES))
        return None if self.tree.find(path) is not None else path

    def _note_state(self) -> None:
        now = with_snapshots(self.tree.frozen(), self.snapshots)
        if now != self.states[-1]:
            self.states.append(now)
            self._on_progress()
