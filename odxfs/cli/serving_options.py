"""The arguments that `odxfs mount` and `odxfs serve` have in common, and the checks before anything is started."""

import argparse
import errno
import os
import stat
from pathlib import Path

from odxfs.errors import ExitCode, UserError

FUSE_DEVICE = Path("/dev/fuse")

MAX_PORT = 65535


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """`--create`, `--share`, `--smb-listen`, `--volume`."""
    parser.add_argument("--create", action="store_true", help="make the pool if DIR is empty or missing")
    parser.add_argument("--share", metavar="NAME", help="share the volume as NAME; the share is kept")
    parser.add_argument(
        "--smb-listen",
        metavar="ADDR:PORT",
        type=parse_endpoint,
        help="where to serve SMB (default 127.0.0.1:4450 once there is a share)",
    )
    parser.add_argument("--volume", default="main", metavar="NAME", help="the volume (default main)")


def parse_endpoint(text: str) -> tuple[str, int]:
    """`ADDR:PORT`, `[ADDR]:PORT` for IPv6, or a port alone on 127.0.0.1."""
    address, separator, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > MAX_PORT or (separator and not address):
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDR:PORT")
    return address.strip("[]") or "127.0.0.1", int(port)


def prepare_pool(directory: Path, volume: str, *, create: bool) -> Path:
    """The real path of the pool, made first where `create` allows it. Raises UserError."""
    from odxfs.cli.pools import is_pool, require_pool

    if create and not is_pool(directory):
        from odxfs.volume import create_pool

        create_pool(directory, volume=volume)
    return require_pool(directory)


def check_mountpoint(mountpoint: Path) -> Path:
    """The real path of a directory that can be mounted on. Raises UserError(MOUNT_POINT).

    It need not be empty, as with mount(8): what is in it is hidden while the mount lasts.
    """
    try:
        mode = mountpoint.stat().st_mode
    except FileNotFoundError as error:
        raise UserError(f"mount point {mountpoint} does not exist", ExitCode.MOUNT_POINT) from error
    except OSError as error:
        raise UserError(_unusable(mountpoint, error), ExitCode.MOUNT_POINT) from error
    if not stat.S_ISDIR(mode):
        raise UserError(f"mount point {mountpoint} is not a directory", ExitCode.MOUNT_POINT)
    resolved = mountpoint.resolve()
    _require_unmounted(resolved)
    if not os.access(resolved, os.W_OK):
        raise UserError(f"mount point {mountpoint} may not be written by you", ExitCode.MOUNT_POINT)
    return resolved


def _unusable(mountpoint: Path, error: OSError) -> str:
    if error.errno == errno.ENOTCONN:
        return f"mount point {mountpoint} holds a dead mount; 'odxfs umount {mountpoint}' clears it"
    return f"mount point {mountpoint}: {error.strerror}"


def _require_unmounted(mountpoint: Path) -> None:
    from odxfs_mount.unmounting import find_mount

    mounted = find_mount(str(mountpoint))
    if mounted is not None:
        raise UserError(f"{mounted.source} is mounted on {mountpoint} already", ExitCode.MOUNT_POINT)


def check_fuse(device: Path = FUSE_DEVICE) -> None:
    """Raise UserError(FUSE) where this machine has no FUSE for us, saying what is missing."""
    if not device.exists():
        raise UserError(f"there is no {device}: load it with 'modprobe fuse'", ExitCode.FUSE)
    if not os.access(device, os.R_OK | os.W_OK):
        raise UserError(f"{device} may not be opened by you", ExitCode.FUSE)
    try:
        import pyfuse3  # noqa: F401
    except ImportError as error:
        raise UserError(f"pyfuse3 cannot be loaded: {error}", ExitCode.FUSE) from error
