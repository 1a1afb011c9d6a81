"""What the signals mean that a serving process gets."""

import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import trio

log = logging.getLogger("odxfs.serving")


@dataclass(frozen=True, slots=True)
class Signals:
    """SIGHUP reloads. The first SIGTERM or SIGINT stops cleanly; a second one stops now, which the next mount mends by itself."""

    stop: Callable[[], None]
    stop_now: Callable[[], NoReturn]
    reload: Callable[[], Awaitable[None]]

    async def obey(self) -> None:
        """Do what comes, until cancelled. A reload that takes its time keeps no other signal waiting."""
        stops = 0
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as numbers:
                async for number in numbers:
                    if number == signal.SIGHUP:
                        nursery.start_soon(self._reload)
                        continue
                    stops += 1
                    self._stop(signal.Signals(number).name, at_once=stops > 1)

    async def _reload(self) -> None:
        try:
            await self.reload()
        except Exception:  # whatever is wrong with what was read, it ends nobody's session
            log.exception("signal=SIGHUP reload=failed the old configuration stays in force")

    def _stop(self, name: str, *, at_once: bool) -> None:
        if at_once:
            log.error("signal=%s stopping=now uncommitted changes are lost", name)
            self.stop_now()
        log.info("signal=%s stopping=yes", name)
        self.stop()
