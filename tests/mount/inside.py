"""A mount in this very process, so that a test can act as the share at the same time.

What a test does on the mount runs in worker threads (`on`): on the trio thread it would wait for itself. Mappings are for
processes of their own, since a page fault keeps the interpreter's lock.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import trio

from odxfs.offload import OffloadEngine, TokenLimits, TokenRegistry
from odxfs.opens import OpenTable
from odxfs.volume import Pool, Volume, create_pool, open_pool
from odxfs_mount.session import run_mount
from odxfs_mount.unmounting import find_mount, unmount

T = TypeVar("T")


@dataclass(frozen=True)
class Inside:
    """`share` is the volume as the SMB server would see it."""

    pool: Pool
    share: Volume
    opens: OpenTable
    path: Path
    ended: trio.Event


async def on(function: Callable[..., T], *arguments: object) -> T:
    """Call something that touches the mount."""
    return await trio.to_thread.run_sync(lambda: function(*arguments), abandon_on_cancel=True)


@asynccontextmanager
async def mounted_inside(base: Path) -> AsyncIterator[Inside]:
    """A fresh pool under `base`, mounted by this process; its invariants must hold afterwards."""
    directory, mountpoint = base / "pool", base / "mnt"
    mountpoint.mkdir()
    create_pool(directory)
    try:
        with trio.fail_after(60):
            async with open_pool(directory, owner="test") as pool:
                opens, ended = OpenTable(), trio.Event()
                async with trio.open_nursery() as nursery:
                    await nursery.start(_mount, pool.volume("main", origin="mount"), opens, mountpoint, ended)
                    yield Inside(pool, pool.volume("main", origin="smb"), opens, mountpoint, ended)
                    nursery.cancel_scope.cancel()
                assert len(opens) == 0
                await pool.commit()
                assert await pool.check() == []
    finally:
        if find_mount(str(mountpoint)) is not None:
            unmount(str(mountpoint), lazy=True)


async def _mount(
    volume: Volume, opens: OpenTable, mountpoint: Path, ended: trio.Event, task_status: trio.TaskStatus[None]
) -> None:
    pool = volume.pool
    registry = TokenRegistry(pool.uuid, TokenLimits(), pool.release_pin, lambda: 0)
    engine = OffloadEngine(registry, time.monotonic)
    await run_mount(volume, opens, engine, mountpoint, task_status=task_status)
    ended.set()
