"""Giving disk space back: holes for free runs, no file for free segments at the end, no free pages in the catalog.

What is freed is used again soonest where its disk space is kept, so this waits for idleness; under load it begins when much
more is kept than the load is going to use, and takes a bounded share of the time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from odxfs.errors import NoSpace, VolumeError
from odxfs.types import BLOCK_BYTES

if TYPE_CHECKING:
    from odxfs.volume.pool import Pool

TURN_SECONDS = 2.0

_IDLE_TURNS = 15
"""Turns without a commit after which the pool counts as idle: room that is used again soon is worth keeping."""

_KEPT_BLOCKS = 262_144
"""1 GiB of free blocks keep their disk space under load: twice what calls for a commit, so what overwriting goes through."""

_KEPT_PART = 8
"""Under load a free block for so many used ones keeps its disk space, too."""

_PUNCHED_GROUPS = {True: 16, False: 2}
"""Groups (64 MiB each) given back in one turn, when idle and under load: at most 64 holes of some ms in a group."""

_LOOKED_AT_GROUPS = 256
"""Groups asked in one turn whether their free blocks have disk space: microseconds each, where they have none."""

_CLOSING_SECONDS = 5.0
"""What giving back may delay the end of an owner; the next one goes on with it."""

_log = logging.getLogger(__name__)


class Reclaimer:
    """Gives disk space back in turns; `run` is its only task, until `finish` takes over from it."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._seen_commits = -1
        self._trimmed_commits = -1
        self._has_failed = False

    async def run(self) -> None:
        """Take a turn every TURN_SECONDS, until cancelled."""
        idle_turns = 0
        while True:
            await trio.sleep(TURN_SECONDS)
            idle_turns = idle_turns + 1 if self._pool.committer.commits == self._seen_commits else 0
            await self.turn(idle=idle_turns >= _IDLE_TURNS)
            self._seen_commits = self._pool.committer.commits

    async def turn(self, *, idle: bool) -> None:
        """Do a bounded part of what is to be done. When `idle` is false, little, and only if much is kept."""
        pool = self._pool
        if pool.failure is not None:
            return
        with self._may_fail():
            if idle:
                pool.space.streams.dissolve()
            if pool.space.is_pressed:
                if idle:
                    await self._relieve()
            elif idle or self._keeps_much:
                if self._retire_segments():
                    await pool.committer.commit()
                await self._punch(idle=idle)
            if idle and self._trimmed_commits != pool.committer.commits:
                await self._trim()

    async def finish(self) -> None:
        """Give back all that can be in _CLOSING_SECONDS; `run` has ended, and the pool commits once more after this."""
        pool = self._pool
        if pool.failure is not None:
            return
        with self._may_fail(), trio.move_on_after(_CLOSING_SECONDS):
            pool.space.streams.dissolve()
            if pool.space.is_pressed:
                await self._relieve()
            self._retire_segments()
            while not pool.space.is_pressed and pool.space.suspects:
                await self._punch(idle=True)
            await self._trim()

    @contextmanager
    def _may_fail(self) -> Iterator[None]:
        """Around giving back, which must not fail a pool: what is not given back is still free to the pool itself."""
        try:
            yield
        except NoSpace as error:
            _log.info("disk space cannot be given back yet: %s", error)
        except VolumeError as error:
            level = logging.INFO if self._has_failed else logging.WARNING  # there are many turns
            _log.log(level, "disk space cannot be given back: %s", error)
            self._has_failed = True

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _keeps_much(self) -> bool:
        """Whether free blocks have more disk space than a load is worth keeping it for."""
        pool = self._pool
        if not pool.space.suspects:
            return False
        used = pool.space.used_blocks
        kept = pool.segments.disk_bytes() // BLOCK_BYTES - used - pool.space.held_blocks
        return kept > _KEPT_BLOCKS + used // _KEPT_PART

    def _retire_segments(self) -> bool:
        """Let free segments at the end go: the next commit forgets them, then their files go."""
        retired = False
        while self._pool.space.retire_last_segment():
            retired = True
        return retired

    async def _punch(self, *, idle: bool) -> None:
        space, segments = self._pool.space, self._pool.segments
        punched = 0
        for _ in range(_LOOKED_AT_GROUPS):
            runs = space.check_out_wide(in_use=not idle)
            if not runs:
                break
            try:
                punched += await self._pool.threads.run_to_the_end("punching holes", segments.punch, runs) > 0
            finally:
                space.check_in()
            self._pool.disk_space_changed()
            if punched >= _PUNCHED_GROUPS[idle]:
                break

    async def _relieve(self) -> None:
        """Under pressure: give back what is free, so that there is room beside the reserve, which ends the pressure."""
        space = self._pool.space
        runs = space.check_out_pressed()
        try:
            await self._pool.threads.run_to_the_end("punching holes", self._pool.segments.punch, runs)
        finally:
            space.check_in()
        self._pool.disk_space_changed()
        await self._pool.relax_if_room()

    async def _trim(self) -> None:
        while await self._pool.committer.trim_catalog():
            await trio.lowlevel.checkpoint()
        self._trimmed_commits = self._pool.committer.commits
