"""The checks of a mount point before anything is started."""

import errno
import os
import stat
from pathlib import Path

from odxfs.errors import ExitCode, UserError

FUSE_DEVICE = Path("/dev/fuse")


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


def check_apart(directory: Path, mountpoint: Path) -> None:
    """Refuse to hide the pool under its own mount, or to mount inside it: the server would wait for itself.

    Both are real paths. Raises UserError(MOUNT_POINT).
    """
    if directory.is_relative_to(mountpoint) or mountpoint.is_relative_to(directory):
        raise UserError(
            f"mount point {mountpoint} and pool {directory} lie inside one another; choose another mount point",
            ExitCode.MOUNT_POINT,
        )


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
        import odxfs_mount.session  # noqa: F401
    except ImportError as error:
        raise UserError(f"pyfuse3 cannot be loaded: {error}", ExitCode.FUSE) from error
