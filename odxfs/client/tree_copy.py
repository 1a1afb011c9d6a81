"""The copy of a folder with all that is in it: several files in flight, one failure never in the way of the rest."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar

import trio

from odxfs.client.entry import Entry, Kind
from odxfs.client.errors import NetworkFailed
from odxfs.client.identity import Identity, Likeness
from odxfs.client.metadata import Lost
from odxfs.client.place import Place
from odxfs.client.summary import Record, Summary
from odxfs.client.targets import Renew
from odxfs.client.walk import Folder, Walk
from odxfs.errors import ExitCode, UserError

FILES_IN_FLIGHT = 8
"""Each holds up to 8 MiB while it is copied plainly."""

CopyOne = Callable[[Place, Place], Awaitable[None]]
Result = TypeVar("Result")


class Persist(Protocol):
    """Calls the action, perhaps several times, and returns its result."""

    async def __call__(self, action: Callable[[], Awaitable[Result]]) -> Result: ...


class TreeCopy:
    """One folder's copy. `copy_one` copies a file and reports; it raises NetworkFailed alone, which ends everything.

    `persist` does a thing again when the connection was lost meanwhile, if that is wanted; `renew` gives the same place over
    a connection that works.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        copy_one: CopyOne,
        persist: Persist,
        renew: Renew,
        report: Callable[[Record], None],
        summary: Summary,
    ) -> None:
        self._nursery = nursery
        self._copy_one = copy_one
        self._persist = persist
        self._renew = renew
        self._report = report
        self._summary = summary
        self._slots = trio.CapacityLimiter(FILES_IN_FLIGHT)
        self._stack: list[Walk] = []
        self._root: Folder | None = None
        self._guard: Identity | None = None
        """The root's destination."""

    async def run(self, source: Place, destination: Place, entry: Entry) -> None:
        """Copy; files may still be in flight on return, in the nursery. Raises NetworkFailed."""
        try:
            await self._enter(Folder(source, destination, entry))
            while self._stack:
                await self._step(self._stack[-1])
        finally:
            while self._stack:
                await self._stack.pop().close()

    async def _step(self, walk: Walk) -> None:
        """Into the next subfolder, or through the next page, or out."""
        if walk.subfolders:
            await self._enter_subfolder(walk, walk.subfolders.pop())
            return
        try:
            page = await walk.next_page()
        except NetworkFailed:
            raise
        except UserError as error:
            self._fail(walk.folder.source, walk.folder.destination, error)
            page = None
        if page is None:
            self._stack.pop()
            await walk.close()
            await self._release(walk.folder)
            return
        for entry in page:
            await self._start(walk, entry)

    async def _enter(self, folder: Folder) -> None:
        """Make the folder at the destination and begin to list the source's."""
        try:
            self._stack.append(await self._persist(partial(self._prepare, folder)))
        except NetworkFailed:
            raise
        except UserError as error:
            self._fail(folder.source, folder.destination, error)
            await self._release(folder.parent)

    async def _prepare(self, folder: Folder) -> Walk:
        await self._bring_up(folder)
        await self._refuse_itself(folder)
        # One with a mode has it in the end; until then it is private: what it holds may be open to all.
        has_mode = folder.entry.metadata.mode is not None
        if await folder.destination.make_folder(private=has_mode):
            self._summary.folders += 1
        if folder.parent is None:
            self._root, self._guard = folder, await folder.destination.folder_identity()
            await self._refuse_itself(folder)
        walk = Walk(folder, folder.source.pages())
        await walk.begin()
        return walk

    async def _enter_subfolder(self, walk: Walk, entry: Entry) -> None:
        target = self._target(walk, entry)
        if target is not None:
            walk.folder.waiting += 1
            source = walk.folder.source.inside(entry.name)
            await self._enter(Folder(source, target, entry, walk.folder))

    async def _refuse_itself(self, folder: Folder) -> None:
        """A folder into which this copy goes would have no end."""
        if self._guard is not None and await self._is_destination(folder.source, self._guard):
            raise UserError(f"{folder.source.name}: a directory is not copied into itself", ExitCode.REFUSED)

    async def _is_destination(self, source: Place, guard: Identity) -> bool:
        found = await source.folder_identity()
        likeness = found.compare(guard)
        if likeness is Likeness.PERHAPS and found.realm != guard.realm:
            return await self._changes_with_destination(source)
        return likeness is not Likeness.DIFFERENT

    async def _changes_with_destination(self, source: Place) -> bool:
        """Whether both were changed at one moment, though files that are in flight change the destination all the time."""
        assert self._root is not None
        destination = self._root.destination = await self._renew(self._root.destination)
        before, found, after = [
            (await place.folder_identity()).changed_ns for place in (destination, source, destination)
        ]
        if before is None or found is None or after is None:
            return True
        return before // 100 <= found // 100 <= after // 100

    def _target(self, walk: Walk, entry: Entry) -> Place | None:
        """Where an entry belongs, or None when its name cannot be there, which is reported."""
        folder = walk.folder
        reason = folder.destination.refuse_name(entry.name) or folder.source.refuse_name(entry.name)
        if reason is None and folder.destination.connection is not None:
            plain = entry.name.casefold()
            if plain in walk.names:
                reason = "another name there differs by case alone, which SMB does not tell apart"
            walk.names.add(plain)
        if reason is None:
            return folder.destination.inside(entry.name)
        source, destination = (
            f"{place.name}/{_shown(entry.name)}" for place in (folder.source, folder.destination)
        )
        error = UserError(f"{source}: {reason}", ExitCode.REFUSED)
        self._report(Record(source, destination, error=error))
        return None

    async def _start(self, walk: Walk, entry: Entry) -> None:
        """Begin one file, when one of those in flight has made room."""
        target = self._target(walk, entry)
        if target is None:
            return
        walk.folder.waiting += 1
        slot = object()
        await self._slots.acquire_on_behalf_of(slot)
        self._nursery.start_soon(self._copy_entry, walk.folder, entry, target, slot)

    async def _copy_entry(self, folder: Folder, entry: Entry, target: Place, slot: object) -> None:
        source = folder.source.inside(entry.name)
        try:
            if entry.kind is Kind.FILE:
                await self._copy_one(source, target)
            else:
                await self._copy_odd(source, target, entry)
        finally:
            self._slots.release_on_behalf_of(slot)
        await self._release(folder)

    async def _copy_odd(self, source: Place, target: Place, entry: Entry) -> None:
        """A link of this machine is made again; other things have no bytes to copy."""
        try:
            if not entry.target:
                raise UserError(f"{source.name}: it is {entry.kind.value}; not copied", ExitCode.REFUSED)
            await target.make_link(entry.target)
        except NetworkFailed:
            raise
        except UserError as error:
            self._fail(source, target, error)

    async def _release(self, folder: Folder | None) -> None:
        """One thing in the folder is done; with the last the folder gets its times, and its parent is told."""
        while folder is not None:
            folder.waiting -= 1
            if folder.waiting:
                return
            try:
                self._summary.not_kept |= await self._persist(partial(self._finish, folder))
            except NetworkFailed:
                raise
            except UserError as error:
                self._fail(folder.source, folder.destination, error)
            folder = folder.parent

    async def _bring_up(self, folder: Folder) -> None:
        """A file's copy may have had to connect again."""
        folder.source = await self._renew(folder.source)
        folder.destination = await self._renew(folder.destination)

    async def _finish(self, folder: Folder) -> set[Lost]:
        await self._bring_up(folder)
        return await folder.destination.set_folder_metadata(folder.entry.metadata)

    def _fail(self, source: Place, destination: Place, error: UserError) -> None:
        self._report(Record(source.name, destination.name, error=error))


def _shown(name: str) -> str:
    """A name that is no text can still be printed."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
