"""What all rules share: the pool, the subject, the choices, and what must hold after each step."""

import random
import shutil
import stat
import tempfile
from collections.abc import Awaitable
from pathlib import Path as FilePath
from typing import Any, TypeVar

import trio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from odxfs.types import BLOCK_BYTES, LEAF_BYTES, SECTOR_BYTES
from odxfs.volume import Pin, Pool, create_pool
from tests.volume.copying import copy_pool
from tests.volume.model.content import Content
from tests.volume.model.reality import assert_holds
from tests.volume.model.subject import Subject
from tests.volume.model.tokens import Tokens
from tests.volume.model.tree import Frozen, Node, Path, Tree
from tests.volume.portal import Portal

T = TypeVar("T")

LARGEST = 2 * LEAF_BYTES + 64 * 1024
"""Files end here: three leaves, the interesting places are around their borders."""

picks = st.integers(0, 1000)
names = st.sampled_from([b"a", b"b", b"c", b"D"])
offsets = st.builds(
    lambda base, distance: max(0, min(base + distance, LARGEST)),
    st.sampled_from([0, 0, 3 * BLOCK_BYTES, LEAF_BYTES, 2 * LEAF_BYTES]),
    st.sampled_from([-BLOCK_BYTES, -512, -1, 0, 0, 0, 1, 511, 512, BLOCK_BYTES, 5 * BLOCK_BYTES, 9999]),
)
sectors = offsets.map(lambda offset: offset // SECTOR_BYTES * SECTOR_BYTES)
_SHORT = [1, 511, 512, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 20_000]
lengths = st.sampled_from([*_SHORT, 70_000, 300_000, LEAF_BYTES, LEAF_BYTES + BLOCK_BYTES])
write_lengths = st.sampled_from([*_SHORT, *_SHORT, 70_000, 300_000])
seeds = st.integers(0, 2**32)


class Machine(RuleBasedStateMachine):
    """The pool "main" lives in; commits happen when a rule says so, so that it is known what a crash leaves."""

    steps = 0
    """Steps of all machines of this process."""

    def __init__(self) -> None:
        super().__init__()
        self.portal = Portal()
        self.portal.__enter__()
        self.workspace = FilePath(tempfile.mkdtemp(prefix="odxfs-model-"))
        self.directory = self.workspace / "pool-0"
        self.tree = Tree()
        self.snapshots: dict[str, Frozen] = {}
        self.pins: list[tuple[Pin, Content]] = []
        self.now = 1000.0
        create_pool(self.directory)
        self.open()
        self.note_commit()

    # -- the pool ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the pool in `directory`, which should look like `tree`."""
        self.opened = self.portal.open_pool(self.directory)
        self.pool: Pool = self.opened.pool
        self.subject = Subject(self.pool.volume("main"), self.tree)
        self.tokens = Tokens(self.pool, self.subject, self.now)
        self.pins.clear()
        self._gate_commits()
        self.run(self.subject.find_inodes())

    def close(self) -> None:
        """Leave the pool as its owner does who ends in order."""
        self.run(self._allow_commits())
        self.portal.close_pool(self.opened)

    def crash(self) -> None:
        """Go on with a copy of what is on the disk: everything since the last commit never happened."""
        crashed = self.directory
        self.directory = self.workspace / f"pool-{int(crashed.name[5:]) + 1}"
        copy_pool(crashed, self.directory)
        self.close()
        shutil.rmtree(crashed)
        self.tree, self.snapshots = Tree.thawed(self.committed), dict(self.committed_snapshots)
        self.open()

    def run(self, operation: Awaitable[T]) -> T:
        """Await something on the pool's thread."""

        async def awaited() -> T:
            return await operation

        return self.portal.call(awaited)

    def run_with_commit(self, operation: Awaitable[T]) -> T:
        """The same for what makes a commit of its own; all that was done before is durable then."""

        async def awaited() -> T:
            self._may_commit.set()
            result = await operation
            await self.pool.commit()
            self._may_commit = trio.Event()
            return result

        return self.portal.call(awaited)

    def note_commit(self) -> None:
        """What a crash leaves from now on."""
        self.committed, self.committed_snapshots = self.tree.frozen(), dict(self.snapshots)

    def _gate_commits(self) -> None:
        committer: Any = self.pool.committer
        self._may_commit = trio.Event()
        commit_once = committer.commit_once

        async def when_allowed() -> None:
            await self._may_commit.wait()
            await commit_once()

        committer.commit_once = when_allowed

    async def _allow_commits(self) -> None:
        self._may_commit.set()

    # -- choices ----------------------------------------------------------------------------------------------------

    def files(self) -> list[Node]:
        """Every file, those without a name included."""
        nameless = [each for node in self.subject.nameless for each in (node, *node.streams.values())]
        return [*[node for node in self.tree.nodes() if node.is_file], *nameless]

    def file(self, pick: int) -> Node:
        """One of them, made if there is none."""
        files = self.files() or [self.run(self.subject.create(self._free_path()))]
        return files[pick % len(files)]

    def base(self, pick: int) -> Node:
        """Something that may have streams."""
        bases = [self.tree.root, *self.subject.bases()]
        return bases[pick % len(bases)]

    def bases_with_streams(self) -> list[Node]:
        """Those that have some."""
        return [node for node in (self.tree.root, *self.subject.bases()) if node.streams]

    def _free_path(self) -> Path:
        return next(path for path in ((b"a",), (b"b",), (b"spare",)) if self.tree.find(path) is None)

    def path(self, pick: int, *kinds: int) -> Path | None:
        """A path of one of these kinds, if there is any."""
        paths = sorted(path for path, node in self.tree.walk() if node.kind in kinds)
        return paths[pick % len(paths)] if paths else None

    def new_path(self, pick: int, name: bytes) -> Path:
        """That name in some directory."""
        directories = [(), *self.tree.paths(stat.S_IFDIR)]
        return (*directories[pick % len(directories)], name)

    def data(self, seed: int, length: int) -> bytes:
        """Bytes that are like no others."""
        return random.Random(seed).randbytes(length)

    # -- what must hold after each step -----------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        """The pool's invariants, what was changed, and what one of the pins and one of the tokens stand for."""
        Machine.steps += 1
        self.run(self._assert_everything_holds())

    async def _assert_everything_holds(self) -> None:
        assert await self.pool.check() == []
        for node in self.subject.changed:
            await assert_holds(self.subject.volume, node.inode, node.content)
        self.subject.changed.clear()
        for node in self.files():
            assert node.inode.size == node.content.size
        if self.pins:
            await self._assert_held(*self.pins[Machine.steps % len(self.pins)])
        live = list(self.tokens.live.values())
        if live:
            token = live[Machine.steps % len(live)]
            await self._assert_held(token.pin, token.held)

    async def _assert_held(self, pin: Pin, held: Content) -> None:
        for offset, length in ((0, 50_000), (max(0, held.size - 50_000), 60_000)):
            found = bytes(await self.pool.read_pin(pin, offset, length))
            assert found[: max(0, held.size - offset)] == held.read(offset, length)
        for offset, length in held.runs(0, held.size):
            assert bytes(await self.pool.read_pin(pin, offset, length)) == held.read(offset, length)

    def teardown(self) -> None:
        """Look at everything once more, as it is and as the next owner sees it."""
        try:
            self.run(self._assert_all_held())
            self.run(self.subject.assert_same())
        finally:
            self.close()
            self.portal.__exit__()
            shutil.rmtree(self.workspace)

    async def _assert_all_held(self) -> None:
        assert await self.pool.check(read_data=True) == []
        for pin, held in self.pins:
            await self._assert_held(pin, held)
        for token in self.tokens.live.values():
            await self._assert_held(token.pin, token.held)
