"""From the pool's changes, whichever front end made them, to the watches that they concern.

The pool calls the hub synchronously after each change; the hub only queues it, and its task finds out, with what the
catalog says of names, which watches see it and under which path. No watches: no work. A queue that overflows turns into
NOTIFY_ENUM_DIR, never into silence.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import trio

from odxfs.errors import NotFound, VolumeError
from odxfs.ntstatus import Status
from odxfs.smb.directory.names import shown_name
from odxfs.smb.notify.watch import Event, Filter, Watch
from odxfs.types import InodeNumber, VolumeId
from odxfs.volume import (
    Attribute,
    AttributesChanged,
    ContentChanged,
    EntryAdded,
    EntryRemoved,
    EntryRenamed,
    SnapshotAdded,
    SnapshotRemoved,
    StreamAdded,
    StreamRemoved,
    StreamRenamed,
    decode_name,
)
from odxfs.wire.fscc.notify import NotifyAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from odxfs.volume import Change, Inode, Pool, Volume

MAX_QUEUED_CHANGES = 8192
"""Changes that wait to be told: about a second of busy work; more means the task is starved, and a listing is cheaper."""

MAX_DEPTH = 512
"""Directories between a change and the volume's root; a path of single letters reaches this at MAX_PATH_CHARACTERS."""

_NAME = {True: Filter.DIR_NAME, False: Filter.FILE_NAME}
_STREAMS = Filter.STREAM_WRITE | Filter.STREAM_SIZE
_BY_RENAME = Filter.ATTRIBUTES | Filter.CREATION
_ATTRIBUTE_FILTERS = {
    Attribute.SIZE: Filter.SIZE,
    Attribute.TIMES: Filter.LAST_WRITE | Filter.LAST_ACCESS | Filter.CREATION,
    Attribute.MODE: Filter.SECURITY,
    Attribute.OWNER: Filter.SECURITY,
    Attribute.DOS: Filter.ATTRIBUTES,
    Attribute.XATTR: Filter.EA,
    Attribute.SECURITY: Filter.SECURITY,
}

logger = logging.getLogger(__name__)


class NotifyHub:
    """Owned by the server, which runs `run` beside its listener; CHANGE_NOTIFY asks it for watches."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._watches: dict[VolumeId, set[Watch]] = {}
        self._names: dict[VolumeId, Volume] = {}
        self._changes: deque[Change] = deque()
        self._wake = trio.Event()
        self._telling = trio.Lock()

    def watch(
        self,
        volume: Volume,
        directory: InodeNumber,
        wanted: Filter,
        capacity_bytes: int,
        *,
        tree: bool,
        may_see: Callable[[Inode], bool] = lambda _: True,
    ) -> Watch:
        """A new watch, which the caller gives back with `close`."""
        watch = Watch(volume.id, directory, wanted, capacity_bytes, tree=tree, may_see=may_see)
        if not self._watches:
            self._pool.add_observer(self._observe)
        self._watches.setdefault(volume.id, set()).add(watch)
        self._names[volume.id] = volume
        return watch

    def close(self, watch: Watch) -> None:
        """End `watch` with NOTIFY_CLEANUP; harmless a second time."""
        watch.end(Status.NOTIFY_CLEANUP)
        watches = self._watches.get(watch.volume)
        if watches is None or watch not in watches:
            return
        watches.discard(watch)
        if not watches:
            del self._watches[watch.volume], self._names[watch.volume]
        if not self._watches:
            self._pool.remove_observer(self._observe)
            self._changes.clear()

    def directory_marked(self, number: InodeNumber) -> None:
        """The directory is marked for deletion, which may be taken back: who waits for a change of it is told DELETE_PENDING."""
        for watch in self._watches_of(number):
            watch.refuse_waiting(Status.DELETE_PENDING)

    def _watches_of(self, directory: InodeNumber) -> list[Watch]:
        return [
            watch for watches in self._watches.values() for watch in watches if watch.directory == directory
        ]

    async def run(self) -> None:
        """Tell the watches of the changes, in their order, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self.catch_up()

    async def catch_up(self) -> None:
        """Return when everything that has happened is told; without a checkpoint when there is nothing to tell.

        Every request does this before it is answered: a watcher hears of a change while its names still stand, and before
        the one who made it.
        """
        if not self._changes and not self._telling.locked():
            return
        async with self._telling:
            while self._changes:
                await self._tell(self._changes.popleft())

    def _observe(self, change: Change) -> None:
        watches = self._watches.get(change.volume)
        if not watches or not self._wanted(change, watches):
            return
        if len(self._changes) >= MAX_QUEUED_CHANGES:
            self._changes.clear()
            for watch in [watch for several in self._watches.values() for watch in several]:
                watch.overflow()
            return
        self._changes.append(change)
        self._wake.set()

    def _wanted(self, change: Change, watches: set[Watch]) -> bool:
        """Keep what nobody asked for, and the tenth write in a row, out of the queue: writes come by the thousand."""
        if isinstance(change, SnapshotAdded | SnapshotRemoved):
            return False  # neither is a change of what is in a folder
        if not isinstance(change, ContentChanged | AttributesChanged):
            return True
        if self._changes and self._changes[-1] == change:
            return False
        wanted = _modification_filter(change)
        return any(watch.filter & wanted for watch in watches)

    async def _tell(self, change: Change) -> None:
        watches, volume = self._watches.get(change.volume), self._names.get(change.volume)
        if watches is None or volume is None:
            return
        try:
            if isinstance(change, EntryRenamed):
                await self._tell_rename(volume, change)
            elif isinstance(change, EntryAdded | EntryRemoved):
                await self._tell_entry(volume, change)
            elif isinstance(change, StreamAdded | StreamRemoved):
                added = isinstance(change, StreamAdded)
                action = NotifyAction.ADDED_STREAM if added else NotifyAction.REMOVED_STREAM
                await self._tell_stream(volume, change.base, change.name, Filter.STREAM_NAME, action)
            elif isinstance(change, StreamRenamed):
                named = Filter.STREAM_NAME
                await self._tell_stream(
                    volume, change.base, change.old_name, named, NotifyAction.REMOVED_STREAM
                )
                await self._tell_stream(
                    volume, change.base, change.new_name, named, NotifyAction.ADDED_STREAM
                )
            elif isinstance(change, ContentChanged | AttributesChanged):
                await self._tell_modification(volume, change)
        except VolumeError as error:
            logger.info("a change cannot be told by name (%s): its watchers list again", error)
            for watch in list(watches):
                if watch.tree:
                    watch.overflow()

    async def _tell_entry(self, volume: Volume, change: EntryAdded | EntryRemoved) -> None:
        removed = isinstance(change, EntryRemoved)
        if removed and change.is_directory:
            for watch in self._watches_of(change.number):
                watch.end(Status.DELETE_PENDING)
        action = NotifyAction.REMOVED if removed else NotifyAction.ADDED
        paths = await self._paths(volume, change.parent, change.name, _NAME[change.is_directory])
        _tell_all(paths, action)

    async def _tell_rename(self, volume: Volume, change: EntryRenamed) -> None:
        """One directory: old name and new name together. Two directories, or a hidden name: gone here, come there.

        A file (not a directory) is modified to who asked for attributes or times and not for names. All of that is what Windows
        does.
        """
        wanted = _NAME[change.is_directory]
        old = await self._paths(volume, change.old_parent, change.old_name, wanted)
        new = await self._paths(volume, change.new_parent, change.new_name, wanted)
        if change.replaced is not None:
            _tell_all(new, NotifyAction.REMOVED)
        if change.old_parent == change.new_parent:
            for watch in old.keys() & new.keys():
                before = Event(NotifyAction.RENAMED_OLD_NAME, old.pop(watch))
                watch.add([before, Event(NotifyAction.RENAMED_NEW_NAME, new.pop(watch))])
        _tell_all(old, NotifyAction.REMOVED)
        _tell_all(new, NotifyAction.ADDED)
        if not change.is_directory:
            touched = await self._paths(volume, change.new_parent, change.new_name, _BY_RENAME)
            unnamed = {watch: path for watch, path in touched.items() if not watch.filter & wanted}
            _tell_all(unnamed, NotifyAction.MODIFIED)

    async def _tell_modification(self, volume: Volume, change: ContentChanged | AttributesChanged) -> None:
        wanted = _modification_filter(change)
        names = await volume.names_of(change.number)
        for parent, name in names:
            _tell_all(await self._paths(volume, parent, name, wanted & ~_STREAMS), NotifyAction.MODIFIED)
        if not names and wanted & _STREAMS:
            await self._tell_stream_written(volume, change.number, wanted & _STREAMS)

    async def _tell_stream_written(self, volume: Volume, number: InodeNumber, wanted: Filter) -> None:
        """What has no name may be a named stream: of it there are filters of their own."""
        try:
            stream = await volume.inode(number)
            base = await volume.inode(stream.parent) if stream.is_stream else None
        except NotFound:
            return
        for name, found in await volume.list_streams(base) if base is not None else ():
            if found == number and base is not None:
                await self._tell_stream(volume, base.number, name, wanted, NotifyAction.MODIFIED_STREAM)

    async def _tell_stream(
        self, volume: Volume, base: InodeNumber, stream: bytes, wanted: Filter, action: NotifyAction
    ) -> None:
        for parent, name in await volume.names_of(base):
            paths = await self._paths(volume, parent, name, wanted)
            _tell_all({watch: f"{path}:{decode_name(stream)}" for watch, path in paths.items()}, action)

    async def _paths(
        self, volume: Volume, parent: InodeNumber, name: bytes, wanted: Filter
    ) -> dict[Watch, str]:
        """The watches that see a change of kind `wanted` at this entry, each with the path as seen from it.

        A watch of a tree sees nothing in folders that are closed to its user, as no listing would show it.
        """
        interested = [watch for watch in self._watches.get(volume.id, ()) if watch.filter & wanted]
        deep = any(watch.tree for watch in interested)
        found: dict[Watch, str] = {}
        between: list[Inode] = []
        path, directory = shown_name(name), parent
        for depth in range(MAX_DEPTH):
            if path is None:
                break
            for watch in interested:
                is_in_sight = watch.directory == directory and (watch.tree or depth == 0)
                if is_in_sight and all(map(watch.may_see, between)):
                    found[watch] = path
            if not deep or directory == volume.root:
                break
            try:
                between.append(await _with_security(volume, directory))
            except NotFound:
                break  # it has been removed since: nobody can say where it was
            directory, path = await _outwards(volume, directory, path)
        return found


def _tell_all(paths: dict[Watch, str], action: NotifyAction) -> None:
    for watch, path in paths.items():
        watch.add([Event(action, path)])


async def _with_security(volume: Volume, directory: InodeNumber) -> Inode:
    inode = await volume.inode(directory)
    await volume.security(inode)
    return inode


async def _outwards(volume: Volume, directory: InodeNumber, path: str) -> tuple[InodeNumber, str | None]:
    """One directory up: its parent, and `path` as seen from there (None: a hidden name is on the way)."""
    names = await volume.names_of(directory)
    if not names:
        return volume.root, None
    parent, name = names[0]
    shown = shown_name(name)
    return parent, None if shown is None else f"{shown}\\{path}"


def _modification_filter(change: ContentChanged | AttributesChanged) -> Filter:
    if isinstance(change, ContentChanged):
        written = Filter.LAST_WRITE | Filter.STREAM_WRITE
        return written | Filter.SIZE | Filter.STREAM_SIZE if change.size_changed else written
    wanted = Filter(0)
    for flag, bits in _ATTRIBUTE_FILTERS.items():
        if change.what & flag:
            wanted |= bits
    return wanted
