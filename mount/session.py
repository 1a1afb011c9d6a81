"""One mount from beginning to end, as a task."""

import logging
import os
from pathlib import Path

import pyfuse3
import trio

from odxfs.errors import ExitCode, UserError
from odxfs.offload import OffloadEngine
from odxfs.opens import OpenTable
from odxfs.volume import Volume

from .backlog import Backlog
from .operations import Operations
from .range_requests import RangeRequests
from .unmounting import find_mount, unmount

log = logging.getLogger("odxfs.mount")

FUSE_CONFIGURATION = Path("/etc/fuse.conf")

KERNEL_READ_AHEAD_KIB = 512
"""What the kernel asks for at a time when a program reads a file from beginning to end.

It would ask for 128 KiB: a MiB then took 610 us instead of 390. More gains little, and a fault of a mapping reads as much.
"""

_IDLE_TASKS = 12
"""Tasks of pyfuse3 that stay when they have nothing to do, each with a buffer of 1 MiB of which only what came is resident.

The kernel reads ahead with as many requests. By its default each of them begins a task and ends it again, and the C library's
heap is torn by that buffer.
"""

_MOST_TASKS = 256
"""Operations under way at a time. Those that wait for a client of the share, 35 seconds at worst, must not keep others out.

One that writes holds 2 MiB.
"""


async def run_mount(
    volume: Volume,
    opens: OpenTable,
    engine: OffloadEngine,
    mountpoint: Path,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Mount `volume` on `mountpoint` and serve it until cancelled or unmounted from outside.

    Started when the mount answers. On cancellation what programs wrote is taken in, the mount is taken away while it
    still answers, and detached when a program keeps a file open. One mount a process (pyfuse3). Raises UserError when
    FUSE refuses.
    """
    operations = Operations(volume, opens, engine)
    requests = RangeRequests(operations)
    requests.arm()
    _init(operations, volume, mountpoint)
    requests.report()
    backlog = Backlog(operations.ahead.work, lambda: volume.pool.threads.is_idle)
    backlog.begin()
    try:
        async with trio.open_nursery() as nursery:
            requests.start_in(nursery)
            nursery.start_soon(operations.invalidation.run)
            nursery.start_soon(_serve, nursery.cancel_scope)
            try:
                await operations.initialised.wait()
                _widen_kernel_read_ahead(str(mountpoint))
                task_status.started()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await _leave(str(mountpoint))
    finally:
        backlog.end()
        operations.leave()
        pyfuse3.close(unmount=True)
        requests.disarm()
        with trio.CancelScope(shield=True):
            await operations.close_all()


def _init(operations: Operations, volume: Volume, mountpoint: Path) -> None:
    source = str(volume.pool.directory).replace("\\", "\\\\").replace(",", "\\,")
    options = {f"fsname={source}", "subtype=odxfs", "default_permissions"}
    if may_allow_other():
        options.add("allow_other")
    try:
        pyfuse3.init(operations, str(mountpoint), options)
    except RuntimeError as error:
        raise UserError(f"FUSE cannot mount on {mountpoint}: {error}", ExitCode.FUSE) from error


def may_allow_other(configuration: Path = FUSE_CONFIGURATION) -> bool:
    """Whether other users may be let in: root may always, others where the administrator says user_allow_other."""
    if os.geteuid() == 0:
        return True
    try:
        lines = configuration.read_text().splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def _widen_kernel_read_ahead(mountpoint: str) -> None:
    """FUSE itself cannot ask for more than the default; the administrator's knob can, and is root's alone."""
    mounted = find_mount(mountpoint)
    if mounted is None or os.geteuid() != 0:
        return
    try:
        Path(f"/sys/class/bdi/{mounted.device}/read_ahead_kb").write_text(str(KERNEL_READ_AHEAD_KIB))
    except OSError as error:
        log.info("mountpoint=%s read_ahead=%s", mountpoint, error)


async def _serve(whole: trio.CancelScope) -> None:
    """Answer the kernel until the mount is gone, whatever is cancelled meanwhile: half an answer would hang its caller."""
    with trio.CancelScope(shield=True):
        await pyfuse3.main(min_tasks=_IDLE_TASKS, max_tasks=_MOST_TASKS)
    whole.cancel()


async def _leave(mountpoint: str) -> None:
    if find_mount(mountpoint) is None:
        return
    await trio.to_thread.run_sync(_write_back, mountpoint)
    reason = await trio.to_thread.run_sync(unmount, mountpoint)
    if reason is None:
        return
    log.info("mountpoint=%s busy=%r detached=yes", mountpoint, reason)
    await trio.to_thread.run_sync(lambda: unmount(mountpoint, lazy=True))
    pyfuse3.terminate()


def _write_back(mountpoint: str) -> None:
    """Have the kernel hand over what shared mappings of files have changed; close(2) and msync(2) do so anyway."""
    try:
        pyfuse3.syncfs(mountpoint)
    except OSError as error:
        log.info("mountpoint=%s syncfs=%s", mountpoint, error)
