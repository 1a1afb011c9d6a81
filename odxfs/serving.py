"""The composition root: one pool with its mount, its share and its control socket, in one trio.run.

`odxfs mount` and `odxfs serve` end up here. The order matters on the way out: the share stops, the mount is taken away,
tokens end, the pool commits and closes, and only then do callers of `odxfs umount` hear that all is clean.
"""

import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trio

from odxfs.administration import control_commands
from odxfs.control.arguments import Arguments
from odxfs.control.server import ControlServer
from odxfs.errors import ExitCode, OdxfsError, UserError
from odxfs.observe.status import pool_as_json, smb_as_json, token_as_json
from odxfs.offload import OffloadEngine, TokenRegistry
from odxfs.opens import OpenTable
from odxfs.opens.share_modes import DELETE, FILE_SHARE_ALL
from odxfs.peers import Fetcher, PeerStore
from odxfs.scrubbing import Scrubbing
from odxfs.smb.auth.users import UserStore
from odxfs.smb.server import SmbServer
from odxfs.smb.settings import ServerSettings
from odxfs.smb.shares import Share, ShareStore
from odxfs.volume import MOUNT, Pool, open_pool

log = logging.getLogger("odxfs.serving")

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 4450
"""Not 445, which needs privileges and is often taken by another server."""

SWEEP_SECONDS = 1.0
"""How often expired tokens give back their space. Redeeming looks at the deadline itself."""

SECONDS_TO_ANSWER = 2.0
"""How long a caller of `shutdown` may take to read the answer before the process ends anyway."""


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What to serve. `listen` None means: the default address if there are shares."""

    directory: Path
    volume: str = "main"
    mountpoint: Path | None = None
    share: str | None = None
    listen: tuple[str, int] | None = None
    settings: ServerSettings = field(default_factory=ServerSettings)


@dataclass(frozen=True, slots=True)
class Live:
    """What became of it: `smb` is the address that the share listens on."""

    directory: str
    mountpoint: str | None
    smb: str | None
    shares: list[str]
    pid: int


class Serving:
    """One run of the server."""

    def __init__(self, options: ServingOptions, ready: Callable[[Live], None]) -> None:
        self._options = options
        self._ready = ready
        self._stopping = trio.CancelScope()
        self._stopped = trio.Event()
        self._failure: BaseException | None = None
        self._live: Live | None = None
        self._pool: Pool | None = None
        self._engine: OffloadEngine | None = None
        self._server: SmbServer | None = None
        self._scrubbing = Scrubbing()
        commands = {
            "ping": self._ping,
            "status": self._status,
            "tokens": self._tokens,
            "shutdown": self._shutdown,
            **self._scrubbing.commands,
            **control_commands(lambda: self._pool),
        }
        self._control = ControlServer(options.directory, commands)

    async def run(self) -> None:
        """Serve until told to stop. Raises UserError for what the user can mend."""
        with single_errors():
            async with trio.open_nursery() as outer:
                outer.start_soon(self._obey_signals)
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
        options = self._options
        owner = f"odxfs {'mount' if options.mountpoint else 'serve'}"
        async with open_pool(options.directory, owner=owner) as pool:
            self._pool = pool
            if options.volume not in pool.volume_names:
                raise UserError(f"{options.directory} has no volume {options.volume!r}", ExitCode.NOT_FOUND)
            await outer.start(self._control.serve)
            try:
                with self._stopping:
                    await self._serve_front_ends(pool)
            finally:
                self._control.withdraw()
        log.info("pool=%s closed=clean", options.directory)

    async def _serve_front_ends(self, pool: Pool) -> None:
        opens = OpenTable()
        pool.is_in_use = lambda number: not opens.check(number, DELETE, FILE_SHARE_ALL)
        registry = TokenRegistry(
            pool.uuid,
            self._options.settings.offload.limits,
            pool.release_pin,
            lambda: pool.statistics().pinned_only_bytes,
        )
        fetcher = Fetcher(PeerStore(self._options.directory), time.monotonic)
        engine = self._engine = OffloadEngine(registry, time.monotonic, foreign=fetcher)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_sweep_tokens, registry)
                await nursery.start(fetcher.run)
                await nursery.start(self._scrubbing.run, pool)
                smb = await self._start_smb(nursery, pool, opens, engine)
                if self._options.mountpoint is not None:
                    await self._start_mount(nursery, pool, opens, engine, self._options.mountpoint)
                self._announce(smb)
        finally:
            engine.close()

    async def _start_smb(
        self, nursery: trio.Nursery, pool: Pool, opens: OpenTable, engine: OffloadEngine
    ) -> str | None:
        """Listen where it is wanted; returns the address as people write it."""
        options = self._options
        shares = ShareStore(options.directory)
        if options.share is not None and shares.find(options.share) is None:
            shares.add(Share(options.share, volume=options.volume))
        if options.listen is None and options.mountpoint is not None and not shares.list():
            return None
        address, port = options.listen or (DEFAULT_ADDRESS, DEFAULT_PORT)
        users = UserStore(options.directory)
        self._server = SmbServer(
            pool, opens=opens, engine=engine, users=users, shares=shares, settings=options.settings
        )
        try:
            bound = await nursery.start(self._server.serve, address, port)
        except (OSError, BaseExceptionGroup) as error:
            for cause in _leaves(error):
                if isinstance(cause, OSError):
                    raise _cannot_listen(address, port, cause) from error
            raise
        return format_endpoint(*bound)

    async def _start_mount(
        self, nursery: trio.Nursery, pool: Pool, opens: OpenTable, engine: OffloadEngine, mountpoint: Path
    ) -> None:
        from odxfs_mount.session import run_mount

        async def mount(*, task_status: trio.TaskStatus[None]) -> None:
            await run_mount(
                pool.volume(self._options.volume, origin=MOUNT),
                opens,
                engine,
                mountpoint,
                task_status=task_status,
            )
            self._stopping.cancel()  # unmounted from outside: this was what the process is for

        await nursery.start(mount)

    def _announce(self, smb: str | None) -> None:
        mountpoint = self._options.mountpoint
        shares = [share.name for share in ShareStore(self._options.directory).list()]
        self._live = Live(
            str(self._options.directory),
            str(mountpoint) if mountpoint is not None else None,
            smb,
            shares if smb is not None else [],
            os.getpid(),
        )
        log.info("pool=%s mountpoint=%s smb=%s shares=%s", self._live.directory, mountpoint, smb, shares)
        self._ready(self._live)

    async def _obey_signals(self) -> None:
        """The first SIGTERM or SIGINT stops cleanly; a second one stops now, which the next mount mends by itself."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as numbers:
            number = await anext(numbers)
            log.info("signal=%s stopping=yes", signal.Signals(number).name)
            self._stopping.cancel()
            self._stop_now(await anext(numbers))

    def _stop_now(self, number: int) -> None:
        from odxfs_mount.unmounting import unmount

        log.error("signal=%s stopping=now uncommitted changes are lost", signal.Signals(number).name)
        if self._options.mountpoint is not None:
            unmount(str(self._options.mountpoint), lazy=True)
        logging.shutdown()
        os._exit(ExitCode.INTERRUPTED)

    async def _ping(self, _: Arguments) -> dict[str, Any]:
        return {"pid": os.getpid()}

    async def _status(self, _: Arguments) -> dict[str, Any]:
        answer: dict[str, Any] = {"state": "served" if self._live is not None else "starting"}
        if self._live is not None:
            answer |= asdict(self._live)
        if self._pool is not None:
            answer["pool"] = pool_as_json(self._pool)
            answer["scrub"] = self._scrubbing.summary()
        if self._server is not None:
            answer["smb_server"] = smb_as_json(self._server)
        if self._engine is not None:
            answer["offload"] = self._engine.counters.as_json()
            answer["tokens"] = len(self._engine.registry)
        return answer

    async def _tokens(self, _: Arguments) -> dict[str, Any]:
        live = self._engine.registry.list(time.monotonic()) if self._engine is not None else []
        return {"tokens": [token_as_json(token) for token in live]}

    async def _shutdown(self, _: Arguments) -> dict[str, Any]:
        log.info("command=shutdown stopping=yes")
        self._stopping.cancel()
        await self._stopped.wait()
        if self._failure is not None:
            raise UserError(f"closing the pool failed: {self._failure}", ExitCode.NEEDS_FSCK)
        return {"clean": True, "pid": os.getpid()}


async def _sweep_tokens(registry: TokenRegistry) -> None:
    while True:
        await trio.sleep(SWEEP_SECONDS)
        registry.sweep(time.monotonic())


def format_endpoint(address: str, port: int) -> str:
    """`address:port`, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _cannot_listen(address: str, port: int, error: OSError) -> UserError:
    endpoint = format_endpoint(address, port)
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"{endpoint} is in use by another program; choose with --smb-listen", ExitCode.NETWORK
        )
    if error.errno == errno.EACCES:
        return UserError(
            f"listening on {endpoint} needs privileges; choose with --smb-listen", ExitCode.NETWORK
        )
    return UserError(f"cannot listen on {endpoint}: {error.strerror or error}", ExitCode.NETWORK)


@contextmanager
def single_errors() -> Iterator[None]:
    """Raise the project's own error out of the exception groups that nurseries make, if it is all there is in them."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        if all(isinstance(leaf, OdxfsError) for leaf in leaves):
            raise leaves[0] from None
        raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What is in an exception group, to any depth; an exception by itself is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def serve(options: ServingOptions, ready: Callable[[Live], None]) -> None:
    """Serve until stopped; `ready` is called once everything is live. Raises UserError."""
    trio.run(Serving(options, ready).run)
