"""Mount a pool's volume and, where it has shares, serve them over SMB from the same process.

With a configuration (--config FILE, or DIR/odxfs.toml) it serves what that says; a MOUNTPOINT goes before its mounts.
Returns when the mount and the shares are live. The process stays in the background and logs to DIR/odxfs.log, which becomes
odxfs.log.1 at 64 MiB; 'odxfs umount MOUNTPOINT' stops it, 'odxfs config reload DIR' has it read its configuration again. With
--foreground it stays with you and Ctrl-C stops it.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odxfs.cli.mountpoints import check_apart, check_fuse, check_mountpoint
from odxfs.cli.output import add_json_option, print_json, say
from odxfs.cli.pools import add_directory
from odxfs.cli.serving_options import add_serving_options, serving_options
from odxfs.errors import UserError

if TYPE_CHECKING:
    from odxfs.serving import ServingOptions

LOG_FILE = "odxfs.log"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser, optional=True)
    parser.add_argument(
        "mountpoint", metavar="MOUNTPOINT", type=Path, nargs="?", help="the directory to mount on"
    )
    add_serving_options(parser)
    parser.add_argument("--foreground", action="store_true", help="stay here and log to stderr")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Mount; returns at once in the background, at the end in the foreground."""
    if arguments.mountpoint is not None:
        check_mountpoint(arguments.mountpoint)
        check_apart(arguments.directory.resolve(), arguments.mountpoint.resolve())
        check_fuse()
    options = serving_options(arguments)
    if not options.configuration.mounts:
        raise UserError("give a MOUNTPOINT, or [mounts] in the configuration")
    check_mounts(options)

    def work(ready: Callable[[dict[str, Any]], None]) -> None:
        from odxfs.serving import serve

        serve(options, lambda live: ready(asdict(live)))

    if arguments.foreground:
        return run_in_foreground(work, arguments)
    from odxfs.cli.background import run_in_background

    announce(run_in_background(work, options.configuration.pool / LOG_FILE), arguments)
    return 0


def check_mounts(options: "ServingOptions") -> None:
    """Refuse mount points that cannot be used. Raises UserError."""
    configuration = options.configuration
    for mountpoint in configuration.mounts.values():
        check_apart(configuration.pool, check_mountpoint(mountpoint))
        check_fuse()


def run_in_foreground(
    work: Callable[[Callable[[dict[str, Any]], None]], None], arguments: argparse.Namespace
) -> int:
    """Serve here, the log on stderr, until stopped by a signal or from outside."""
    from odxfs.observe.logging import configure_logging

    def tell(live: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # nobody wants to hear it
            announce(live, arguments)
            sys.stdout.flush()  # somebody may wait for it, at the other end of a pipe

    configure_logging(level=logging.DEBUG if arguments.debug else logging.INFO)
    work(tell)
    return 0


def announce(live: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Say what is live now."""
    if arguments.json:
        print_json(live)
    else:
        say(_sentence(live))


def _sentence(live: dict[str, Any]) -> str:
    parts = []
    if live["mountpoint"]:
        parts.append(f"mounted on {live['mountpoint']}")
    for svm in live["svms"]:
        shares = ", ".join(svm["shares"]) or "nothing yet"
        parts.append(f"sharing {shares} on {', '.join(svm['listen'])}")
    return f"{live['directory']} is {' and '.join(parts)} (process {live['pid']})"
