"""A file tree in memory, and its frozen form, which two trees have alike exactly when a user could not tell them apart."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.volume.model.content import Content

Path = tuple[bytes, ...]
"""The names from the root down; () is the root."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a user sees under one name."""

    kind: int
    """S_IFMT bits."""
    content: Content | bytes
    """Of a file its bytes, of a symlink its target, of a directory nothing."""
    xattrs: tuple[tuple[bytes, bytes], ...]
    first_name: Path
    """The first of all names of the same inode: hard links have it in common."""


Frozen = dict[Path, Seen]


_SNAPSHOTS = b"/"
"""Stands before the paths of snapshots: no file can be called so."""


def with_snapshots(volume: Frozen, snapshots: dict[str, Frozen]) -> Frozen:
    """A volume and its snapshots in one."""
    whole = dict(volume)
    for name, frozen in snapshots.items():
        above = (_SNAPSHOTS, name.encode())
        whole[above] = Seen(stat.S_IFDIR, b"", (), above)
        for path, seen in frozen.items():
            whole[(*above, *path)] = replace(seen, first_name=(*above, *seen.first_name))
    return whole


def without_snapshots(whole: Frozen) -> tuple[Frozen, dict[str, Frozen]]:
    """The inverse: the volume, and each snapshot by its name."""
    volume, snapshots = Frozen(), dict[str, Frozen]()
    for path in sorted(whole):
        seen = whole[path]
        if path[0] != _SNAPSHOTS:
            volume[path] = seen
        elif len(path) == 2:
            snapshots[path[1].decode()] = {}
        else:
            snapshots[path[1].decode()][path[2:]] = replace(seen, first_name=seen.first_name[2:])
    return volume, snapshots


STREAM = b"/:"
"""Stands before the name of a stream, behind the path of its file."""


@dataclass(eq=False)
class Node:
    """An inode. `inode` is the real one, of the pool that is open now; `holds` counts its users."""

    kind: int
    content: Content = field(default_factory=Content)
    target: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    children: "dict[bytes, Node]" = field(default_factory=dict)
    streams: "dict[bytes, Node]" = field(default_factory=dict)
    inode: Any = None
    holds: int = 0
    under_way: "list[Content]" = field(default_factory=list)
    """While an operation changes the file: every content that another task may find."""

    @property
    def is_file(self) -> bool:
        return self.kind == stat.S_IFREG

    @property
    def is_directory(self) -> bool:
        return self.kind == stat.S_IFDIR


class Tree:
    """Names and what they lead to."""

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR)

    def walk(self) -> Iterator[tuple[Path, Node]]:
        """Every (path, node) but the root's, a directory before what is in it."""
        waiting: list[tuple[Path, Node]] = [((), self.root)]
        while waiting:
            path, node = waiting.pop()
            for name in sorted(node.children):
                child = node.children[name]
                yield (*path, name), child
                if child.is_directory:
                    waiting.append(((*path, name), child))

    def find(self, path: Path) -> Node | None:
        """The node under a path."""
        node: Node | None = self.root
        for name in path:
            node = node.children.get(name) if node is not None else None
        return node

    def paths(self, kind: int) -> list[Path]:
        """The paths of one kind, sorted."""
        return sorted(path for path, node in self.walk() if node.kind == kind)

    def nodes(self) -> list[Node]:
        """Each node that has a name, once, but the root; a stream behind its file."""
        bases = dict.fromkeys([self.root, *(node for _, node in self.walk())])
        return [each for base in bases for each in (base, *base.streams.values()) if each is not self.root]

    def is_inside(self, path: Path, directory: Path) -> bool:
        """Whether `path` is `directory` or below it."""
        return path[: len(directory)] == directory

    def can_rename(self, old: Path, new: Path) -> bool:
        """Whether rename(2) would do it, without an error."""
        moved, replaced = self.find(old), self.find(new)
        assert moved is not None
        if moved.is_directory and self.is_inside(new, old) and new != old:
            return False
        if replaced is None or replaced is moved:
            return True
        return moved.is_directory == replaced.is_directory and not replaced.children

    def can_exchange(self, old: Path, new: Path) -> bool:
        """Whether an exchange would be done: both are there, and neither is inside the other."""
        both = self.find(old) is not None and self.find(new) is not None
        return both and not self.is_inside(old, new) and not self.is_inside(new, old)

    def frozen(self) -> Frozen:
        """What a user would see now."""
        found = {(): self.root, **dict(self.walk())}
        for path, node in list(found.items()):
            found.update({(*path, STREAM + name): stream for name, stream in node.streams.items()})
        del found[()]
        first: dict[int, Path] = {}
        for path in sorted(found):
            first.setdefault(id(found[path]), path)
        return {path: _seen(node, first[id(node)]) for path, node in found.items()}

    @classmethod
    def thawed(cls, frozen: Frozen) -> "Tree":
        """The tree that looks like this."""
        tree, nodes = cls(), dict[Path, Node]()
        for path in sorted(frozen):
            seen = frozen[path]
            node = nodes.get(seen.first_name)
            if node is None:
                node = nodes[seen.first_name] = Node(seen.kind, xattrs=dict(seen.xattrs))
                if isinstance(seen.content, Content):
                    node.content = seen.content.copy()
                else:
                    node.target = seen.content
            parent = tree.find(path[:-1])
            assert parent is not None
            if path[-1].startswith(STREAM):
                parent.streams[path[-1].removeprefix(STREAM)] = node
            else:
                parent.children[path[-1]] = node
        return tree


def _seen(node: Node, first_name: Path) -> Seen:
    content = node.content.copy() if node.is_file else node.target
    return Seen(node.kind, content, tuple(sorted(node.xattrs.items())), first_name)
