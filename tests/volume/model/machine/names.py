"""Rules about names, attributes and users of files."""

import stat

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from odxfs.types import LEAF_BYTES
from odxfs.volume import RenameFlags
from tests.volume.model.machine.base import Machine, names, picks, seeds

_DEEPEST = 3

streams = st.sampled_from([b"one", b"Two"])


class NameRules(Machine):
    """Directories, links, renames, extended attributes, open files."""

    @initialize()
    def first_files(self) -> None:
        """Two files, of which one has data in two leaves."""
        node = self.run(self.subject.create((b"a",)))
        self.run(self.subject.create((b"b",)))
        for offset in (0, LEAF_BYTES - 70_000):
            self.run(self.subject.write(node, offset, self.data(offset, 300_000)))
        self.run_with_commit(self.subject.volume.sync())
        self.note_commit()

    @rule(
        pick=picks, name=names, kind=st.sampled_from([stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK])
    )
    def create(self, pick: int, name: bytes, kind: int) -> None:
        path = self.new_path(pick, name)
        if self.tree.find(path) is None and (len(path) < _DEEPEST or kind != stat.S_IFDIR):
            target = b"a/target" if kind == stat.S_IFLNK else b""
            self.run(self.subject.create(path, kind, target))

    @rule(pick=picks, where=picks, name=names)
    def link(self, pick: int, where: int, name: bytes) -> None:
        old, new = self.path(pick, stat.S_IFREG, stat.S_IFLNK), self.new_path(where, name)
        if old is not None and self.tree.find(new) is None:
            self.run(self.subject.link(old, new))

    @rule(pick=picks)
    def unlink(self, pick: int) -> None:
        path = self.path(pick, stat.S_IFREG, stat.S_IFLNK)
        if path is not None:
            self.run(self.subject.unlink(path))

    @rule(pick=picks)
    def rmdir(self, pick: int) -> None:
        empty = [path for path, node in self.tree.walk() if node.is_directory and not node.children]
        if empty:
            self.run(self.subject.rmdir(empty[pick % len(empty)]))

    @rule(pick=picks, where=picks, name=names, exchange=st.booleans())
    def rename(self, pick: int, where: int, name: bytes, exchange: bool) -> None:
        old = self.path(pick, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        new = self.new_path(where, name)
        if old is None:
            return
        if exchange and self.tree.can_exchange(old, new):
            self.run(self.subject.rename(old, new, RenameFlags.EXCHANGE))
        elif self.tree.can_rename(old, new):
            self.run(self.subject.rename(old, new))

    @rule(
        pick=picks,
        name=st.sampled_from([b"user.one", b"user.two"]),
        length=st.sampled_from([0, 5, 2000]),
        seed=seeds,
    )
    def set_xattr(self, pick: int, name: bytes, length: int, seed: int) -> None:
        nodes = self.tree.nodes()
        if nodes:
            self.run(self.subject.set_xattr(nodes[pick % len(nodes)], name, self.data(seed, length)))

    @rule(pick=picks)
    def remove_xattr(self, pick: int) -> None:
        having = [node for node in self.tree.nodes() if node.xattrs]
        if having:
            node = having[pick % len(having)]
            self.run(self.subject.remove_xattr(node, sorted(node.xattrs)[0]))

    @rule(pick=picks, name=streams)
    def create_stream(self, pick: int, name: bytes) -> None:
        base = self.base(pick)
        if name not in base.streams:
            self.run(self.subject.create_stream(base, name))

    @rule(pick=picks)
    def remove_stream(self, pick: int) -> None:
        having = self.bases_with_streams()
        if having:
            base = having[pick % len(having)]
            self.run(self.subject.remove_stream(base, sorted(base.streams)[0]))

    @rule(pick=picks, which=picks, name=streams)
    def rename_stream(self, pick: int, which: int, name: bytes) -> None:
        having = self.bases_with_streams()
        if having:
            base = having[pick % len(having)]
            old = sorted(base.streams)[which % len(base.streams)]
            if old != name:
                self.run(self.subject.rename_stream(base, old, name))

    @rule(pick=picks)
    def hold(self, pick: int) -> None:
        self.subject.hold(self.file(pick))  # a count, which no other task looks at now

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        held = [node for node in self.files() if node.holds]
        if held:
            self.run(self.subject.release(held[pick % len(held)]))

    @rule()
    def look_at_everything(self) -> None:
        """Listings, lookups, attributes and bytes of the whole tree."""
        self.run(self.subject.assert_same())
