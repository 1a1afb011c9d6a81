"""What the kernel must forget when the share changes the volume.

Two notices with different manners. That cached *attributes* are old is said on the spot, inside the change: the kernel only
sets a mark and never waits. That cached *pages* or *names* are old may make the kernel wait for an operation that this very
thread has to answer, so a worker thread says it, a moment later. To cover that moment, the next operation that reaches an
inode whose name went is refused once with ESTALE: the kernel then walks the path again without its cache, and the program
sees only the true answer.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

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
from .notices import Notices
from .second_walks import SecondWalks
from .snapshots import FOLDER

log = logging.getLogger("odxfs.mount")

Name = tuple[InodeNumber, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class _NameNotice:
    """That a name is gone. No two are equal: the same name may go a second time while the first is being told."""

    parent: InodeNumber
    name: bytes


class Invalidation:
    """Observer of a volume; `run` is its task. Everything but `run` is synchronous."""

    def __init__(self, volume: Volume, numbers: InodeNumbers) -> None:
        self._volume = volume
        self._numbers = numbers
        self._pages: Notices[None, InodeNumber] = Notices(self._tell_pages)
        self._names: Notices[InodeNumber, _NameNotice] = Notices(self._tell_names, self._told_names)
        self._renamed: dict[InodeNumber, set[_NameNotice]] = {}
        """Inodes that the kernel may still reach by names that are gone."""
        self._gone_from: dict[_NameNotice, set[InodeNumber]] = {}
        """The other way round: of each notice that is not told yet."""
        self.second_walks = SecondWalks()
        self.names_gone = 0
        """How many names others have taken away so far: who looked at one before does not know that it is there still."""

    @property
    def doubts_names(self) -> bool:
        """Whether the kernel may have come to any inode by a name that is gone."""
        return bool(self._renamed)

    def must_walk_again(self, number: InodeNumber, caller: int) -> bool:
        """Whether the kernel may have brought `caller`, a thread, to the inode by a name that is gone; once for each change."""
        if number not in self._renamed or self.second_walks.has_come_to(number, caller, trio.current_time()):
            return False
        self.found_by_name(number)
        self.second_walks.begins(caller)
        return True

    def found_by_name(self, number: InodeNumber) -> None:
        """The kernel is being given a true name of the inode: what it now does with it needs no second look."""
        for notice in self._renamed.pop(number, ()):
            self._gone_from[notice].discard(number)

    def has_old_pages(self, number: InodeNumber) -> bool:
        """Whether the kernel may have pages of the file that it has not been told to drop yet."""
        return self._pages.is_untold(None, number)

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
        self._pages.add(None, change.number)

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
        notice = _NameNotice(*name)
        self._gone_from[notice] = known
        for number in known:
            self._renamed.setdefault(number, set()).add(notice)
        self._names.add(notice.parent, notice)

    def content_doubtful(self, number: InodeNumber) -> None:
        """The kernel's pages are not what it did last: a change ended half-way, or bytes went elsewhere than it said."""
        self._attributes_old(number)
        if number in self._numbers:
            self._pages.add(None, number)

    def drop_pages(self, number: InodeNumber) -> None:
        """Have the kernel write back and forget the inode's pages. For worker threads: it may block."""
        _notify(pyfuse3.invalidate_inode, self._numbers.for_kernel(number))

    async def caught_up(self, folders: Collection[InodeNumber]) -> None:
        """Return when the kernel has forgotten the old names of `folders`; without any, all that is old by now."""
        await self._names.caught_up(folders)
        if not folders:
            await self._pages.caught_up()

    async def run(self) -> None:
        """Tell the kernel of old pages and names until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._names.run)
            nursery.start_soon(self._pages.run)

    def _tell_names(self, notices: Iterable[_NameNotice]) -> None:
        """In a worker thread, which waits for as long as the directory is in use."""
        for notice in notices:
            _notify(pyfuse3.invalidate_entry, self._numbers.for_kernel(notice.parent), notice.name)

    def _told_names(self, notices: Iterable[_NameNotice]) -> None:
        for notice in notices:
            for number in self._gone_from.pop(notice):
                doubts = self._renamed[number]
                doubts.discard(notice)
                if not doubts:
                    del self._renamed[number]

    def _tell_pages(self, numbers: Iterable[InodeNumber]) -> None:
        """In a worker thread, which waits for as long as a page is being filled."""
        for number in numbers:
            self.drop_pages(number)


def _notify(notice: Callable[..., None], *arguments: object, **options: object) -> None:
    """Give one notice; that the kernel does not know the inode, or no longer, is the usual case and no error."""
    try:
        notice(*arguments, **options)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("notice=%s arguments=%s error=%s", notice, arguments, error)
