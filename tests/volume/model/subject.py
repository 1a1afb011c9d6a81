"""A volume and its model, changed together."""

import stat
from collections.abc import Awaitable, Callable
from typing import TypeVar

from odxfs.errors import VolumeError
from odxfs.types import BLOCK_BYTES, InodeNumber
from odxfs.volume import Inode, Pin, Volume
from odxfs.volume.tree.renames import RenameFlags
from tests.volume.model import parts
from tests.volume.model.content import Content
from tests.volume.model.reality import content_of, seen_of
from tests.volume.model.tree import Node, Path, Tree

T = TypeVar("T")


class Subject:
    """Each method does one thing to the volume, then to the model. What the volume refuses leaves the model as it was.

    An operation in parts that fails may have done some of them: the model follows to what the file holds then.
    """

    def __init__(self, volume: Volume, tree: Tree) -> None:
        self.volume = volume
        self.tree = tree
        self.nameless: list[Node] = []
        """Held files that have lost their last name."""
        self.on_state: Callable[[], None] = lambda: None
        """Called when the model shows a state that a commit may make durable."""
        self.changed: set[Node] = set()
        """Files changed since somebody cleared this."""

    async def find_inodes(self) -> None:
        """After the pool was opened anew: every node's inode is another object. Nobody holds any."""
        self.nameless.clear()
        self.tree.root.inode = await self.volume.inode(self.volume.root)
        for path, node in self.tree.walk():
            node.inode = await self.volume.lookup(await self._number(path[:-1]), path[-1])
            node.holds = 0
        for base in [self.tree.root, *(node for _, node in self.tree.walk())]:
            for name, stream in base.streams.items():
                stream.inode = (await self.volume.find_stream(base.inode, name))[1]
                stream.holds = 0
        self.changed = {node for node in self.tree.nodes() if node.is_file}

    async def assert_same(self) -> None:
        """Everything that can be seen of the volume is as in the model."""
        assert await seen_of(self.volume) == self.tree.frozen()

    # -- names ------------------------------------------------------------------------------------------------------

    async def create(self, path: Path, kind: int = stat.S_IFREG, target: bytes = b"") -> Node:
        """A file, directory or symlink under a name that is free."""
        mode = kind | (0o755 if kind == stat.S_IFDIR else 0o644)
        inode = await self.volume.create(await self._number(path[:-1]), path[-1], mode, 0, 0, target=target)
        node = Node(kind, target=target, inode=inode)
        self._directory(path).children[path[-1]] = node
        self.on_state()
        return node

    async def link(self, old: Path, new: Path) -> None:
        """One name more for a file or symlink."""
        node = self._node(old)
        await self.volume.link(node.inode, await self._number(new[:-1]), new[-1])
        self._directory(new).children[new[-1]] = node
        self.on_state()

    async def unlink(self, path: Path) -> None:
        """One name less."""
        await self.volume.unlink(await self._number(path[:-1]), path[-1])
        self._lose(self._directory(path).children.pop(path[-1]))
        self.on_state()

    async def rmdir(self, path: Path) -> None:
        """Remove an empty directory."""
        await self.volume.rmdir(await self._number(path[:-1]), path[-1])
        self._lose(self._directory(path).children.pop(path[-1]))
        self.on_state()

    async def rename(self, old: Path, new: Path, flags: RenameFlags = RenameFlags.NONE) -> None:
        """Move a name, a whole tree with a directory's, over what is there or in exchange with it."""
        moved, replaced = self._node(old), self.tree.find(new)
        await self.volume.rename(
            await self._number(old[:-1]), old[-1], await self._number(new[:-1]), new[-1], flags
        )
        if replaced is moved:
            return
        source, destination = self._directory(old), self._directory(new)
        del source.children[old[-1]]
        destination.children[new[-1]] = moved
        if flags & RenameFlags.EXCHANGE and replaced is not None:
            source.children[old[-1]] = replaced
        elif replaced is not None:
            self._lose(replaced)
        self.on_state()

    async def create_stream(self, base: Node, name: bytes) -> Node:
        """An empty stream under a name that is free."""
        stream = Node(stat.S_IFREG, inode=await self.volume.create_stream(base.inode, name))
        base.streams[name] = stream
        self.on_state()
        return stream

    async def remove_stream(self, base: Node, name: bytes) -> None:
        """A stream less."""
        await self.volume.remove_stream(base.inode, name)
        self._lose(base.streams.pop(name))
        self.on_state()

    async def rename_stream(self, base: Node, old: bytes, new: bytes) -> None:
        """Another name for a stream; what has it is replaced."""
        await self.volume.rename_stream(base.inode, old, new, lambda _: None)
        moved, replaced = base.streams.pop(old), base.streams.pop(new, None)
        base.streams[new] = moved
        if replaced is not None:
            self._lose(replaced)
        self.on_state()

    async def set_xattr(self, node: Node, name: bytes, value: bytes) -> None:
        """Set an extended attribute."""
        await self.volume.set_xattr(node.inode, name, value)
        node.xattrs[name] = value
        self.on_state()

    async def remove_xattr(self, node: Node, name: bytes) -> None:
        """Remove one that is there."""
        await self.volume.remove_xattr(node.inode, name)
        del node.xattrs[name]
        self.on_state()

    def hold(self, node: Node) -> None:
        """Open a file."""
        self.volume.hold(node.inode)
        node.holds += 1

    async def release(self, node: Node) -> None:
        """Close it."""
        await self.volume.release(node.inode)
        node.holds -= 1
        if not node.holds and node in self.nameless:
            self.nameless.remove(node)
            self._lose_streams(node)

    def bases(self) -> list[Node]:
        """Everything with a name that may have streams, but the root. What has lost its last name gets none any more."""
        nodes = dict.fromkeys(node for _, node in self.tree.walk())
        return [node for node in nodes if node.is_file or node.is_directory]

    # -- data -------------------------------------------------------------------------------------------------------

    async def write(self, node: Node, offset: int, data: bytes) -> None:
        """Write; the file grows as needed."""
        after = node.content.copy()
        after.write(offset, data)
        await self._at_once(node, after, lambda: self.volume.write(node.inode, offset, data))

    async def truncate(self, node: Node, size: int) -> None:
        """Move the end of file."""
        after = node.content.copy()
        after.resize(size)
        await self._at_once(node, after, lambda: self.volume.truncate(node.inode, size))

    async def deallocate(self, node: Node, offset: int, length: int) -> None:
        """Make a hole."""
        steps = parts.deallocated(node.content, offset, length)
        await self._in_parts(node, steps, lambda: self.volume.deallocate(node.inode, offset, length))

    async def capture(self, node: Node, offset: int, length: int) -> tuple[Pin, Content]:
        """A pin, and what it should hold."""
        pin = await self.volume.capture(node.inode, offset, length)
        held = captured(node.content, offset, length)
        assert pin.length == held.size
        assert not (pin.is_hole and held.chunks)
        return pin, held

    async def write_pin(
        self, node: Node, offset: int, pin: Pin, held: Content, pin_offset: int, length: int
    ) -> int:
        """Let what a pin holds appear in a file; returns the bytes shared."""
        length = min(length, held.size - pin_offset)
        shift = pin.offset + pin_offset - offset
        steps = parts.cloned(node.content, offset, held, pin_offset, length, shift)
        shared = await self._in_parts(
            node, steps, lambda: self.volume.write_pin(node.inode, offset, pin, pin_offset, length)
        )
        assert 0 <= shared <= max(0, length)
        return shared

    async def clone_range(
        self, source: Node, source_offset: int, node: Node, offset: int, length: int
    ) -> int:
        """Capture and write in one; returns the bytes shared."""
        held = captured(source.content, source_offset, length)
        steps = parts.cloned(node.content, offset, held, 0, held.size, source_offset - offset)
        return await self._in_parts(
            node,
            steps,
            lambda: self.volume.clone_range(source.inode, source_offset, node.inode, offset, length),
        )

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _at_once(self, node: Node, after: Content, operate: Callable[[], Awaitable[None]]) -> None:
        node.under_way = [node.content, after]
        try:
            await operate()
            node.content = after
        finally:
            node.under_way = []
        self.changed.add(node)
        self.on_state()

    async def _in_parts(self, node: Node, steps: list[Content], operate: Callable[[], Awaitable[T]]) -> T:
        before = node.content
        for step in steps:  # a commit may come in the middle
            node.content = step
            self.on_state()
        node.under_way = [before, *steps]
        self.changed.add(node)
        try:
            return await operate()
        except VolumeError:
            node.content = await content_of(self.volume, node.inode)
            assert node.content in node.under_way, "a failed operation left something that is no part of it"
            raise
        finally:
            node.under_way = []

    def _lose(self, node: Node) -> None:
        if node in self.tree.nodes():
            return
        if node.holds:
            self.nameless.append(node)
        else:
            self._lose_streams(node)

    def _lose_streams(self, base: Node) -> None:
        """What has neither name nor user takes its streams with it, but for those that somebody uses."""
        self.nameless += [stream for stream in base.streams.values() if stream.holds]
        base.streams = {}

    def _node(self, path: Path) -> Node:
        node = self.tree.find(path)
        assert node is not None
        return node

    def _directory(self, path: Path) -> Node:
        return self._node(path[:-1])

    async def _number(self, directory: Path) -> InodeNumber:
        inode: Inode | None = self._node(directory).inode
        return self.volume.root if inode is None else inode.number


def captured(content: Content, offset: int, length: int) -> Content:
    """What a pin holds: clipped at the end of file rounded up to a block, zeros behind the end."""
    end = min(offset + length, -(-content.size // BLOCK_BYTES) * BLOCK_BYTES)
    return content.part(offset, max(0, end - offset))
