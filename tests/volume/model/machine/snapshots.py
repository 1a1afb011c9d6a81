"""Rules about snapshots. Making and deleting one is a commit."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odxfs.errors import NotFound
from tests.volume.model.content import Content
from tests.volume.model.machine.base import Machine, lengths, offsets, picks
from tests.volume.model.reality import seen_of
from tests.volume.model.subject import captured
from tests.volume.model.tree import STREAM, Node, Path, Tree

_SNAPSHOTS = 3


class SnapshotRules(Machine):
    """Make, read, clone from, go back to, delete."""

    @precondition(lambda self: len(self.snapshots) < _SNAPSHOTS)
    @rule(name=st.sampled_from(["monday", "tuesday", "sunday"]))
    def create_snapshot(self, name: str) -> None:
        if name not in self.snapshots:
            self.run_with_commit(self.pool.snapshots.create("main", name))
            self.snapshots[name] = self.tree.frozen()
            self.note_commit()

    @precondition(lambda self: self.snapshots)
    @rule(pick=picks)
    def delete_snapshot(self, pick: int) -> None:
        name = sorted(self.snapshots)[pick % len(self.snapshots)]
        self.run_with_commit(self.pool.snapshots.delete("main", name))
        del self.snapshots[name]
        self.note_commit()

    @precondition(lambda self: self.snapshots)
    @rule(pick=picks)
    def read_snapshot(self, pick: int) -> None:
        name = sorted(self.snapshots)[pick % len(self.snapshots)]
        assert self.run(seen_of(self.pool.snapshot_volume("main", name))) == self.snapshots[name]

    @precondition(lambda self: self.snapshots)
    @rule(pick=picks, which=picks, where=picks, source_offset=offsets, offset=offsets, length=lengths)
    def clone_from_snapshot(
        self, pick: int, which: int, where: int, source_offset: int, offset: int, length: int
    ) -> None:
        name = sorted(self.snapshots)[pick % len(self.snapshots)]
        files = [
            path for path, seen in sorted(self.snapshots[name].items()) if isinstance(seen.content, Content)
        ]
        if not files:
            return
        path = files[which % len(files)]
        content = self.snapshots[name][path].content
        assert isinstance(content, Content)
        self.run(self._clone(name, path, content, source_offset, self.file(where), offset, length))

    async def _clone(
        self,
        name: str,
        path: Path,
        content: Content,
        source_offset: int,
        node: Node,
        offset: int,
        length: int,
    ) -> None:
        volume = self.pool.snapshot_volume("main", name)
        inode = await volume.inode(volume.root)
        for part in path:
            if part.startswith(STREAM):
                inode = (await volume.find_stream(inode, part.removeprefix(STREAM)))[1]
            else:
                inode = await volume.lookup(inode.number, part)
        pin = await volume.capture(inode, source_offset, length)
        held = captured(content, source_offset, length)
        assert pin.length == held.size
        try:
            await self.subject.write_pin(node, offset, pin, held, 0, held.size)
        finally:
            self.pool.release_pin(pin)

    @precondition(lambda self: self.snapshots and not any(node.holds for node in self.files()))
    @rule(pick=picks)
    def restore_snapshot(self, pick: int) -> None:
        name = sorted(self.snapshots)[pick % len(self.snapshots)]
        self.run_with_commit(self.pool.snapshots.restore("main", name))
        self.tree = self.subject.tree = Tree.thawed(self.snapshots[name])
        self.run(self.subject.find_inodes())
        self.note_commit()

    @rule()
    def read_a_snapshot_that_is_not_there(self) -> None:
        with pytest.raises(NotFound):
            self.pool.snapshot_volume("main", "never")
