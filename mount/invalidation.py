"""What the kernel must forget when the share changes the volume.

Two notices with different manners. That cached *attributes* are old is said on the spot, inside the change: the kernel only
sets a mark and never waits. That cached *pages* or *names* are old may make the kernel wait for an operation that this very
thread has to answer, so a worker thread says it, a moment later. To cover that moment, the next operation that reaches an
inode whose name went is refused once with ESTALE: the kernel then walks the path again without its cache, and the program
sees only the true answer.
"""

import logging
from collections.abc import Callable

import pyfuse3
import trio

from odxfs.types import InodeNumber
from odxfs.volume import (
    AttributesChanged,
    Change,
    ContentChanged,
    EntryAdded,
    EntryRemoved,
    EntryRenamed,
    SnapshotAdded,
    SnapshotRemoved,
    Volume,
    encode_name,
    inode_seen_in,
)

from .inode_numbers import InodeNumbers
from .snapshots import FOLDER

log = logging.getLogger("odxfs.mount")

Name = tuple[InodeNumber, bytes]


class Invalidation:
    """Observer of a volume; `run` is its task. Everything but `run` is synchronous."""

    def __init__(self, volume: Volume, numbers: InodeNumbers) -> None:
        self._volume = volume
        self._numbers = numbers
        self._pages: set[InodeNumber] = set()
        self._names: set[Name] = set()
        self.names_gone = 0
        """How many names others have taken away so far: who looked at one before does not know that it is there still."""
        self._renamed: set[InodeNumber] = set()
        self._renamed_before: set[InodeNumber] = set()
        """Of the names that the kernel is being told of."""
        self._wake = trio.Event()
        self._telling, self._next = trio.Event(), trio.Event()
        self._telling.set()

    @property
    def doubts_names(self) -> bool:
        """Whether the kernel may have come to any inode by a name that is gone."""
        return bool(self._renamed or self._renamed_before)

    def name_is_doubtful(self, number: InodeNumber) -> bool:
        """Whether the kernel may have come to the inode by a name that is gone; true once for each change."""
        if number not in self._renamed and number not in self._renamed_before:
            return False
        self.found_by_name(number)
        return True

    def found_by_name(self, number: InodeNumber) -> None:
        """The kernel is being given a true name of the inode: what it now does with it needs no second look."""
        self._renamed.discard(number)
        self._renamed_before.discard(number)

    def changed(self, change: Change) -> None:
        """The pool's observer: called inside each change, of every volume and from every origin."""
        if change.volume != self._volume.id or change.origin == self._volume.origin:
            return
        match change:
            case ContentChanged():
                self._content_changed(change)
            case AttributesChanged():
                self._attributes_old(change.number)
            case EntryAdded():
                self._attributes_old(change.parent, change.number)
            case EntryRemoved():
                self._attributes_old(change.parent, change.number)
                self._name_old((change.parent, change.name), change.number)
            case EntryRenamed():
                self._entry_renamed(change)
            case SnapshotAdded():
                self._attributes_old(FOLDER)
            case SnapshotRemoved():
                self._attributes_old(FOLDER)
                root = inode_seen_in(change.snapshot, self._volume.root)
                self._name_old((FOLDER, encode_name(change.name)), root)

    def _content_changed(self, change: ContentChanged) -> None:
        known = self._numbers.known(change.number)
        if known is None:
            return
        known.is_resized |= change.size_changed
        self._attributes_old(change.number)
        self._pages.add(change.number)
        self._wake.set()

    def _entry_renamed(self, change: EntryRenamed) -> None:
        numbers = [change.number] if change.replaced is None else [change.number, change.replaced]
        self._attributes_old(change.old_parent, change.new_parent, *numbers)
        self._name_old((change.old_parent, change.old_name), *numbers)
        self._name_old((change.new_parent, change.new_name), *numbers)

    def _attributes_old(self, *numbers: InodeNumber) -> None:
        for number in numbers:
            if number in self._numbers:
                _notify(pyfuse3.invalidate_inode, self._numbers.for_kernel(number), attr_only=True)

    def _name_old(self, name: Name, *numbers: InodeNumber) -> None:
        self.names_gone += 1
        known = {number for number in numbers if number in self._numbers}
        if name[0] not in self._numbers or not known:
            return
        self._renamed |= known
        self._names.add(name)
        self._wake.set()

    def content_doubtful(self, number: InodeNumber) -> None:
        """The kernel's pages are not what it did last: a change ended half-way, or bytes went elsewhere than it said."""
        self._attributes_old(number)
        if number in self._numbers:
            self._pages.add(number)
            self._wake.set()

    def drop_pages(self, number: InodeNumber) -> None:
        """Have the kernel write back and forget the inode's pages. For worker threads: it may block, as `_tell` does."""
        _notify(pyfuse3.invalidate_inode, self._numbers.for_kernel(number))

    async def caught_up(self) -> None:
        """Return when the kernel has forgotten all that is old by now."""
        if self._wake.is_set():
            await self._next.wait()
        else:
            await self._telling.wait()

    async def run(self) -> None:
        """Tell the kernel of old pages and names until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self._telling, self._next = self._next, trio.Event()
            pages, self._pages = self._pages, set()
            names, self._names = self._names, set()
            self._renamed_before, self._renamed = self._renamed, set()
            await trio.to_thread.run_sync(self._tell, pages, names)
            self._renamed_before.clear()
            self._telling.set()

    def _tell(self, pages: set[InodeNumber], names: set[Name]) -> None:
        """Runs in a worker thread and may block for as long as the kernel is busy with the inode or directory."""
        for parent, name in names:
            _notify(pyfuse3.invalidate_entry, self._numbers.for_kernel(parent), name)
        for number in pages:
            _notify(pyfuse3.invalidate_inode, self._numbers.for_kernel(number))


def _notify(notice: Callable[..., None], *arguments: object, **options: object) -> None:
    """Give one notice; that the kernel does not know the inode, or no longer, is the usual case and no error."""
    try:
        notice(*arguments, **options)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("notice=%s arguments=%s error=%s", notice, arguments, error)
