"""Unmount, or stop serving, and wait until the pool is closed and clean.

Give the mount point, or the directory of a pool that 'odxfs serve' shares. A mount whose process is dead is cleared
away; its pool needs no repair.
"""

import argparse
from pathlib import Path

from odxfs.cli.output import say
from odxfs.control.client import NotServed, Unanswered, ask
from odxfs.errors import ExitCode, UserError
from odxfs.pool_file import is_pool
from odxfs_mount.unmounting import MountEntry, find_mount, list_mounts, unmount


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "mountpoint", metavar="MOUNTPOINT", help="the mount point, or a served pool's directory"
    )


def run(arguments: argparse.Namespace) -> int:
    """Stop what is there."""
    mounted = find_mount(arguments.mountpoint)
    if mounted is None and not is_pool(Path(arguments.mountpoint)):
        raise UserError(f"{arguments.mountpoint} is not an odxfs mount", ExitCode.MOUNT_POINT)
    directory = Path(mounted.source if mounted is not None else arguments.mountpoint)
    try:
        if mounted is not None:
            _require_server(mounted)
        ask(directory, "shutdown", timeout=None, until_gone=True)
    except NotServed as error:
        if mounted is None:
            raise
        _clear(mounted.mountpoint)
        if isinstance(error, Unanswered):
            raise
        say(f"{mounted.mountpoint} was left behind by a process that has gone, and is cleared")
        return 0
    say(f"{directory} is closed and clean")
    return 0


def _require_server(mounted: MountEntry) -> None:
    """Raise NotServed when nobody serves this mount, though its pool may be mounted elsewhere by now."""
    status = ask(Path(mounted.source), "status")
    if status.get("mountpoint", mounted.mountpoint) != mounted.mountpoint:
        raise NotServed(f"{mounted.mountpoint} is dead", ExitCode.NOT_FOUND)


def _clear(mountpoint: str) -> None:
    """Take away a mount that nobody serves."""
    reason = unmount(mountpoint, lazy=True)
    if reason is not None and any(entry.mountpoint == mountpoint for entry in list_mounts()):
        raise UserError(f"{mountpoint} cannot be unmounted: {reason}", ExitCode.MOUNT_POINT)
