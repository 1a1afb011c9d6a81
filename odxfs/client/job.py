"""One `odxfs cp`: sources, files or whole folders, to one destination."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from odxfs.client.copy import copy_file
from odxfs.client.entry import Entry, Kind
from odxfs.client.errors import NetworkFailed, RequestRefused
from odxfs.client.nursery import open_nursery
from odxfs.client.place import Place
from odxfs.client.plan import CopyOptions
from odxfs.client.result import CopyResult, Tally
from odxfs.client.servers import Servers
from odxfs.client.summary import Record, Summary, add_counts
from odxfs.client.tree_copy import TreeCopy
from odxfs.client.url import Location
from odxfs.errors import ExitCode, ProtocolError, UserError
from odxfs.ntstatus import Status

RECONNECT_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before each try to reach a server again, when a copy can go on where it was."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be copied where. `into_folder`: the destination was written as a folder, with a slash at its end."""

    sources: Sequence[Location]
    destination: Location
    recursive: bool = False
    into_folder: bool = False


class Job:
    """Copies, and keeps the sum. `report` hears of each file, `observe` of every step: the sum, and the files under way."""

    def __init__(
        self,
        servers: Servers,
        options: CopyOptions,
        report: Callable[[Record], None],
        observe: Callable[[Summary, Tally], None] | None = None,
    ) -> None:
        self.summary = Summary()
        self._servers = servers
        self._options = options
        self._report_to = report
        self._observe = observe
        self.running = Tally()
        """The files under way, which the summary does not have yet."""
        self._started = time.perf_counter()

    async def run(self, request: Request) -> Summary:
        """Copy all. A single file's error is raised; of several sources, or in a folder, each error is reported.

        Raises NetworkFailed always: without a server there is no rest to go on with.
        """
        try:
            await self._run(request)
        except ProtocolError as error:
            raise NetworkFailed(f"a server breaks the protocol: {error}") from error
        self.count()
        return self.summary

    async def _run(self, request: Request) -> None:
        destination = await self._servers.place(request.destination)
        found = await destination.look()
        is_folder = found is not None and found.kind is Kind.FOLDER
        if not is_folder and (len(request.sources) > 1 or (request.into_folder and not request.recursive)):
            raise UserError(f"{destination.name}: there is no such directory", ExitCode.NOT_FOUND)
        taken = set[str]()
        for location in request.sources:
            try:
                await self._copy_source(location, destination, request, taken, into=is_folder)
            except NetworkFailed:
                raise
            except UserError as error:
                if len(request.sources) == 1:
                    raise
                self._report(Record(str(location), destination.name, error=error))

    def count(self) -> None:
        """Bring the sum's wire bytes and its time up to now."""
        self.summary.seconds = time.perf_counter() - self._started
        connections = self._servers.connections
        self.summary.tally.wire_sent_bytes = sum(connection.sent_bytes for connection in connections)
        self.summary.tally.wire_received_bytes = sum(connection.received_bytes for connection in connections)

    async def _copy_source(
        self, location: Location, destination: Place, request: Request, taken: set[str], *, into: bool
    ) -> None:
        source = await self._servers.place(location)
        entry = await source.look()
        if entry is None:
            raise UserError(f"{source.name}: there is no such file", ExitCode.NOT_FOUND)
        if entry.kind is Kind.FOLDER and not request.recursive:
            raise UserError(f"{source.name}: it is a directory; -r copies directories", ExitCode.REFUSED)
        target = _named(destination, location, taken) if into else destination
        if entry.kind is Kind.FOLDER:
            await self._copy_folder(source, target, entry)
        else:
            self._report(Record(source.name, target.name, await self._copy(source, target)))

    async def _copy_folder(self, source: Place, target: Place, entry: Entry) -> None:
        async with open_nursery() as nursery:
            tree = TreeCopy(
                nursery, self._copy_one, self._persist, self._servers.renew, self._report, self.summary
            )
            await tree.run(source, target, entry)

    async def _copy_one(self, source: Place, target: Place) -> None:
        """A file of many: its error is reported. Raises NetworkFailed."""
        try:
            record = Record(source.name, target.name, await self._copy(source, target))
        except NetworkFailed:
            raise
        except UserError as error:
            record = Record(source.name, target.name, error=error)
        self._report(record)

    async def _copy(self, source: Place, target: Place) -> CopyResult:
        return await self._persist(partial(self._try, source, target))

    async def _persist(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Do it; again when its server comes back, in a copy that can be resumed."""
        lost = False
        for pause in RECONNECT_SECONDS if self._options.resume else ():
            try:
                return await action()
            except NetworkFailed:
                lost = True
            except RequestRefused as error:
                if not lost or error.status != Status.SHARING_VIOLATION:
                    raise  # else the server has not noticed yet that our former connection is gone
            await trio.sleep(pause)
        return await action()

    async def _try(self, source: Place, target: Place) -> CopyResult:
        source, target = await self._servers.renew(source), await self._servers.renew(target)
        counter = _Running(self)
        try:
            return await copy_file(
                source,
                target,
                self._options.wish,
                counter.observe,
                resume=self._options.resume,
                verify=self._options.verify,
                renew=self._servers.renew,
            )
        except ProtocolError as error:
            raise NetworkFailed(
                f"{source.name} or {target.name}: the server breaks the protocol: {error}"
            ) from error
        finally:
            counter.end()

    def _report(self, record: Record) -> None:
        self.summary.add(record)
        self._report_to(record)
        self.observe()

    def observe(self) -> None:
        """Tell whoever watches."""
        if self._observe is not None:
            self.count()
            self._observe(self.summary, self.running)


class _Running:
    """One file's part of `Job.running`."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._last = Tally()

    def observe(self, tally: Tally) -> None:
        """The copy's observer."""
        add_counts(self._job.running, tally, self._last)
        self._last = tally
        self._job.observe()

    def end(self) -> None:
        """From now on the file is in the summary, or nowhere."""
        add_counts(self._job.running, Tally(), self._last)


def _named(destination: Place, location: Location, taken: set[str]) -> Place:
    """The source's place in the folder; a share itself has no name, so what is in it goes into the folder itself."""
    name = location.name
    if isinstance(location, Path) and name in {"", ".."}:
        name = location.resolve().name
    if not name:
        return destination
    plain = name if destination.connection is None else name.casefold()
    reason = destination.refuse_name(name)
    if plain in taken:
        reason = f"another source has been copied to {name} by this command"
    if reason is not None:
        raise UserError(f"{location}: {reason}", ExitCode.REFUSED)
    taken.add(plain)
    return destination.inside(name)
