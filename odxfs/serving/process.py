"""One run of the server, from opening the pool to closing it.

`odxfs mount` and `odxfs serve` end up here. The order matters on the way out: the SVMs stop, the mount is taken away,
tokens end, the pool commits and closes, and only then do callers of `odxfs umount` hear that all is clean.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import trio

from odxfs.administration import control_commands
from odxfs.configuration import Configuration
from odxfs.configuration.effects import token_limits
from odxfs.configuration.source import ConfigurationSource
from odxfs.configuration.writing import write_configuration
from odxfs.control.arguments import Arguments
from odxfs.control.server import ControlServer
from odxfs.descriptors import allow_descriptors
from odxfs.errors import ExitCode, UserError
from odxfs.observe.status import pool_as_json, total_of
from odxfs.offload import OffloadEngine
from odxfs.opens import OpenTable
from odxfs.opens.share_modes import DELETE, FILE_SHARE_ALL
from odxfs.scrubbing import Scrubbing
from odxfs.serving.errors import single_errors
from odxfs.serving.live import Live
from odxfs.serving.memory import give_back_free_memory
from odxfs.serving.offloading import Offloading
from odxfs.serving.signals import Signals
from odxfs.serving.svms import RunningSvms, added_share, require_volumes
from odxfs.smb.shares import Share
from odxfs.volume import MOUNT, Pool, Volume, open_pool

log = logging.getLogger("odxfs.serving")

MAX_DESCRIPTORS = 65536
"""Asked for: the connections of many SVMs (1,024 each), a segment a GiB, local files. Only the hard limit lies below it."""

SECONDS_TO_ANSWER = 2.0
"""How long a caller of `shutdown` may take to read the answer before the process ends anyway."""


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What to serve: the configuration as it is now, and where a reload finds it.

    `share` is added to the default SVM's shares, unless there is one of that name, once its volume is known to exist.
    """

    source: ConfigurationSource
    configuration: Configuration
    share: Share | None = None


class Serving:
    """One run of the server."""

    def __init__(self, options: ServingOptions, ready: Callable[[Live], None]) -> None:
        self._options = options
        self._configuration = options.configuration
        self._ready = ready
        self._stopping = trio.CancelScope()
        self._stopped = trio.Event()
        self._failure: BaseException | None = None
        self._is_live = False
        self._pool: Pool | None = None
        self._svms: RunningSvms | None = None
        self._scrubbing = Scrubbing()
        self._offloading = Offloading()
        commands = {
            "ping": self._ping,
            "status": self._status,
            "config": self._config,
            "reload": self._reload,
            "end_withdrawn": self._end_withdrawn,
            "shutdown": self._shutdown,
            **self._scrubbing.commands,
            **self._offloading.commands,
            **control_commands(lambda: self._pool),
        }
        self._control = ControlServer(options.configuration.pool, commands)

    async def run(self) -> None:
        """Serve until told to stop. Raises UserError for what the user can mend."""
        with single_errors():
            async with trio.open_nursery() as outer:
                signals = Signals(
                    stop=self._stopping.cancel, stop_now=self._stop_now, reload=self._reload_by_signal
                )
                outer.start_soon(signals.obey)
                outer.start_soon(give_back_free_memory)
                try:
                    await self._serve_pool(outer)
                except BaseException as error:
                    self._failure = error
                    raise
                finally:
                    with trio.CancelScope(shield=True):
                        self._stopped.set()
                        await self._control.drain(SECONDS_TO_ANSWER)
                outer.cancel_scope.cancel()

    async def _serve_pool(self, outer: trio.Nursery) -> None:
        configuration = self._configuration
        owner = f"odxfs {'mount' if configuration.mounts else 'serve'}"
        async with open_pool(configuration.pool, owner=owner) as pool:
            self._pool = pool
            require_volumes(pool, configuration)
            with added_share(pool, self._options.share, lambda: self._is_live):
                await outer.start(self._control.serve)
                try:
                    with self._stopping:
                        await self._serve_front_ends(pool)
                finally:
                    await self._control.withdraw()
        if pool.failure is not None:
            raise UserError(
                f"{configuration.pool} is closed, without what was not durable yet when it failed: {pool.failure}",
                ExitCode.NEEDS_FSCK,
            )
        log.info("pool=%s closed=clean", configuration.pool)

    async def _serve_front_ends(self, pool: Pool) -> None:
        opens = OpenTable()
        pool.is_in_use = lambda number: not opens.check(number, DELETE, FILE_SHARE_ALL)
        async with (
            self._offloading.running(pool, token_limits(self._configuration)) as engine,
            trio.open_nursery() as nursery,
        ):
            await nursery.start(self._scrubbing.run, pool)
            svms = RunningSvms(self._configuration, pool, opens, engine)
            await nursery.start(svms.run)
            self._svms = svms
            for name, mountpoint in self._configuration.mounts.items():
                volume = pool.volume(name, origin=MOUNT)
                await nursery.start(self._mount, volume, opens, engine, mountpoint)
            self._announce(svms)

    async def _mount(
        self,
        volume: Volume,
        opens: OpenTable,
        engine: OffloadEngine,
        mountpoint: Path,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        from odxfs_mount.session import run_mount

        await run_mount(volume, opens, engine, mountpoint, task_status=task_status)
        self._stopping.cancel()  # unmounted from outside: this was what the process is for

    def _announce(self, svms: RunningSvms) -> None:
        live = self._describe(svms)
        log.info(
            "pool=%s mountpoint=%s smb=%s shares=%s", live.directory, live.mountpoint, live.smb, live.shares
        )
        self._is_live = True
        self._ready(live)

    def _describe(self, svms: RunningSvms) -> Live:
        mountpoints = [str(path) for path in self._configuration.mounts.values()]
        described = svms.describe()
        first = described[0] if described else None
        return Live(
            str(self._configuration.pool),
            mountpoints[0] if mountpoints else None,
            first.listen[0] if first else None,
            first.shares if first else [],
            described,
            os.getpid(),
        )

    async def _reload_by_signal(self) -> None:
        try:
            await self._reload(Arguments({}))
        except UserError as error:
            log.error(
                "signal=SIGHUP reload=refused reason=%r the old configuration stays in force", str(error)
            )

    def _stop_now(self) -> NoReturn:
        from odxfs_mount.unmounting import unmount

        for mountpoint in self._configuration.mounts.values():
            unmount(str(mountpoint), lazy=True)
        logging.shutdown()
        os._exit(ExitCode.INTERRUPTED)

    async def _ping(self, _: Arguments) -> dict[str, Any]:
        return {"pid": os.getpid()}

    async def _status(self, _: Arguments) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "state": "served" if self._is_live else "starting",
            "directory": str(self._configuration.pool),
        }
        if self._svms is not None and self._is_live:
            clients = self._svms.clients_as_json()
            answer |= asdict(self._describe(self._svms))
            answer["smb_server"] = total_of(clients.values())
            for svm in answer["svms"]:
                svm["clients"] = clients[svm["name"]]
        if self._pool is not None:
            answer["pool"] = pool_as_json(self._pool)
            answer["scrub"] = self._scrubbing.summary()
        return answer | self._offloading.summary()

    async def _config(self, _: Arguments) -> dict[str, Any]:
        """The configuration in force, and the file that a reload reads."""
        configuration = self._svms.configuration if self._svms is not None else self._configuration
        return {"toml": write_configuration(configuration), "file": str(self._options.source.file)}

    async def _reload(self, _: Arguments) -> dict[str, Any]:
        """Read the configuration again and go by it, or say why not and change nothing."""
        if self._svms is None or not self._is_live:
            raise UserError("the pool is being opened", ExitCode.BUSY)
        changes = await self._svms.reload(self._options.source.read_again)
        log.info(
            "reload=done added=%s removed=%s changed=%s", changes.added, changes.removed, changes.changed
        )
        return {"changes": changes.sentences()}

    async def _end_withdrawn(self, _: Arguments) -> dict[str, Any]:
        """A user or a share has been removed: what clients still have of it ends."""
        return {} if self._svms is None else asdict(await self._svms.end_withdrawn())

    async def _shutdown(self, _: Arguments) -> dict[str, Any]:
        log.info("command=shutdown stopping=yes")
        self._stopping.cancel()
        await self._stopped.wait()
        if self._failure is not None:
            if isinstance(self._failure, UserError):
                raise UserError(str(self._failure), self._failure.exit_code)
            raise UserError(f"closing the pool failed: {self._failure}", ExitCode.NEEDS_FSCK)
        return {"clean": True, "pid": os.getpid()}


def serve(options: ServingOptions, ready: Callable[[Live], None]) -> None:
    """Serve until stopped; `ready` is called once everything is live. Raises UserError."""
    allowed = allow_descriptors(MAX_DESCRIPTORS)
    log.debug("descriptors=%d", allowed)
    trio.run(Serving(options, ready).run)
