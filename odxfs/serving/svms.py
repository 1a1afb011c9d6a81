"""The SVMs of a process: started together, changed by a reload."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from odxfs.configuration import DEFAULT_SVM, Configuration
from odxfs.configuration.changes import Changes, find_changes
from odxfs.configuration.effects import token_limits
from odxfs.errors import ExitCode, UserError
from odxfs.observe.status import smb_as_json
from odxfs.offload import OffloadEngine
from odxfs.opens import OpenTable
from odxfs.serving.live import LiveSvm
from odxfs.serving.svm import RunningSvm, close_all, listen_on
from odxfs.smb.auth.kerberos import check_keytab
from odxfs.smb.server import SmbServer
from odxfs.smb.shares import Share, ShareStore
from odxfs.smb.withdrawal import Withdrawn, end_withdrawn
from odxfs.volume import Pool

log = logging.getLogger("odxfs.serving")


class RunningSvms:
    """All SVMs over one pool, one open table and one engine. `configuration` is what is in force."""

    def __init__(
        self, configuration: Configuration, pool: Pool, opens: OpenTable, engine: OffloadEngine
    ) -> None:
        self.configuration = configuration
        self._pool = pool
        self._opens = opens
        self._engine = engine
        self._running: dict[str, RunningSvm] = {}
        self._nursery: trio.Nursery | None = None
        self._changing = trio.Lock()

    def __iter__(self) -> Iterator[RunningSvm]:
        return iter(self._running.values())

    @property
    def servers(self) -> list[SmbServer]:
        """The SMB servers of the SVMs."""
        return [svm.server for svm in self]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when every SVM listens. Raises UserError when one cannot."""
        require_volumes(self._pool, self.configuration)
        await _require_keytabs(self.configuration, self.configuration.svm)
        made = await self._make(self.configuration, tuple(self.configuration.svm))
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start(made)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def reload(self, read: Callable[[], Configuration]) -> Changes:
        """Go by the configuration that `read` returns, or raise UserError and go on by the old one whole.

        New SVMs listen and removed ones have ended when this returns; live sessions and opens of the others stay.
        """
        async with self._changing:
            self._require_running()
            configuration = await trio.to_thread.run_sync(read)  # the file may lie on the mount that we serve
            changes = find_changes(self.configuration, configuration)
            require_volumes(self._pool, configuration)
            await _require_keytabs(configuration, (*changes.added, *changes.changed))
            made = await self._make(configuration, changes.added)
            try:
                self._require_running()  # not being stopped meanwhile
            except UserError:
                _close_svms(made)
                raise
            removed = self._switch(configuration, changes, made)
            with trio.CancelScope(shield=True):
                await self._finish(removed)
            return changes

    async def end_withdrawn(self) -> Withdrawn:
        """End what clients have of users and shares that are no more. Raises UserError when those cannot be read."""
        ended = Withdrawn()
        for server in self.servers:
            ended += await end_withdrawn(server)
        return ended

    def _require_running(self) -> None:
        if self._nursery is None:
            raise UserError("the SVMs are being started or stopped", ExitCode.BUSY)

    def describe(self) -> list[LiveSvm]:
        """Every SVM, the default one first."""
        described = [svm.describe() for svm in self]
        return sorted(described, key=lambda svm: svm.name != DEFAULT_SVM)

    def clients_as_json(self) -> dict[str, dict[str, Any]]:
        """Who is connected, by SVM."""
        return {svm.name: smb_as_json(svm.server) for svm in self}

    async def _make(self, configuration: Configuration, names: tuple[str, ...]) -> list[RunningSvm]:
        """SVMs that listen and do not accept yet; all of them or none."""
        made: list[RunningSvm] = []
        try:
            for name in names:
                listening = await listen_on(name, configuration.svm[name])
                made.append(self._make_one(name, configuration, listening))
        except BaseException:
            _close_svms(made)
            raise
        return made

    def _make_one(self, name: str, configuration: Configuration, listening: list[Any]) -> RunningSvm:
        try:
            return RunningSvm(
                name, configuration, listening, pool=self._pool, opens=self._opens, engine=self._engine
            )
        except BaseException:
            close_all(listening)
            raise

    def _start(self, made: list[RunningSvm]) -> None:
        assert self._nursery is not None, "only a running set grows"
        for svm in made:
            self._running[svm.name] = svm
            self._nursery.start_soon(svm.run)

    def _switch(
        self, configuration: Configuration, changes: Changes, made: list[RunningSvm]
    ) -> list[RunningSvm]:
        """Put the new configuration in force, without a checkpoint; returns the SVMs that have to end."""
        self.configuration = configuration
        self._engine.registry.limits = token_limits(configuration)
        removed = [self._running.pop(name) for name in changes.removed]
        for svm in self:
            svm.apply(configuration)
        self._start(made)
        return removed

    async def _finish(self, removed: list[RunningSvm]) -> None:
        for svm in removed:
            await svm.stop()
        try:
            await self.end_withdrawn()
        except UserError as error:
            log.error("sessions and tree connects go on that have no user or share any more: %s", error)


def _close_svms(svms: Iterable[RunningSvm]) -> None:
    for svm in svms:
        svm.close()


def require_volumes(pool: Pool, configuration: Configuration) -> None:
    """Raise UserError(NOT_FOUND) when the configuration names a volume that the pool has not got."""
    wanted = list(configuration.mounts)
    for svm in configuration.svm.values():
        wanted += [*svm.volumes, *(share.volume for share in svm.share.values())]
    for volume in wanted:
        if volume not in pool.volume_names:
            raise UserError(f"{pool.directory} has no volume {volume!r}", ExitCode.NOT_FOUND)


async def _require_keytabs(configuration: Configuration, names: Iterable[str]) -> None:
    """Raise UserError(CONFIG) when one of these SVMs cannot serve Kerberos with its keytab."""
    for name in names:
        keytab = configuration.svm[name].keytab
        if keytab:
            # In a thread: the file may lie on the mount that we serve.
            await trio.to_thread.run_sync(check_keytab, Path(keytab))


@contextmanager
def added_share(pool: Pool, share: Share | None, is_live: Callable[[], bool]) -> Iterator[None]:
    """Add a share to the default SVM's, unless it has one of that name; it goes again if serving never became live.

    Raises UserError(NOT_FOUND) without its volume.
    """
    if share is None:
        yield
        return
    if share.volume not in pool.volume_names:
        raise UserError(f"{pool.directory} has no volume {share.volume!r}", ExitCode.NOT_FOUND)
    shares = ShareStore(pool.directory)
    is_new = shares.find(share.name) is None
    if is_new:
        shares.add(share)
    try:
        yield
    finally:
        if is_new and not is_live() and shares.find(share.name) is not None:
            shares.delete(share.name)
