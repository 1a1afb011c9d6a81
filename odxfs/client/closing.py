"""Closing what was opened, also when the task that opened it is cancelled."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import trio

from odxfs.client.nursery import open_nursery
from odxfs.errors import UserError

_log = logging.getLogger(__name__)

CLEANING_SECONDS = 10.0
"""How long cleaning up may take when a copy was cancelled or has failed."""


class Closable(Protocol):
    """An open file or folder."""

    @property
    def name(self) -> str: ...
    async def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Closable)


@asynccontextmanager
async def closing(file: Opened) -> AsyncIterator[Opened]:
    """Close the file on leaving; what its close says is raised unless there is an error already."""
    try:
        yield file
    except BaseException:
        with trio.move_on_after(CLEANING_SECONDS, shield=True):
            await close_quietly(file)
        raise
    await file.close()


async def to_its_end(call: Callable[[], Awaitable[Opened]], done: Callable[[Opened], None]) -> None:
    """Hand what `call` returns to `done`, also when the task is cancelled meanwhile: it has CLEANING_SECONDS more then.

    A file that a server has made, and of which nobody has heard, could not be removed. Raises what `call` raises.
    """
    scope = trio.CancelScope(shield=True)

    async def shorten() -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = trio.current_time() + CLEANING_SECONDS

    async with open_nursery() as nursery:
        nursery.start_soon(shorten)
        with scope:
            done(await call())
        nursery.cancel_scope.cancel()


async def close_quietly(file: Closable) -> None:
    """Another error is on its way already: what this close says changes nothing."""
    try:
        await file.close()
    except UserError as error:
        _log.info("closing %s: %s", file.name, error)
