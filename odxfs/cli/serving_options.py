"""The arguments that `odxfs mount` and `odxfs serve` have in common, and the checks before anything is started."""

import argparse
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.serving import ServingOptions

FUSE_DEVICE = Path("/dev/fuse")

MAX_PORT = 65535
MEBIBYTE = 1024 * 1024
MAX_TOKEN_MEBIBYTES = 256
MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 5, 600


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Which volume, which share, where, and how SMB and tokens behave."""
    parser.add_argument("--create", action="store_true", help="make the pool if DIR is empty or missing")
    parser.add_argument("--share", metavar="NAME", help="share the volume as NAME; the share is kept")
    parser.add_argument(
        "--smb-listen",
        metavar="ADDR:PORT",
        type=parse_endpoint,
        help="where to serve SMB (default 127.0.0.1:4450 once there is a share)",
    )
    parser.add_argument("--volume", default="main", metavar="NAME", help="the volume (default main)")
    smb = parser.add_argument_group("SMB and tokens")
    smb.add_argument(
        "--signing",
        choices=("required", "offered"),
        default="required",
        help="whether clients must sign (default required)",
    )
    smb.add_argument(
        "--encryption",
        choices=("off", "offered", "required"),
        default="offered",
        help="whether clients may or must encrypt (default offered)",
    )
    smb.add_argument(
        "--token-size",
        metavar="MIB",
        type=parse_token_size,
        default=8 * MEBIBYTE,
        help="what one copy token stands for at most, 1 to 256 MiB (default 8)",
    )
    smb.add_argument(
        "--token-lifetime",
        metavar="SECONDS",
        type=parse_token_lifetime,
        default=60.0,
        help="how long an unused token lives when the client does not say, 5 to 600 (default 60)",
    )


def serving_options(
    arguments: argparse.Namespace, directory: Path, mountpoint: Path | None = None
) -> "ServingOptions":
    """What the arguments ask to be served."""
    from odxfs.offload import OffloadSettings, TokenLimits
    from odxfs.serving import ServingOptions
    from odxfs.smb.settings import Encryption, ServerSettings

    settings = ServerSettings(
        signing_required=arguments.signing == "required",
        encryption=Encryption(arguments.encryption),
        offload=OffloadSettings(
            token_bytes=arguments.token_size,
            limits=TokenLimits(default_lifetime=arguments.token_lifetime),
        ),
    )
    return ServingOptions(
        directory,
        arguments.volume,
        mountpoint,
        arguments.share,
        arguments.smb_listen,
        settings=settings,
    )


def parse_token_size(text: str) -> int:
    """Whole mebibytes as bytes."""
    if not text.isdecimal() or not 1 <= int(text) <= MAX_TOKEN_MEBIBYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of MiB from 1 to {MAX_TOKEN_MEBIBYTES}")
    return int(text) * MEBIBYTE


def parse_token_lifetime(text: str) -> float:
    """Seconds that an idle token lives."""
    if not text.isdecimal() or not MIN_LIFETIME_SECONDS <= int(text) <= MAX_LIFETIME_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {MIN_LIFETIME_SECONDS} to {MAX_LIFETIME_SECONDS}"
        )
    return float(text)


def parse_endpoint(text: str) -> tuple[str, int]:
    """`ADDR:PORT`, `[ADDR]:PORT` for IPv6, or a port alone on 127.0.0.1."""
    address, separator, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > MAX_PORT or (separator and not address):
        raise argparse.ArgumentTypeError(f"{text!r} is not ADDR:PORT")
    return address.strip("[]") or "127.0.0.1", int(port)


def prepare_pool(directory: Path, volume: str, *, create: bool) -> Path:
    """The real path of the pool, made first where `create` allows it. Raises UserError."""
    from odxfs.cli.pools import check_volume_name, is_pool, require_pool

    if create and not is_pool(directory):
        from odxfs.volume import create_pool

        create_pool(directory, volume=check_volume_name(volume))
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
