"""Closing what was opened, also when the task that opened it is cancelled."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import trio

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


async def close_quietly(file: Closable) -> None:
    """Another error is on its way already: what this close says changes nothing."""
    try:
        await file.close()
    except UserError as error:
        _log.info("closing %s: %s", file.name, error)
