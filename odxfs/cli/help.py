"""More about one topic. Without a topic: the list of topics."""

import argparse
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from odxfs.cli.output import say
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

MEANINGS = {
    ExitCode.OK: "all went well",
    ExitCode.BUG: "a defect of odxfs; please report it with the traceback",
    ExitCode.USAGE: "wrong arguments",
    ExitCode.CONFIG: "a configuration file cannot be used",
    ExitCode.NOT_A_POOL: "the directory is not a pool, or not usable as one",
    ExitCode.BUSY: "the pool is in use by another process",
    ExitCode.MOUNT_POINT: "the mount point cannot be used, or nothing is mounted there",
    ExitCode.FUSE: "FUSE is missing or refuses",
    ExitCode.NEEDS_FSCK: "the pool did not close cleanly",
    ExitCode.CORRUPT: "data or metadata of the pool failed",
    ExitCode.NO_SPACE: "no space left",
    ExitCode.AUTHENTICATION: "the user or password is wrong",
    ExitCode.NETWORK: "the network fails, or an address cannot be listened on",
    ExitCode.REFUSED: "the server, or another user's process, refuses",
    ExitCode.NOT_OFFLOADED: "with --require-offload: the copy would not have been by token alone",
    ExitCode.NOT_FOUND: "no such user, share, file or running server",
    ExitCode.EXISTS: "there is one of that name already",
    ExitCode.FORMAT: "the pool, or the process that serves it, is newer than this program",
    ExitCode.MISMATCH: "with --verify: the copy differs from its source",
    ExitCode.INCOMPLETE: "some of several files were not copied; each was told of",
    ExitCode.FSCK_FOUND: "fsck found something",
    ExitCode.INTERRUPTED: "interrupted",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "topic", metavar="TOPIC", nargs="?", help="a page of the guide, exit-codes, or a command"
    )


def _pages() -> "dict[str, Traversable]":
    """The pages of the guide by their topics."""
    pages = (page for page in (files("odxfs") / "guide").iterdir() if page.name.endswith(".md"))
    return {page.name.removesuffix(".md"): page for page in pages if page.name != "README.md"}


def run(arguments: argparse.Namespace) -> int:
    """Print the topic."""
    from odxfs.cli.main import COMMANDS, load, main

    if arguments.topic is None:
        say("topics: " + ", ".join([*_pages(), "exit-codes", *COMMANDS]))
    elif arguments.topic in _pages():
        say(_pages()[arguments.topic].read_text(encoding="utf-8").rstrip())
    elif arguments.topic == "exit-codes":
        for code, meaning in MEANINGS.items():
            say(f"{int(code):>4}  {meaning}")
    elif re.fullmatch("[a-z]+", arguments.topic) and arguments.topic in COMMANDS:
        load(arguments.topic)
        return main([arguments.topic, "--help"])
    else:
        raise UserError(f"there is no topic {arguments.topic!r} (see 'odxfs help')", ExitCode.NOT_FOUND)
    return ExitCode.OK
