"""Scrubs of a served pool: started, watched and stopped through the control socket."""

import logging
from typing import Any

import trio

from odxfs.control.arguments import Arguments
from odxfs.control.server import Command
from odxfs.errors import ExitCode, UserError
from odxfs.volume import Pool
from odxfs.volume.checking.scrub import DEFAULT_RATE, Scrub, read_record

log = logging.getLogger("odxfs.serving")


class Scrubbing:
    """The scrub of one process. `commands` may be asked from the start; there is something to scrub while `run` runs."""

    def __init__(self) -> None:
        self._scrub: Scrub | None = None
        self._nursery: trio.Nursery | None = None
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()
        self._last: dict[str, Any] | None = None
        self.commands: dict[str, Command] = {
            "scrub-start": self._start,
            "scrub-status": self._status,
            "scrub-stop": self._stop,
        }

    async def run(self, pool: Pool, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Scrub when asked to, until cancelled."""
        self._scrub, self._last = Scrub(pool), read_record(pool.directory)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def summary(self) -> dict[str, Any] | None:
        """The pass under way, or the last one; None when there was none. Without its findings, but with their number."""
        progress = self._progress()
        if progress is None:
            return None
        return {name: value for name, value in progress.items() if name != "findings"}

    def _progress(self) -> dict[str, Any] | None:
        if self._scrub is None or self._scrub.progress.state == "never":
            return self._last
        return self._scrub.progress.as_json()

    async def _start(self, arguments: Arguments) -> dict[str, Any]:
        if self._nursery is None or self._scrub is None:
            raise UserError("the pool is not open yet, or is being closed", ExitCode.BUSY)
        if self._scope is not None:
            raise UserError("a scrub is under way", ExitCode.BUSY)
        rate = arguments.number("rate", DEFAULT_RATE)
        if rate <= 0:
            raise UserError("a rate is more than nothing", ExitCode.USAGE)
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._work, self._scrub, self._scope, rate, arguments.flag("restart"))
        return {}

    async def _work(self, scrub: Scrub, scope: trio.CancelScope, rate: int, restart: bool) -> None:
        try:
            with scope:
                await scrub.run(rate, restart=restart)
        except Exception as error:  # whatever is on the disk, a look at it ends nobody's session
            log.exception("a scrub failed unforeseen")
            scrub.progress.state, scrub.progress.error = "failed", f"a defect: {error!r}"
        finally:
            self._scope = None
            self._ended.set()

    async def _status(self, _: Arguments) -> dict[str, Any]:
        return {"progress": self._progress(), "is_running": self._scope is not None}

    async def _stop(self, _: Arguments) -> dict[str, Any]:
        if self._scope is not None:
            self._scope.cancel()
            await self._ended.wait()
        return {"progress": self._progress()}
