"""The `odxfs` command: find the subcommand, run it, turn what goes wrong into one line and an exit code."""

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from odxfs import __version__
from odxfs.errors import (
    SYSTEM_EXIT_CODES,
    ExitCode,
    NoSpace,
    OdxfsError,
    QuotaExceeded,
    UserError,
    VolumeError,
)

COMMANDS = {
    "mkfs": "make a directory into a pool",
    "mount": "mount a pool and share it over SMB",
    "serve": "share a pool over SMB without mounting it",
    "umount": "unmount, or stop serving, and leave the pool clean",
    "config": "the configuration file: check, show, schema, reload",
    "svm": "virtual SMB servers (SVMs) over one pool: add, set, list, del",
    "user": "users who may log in over SMB: add, passwd, del, list",
    "group": "groups of users, which access lists may name: add, member, del, list",
    "peer": "servers whose copy tokens may be written here: add, list, del",
    "share": "shares: add, set, del, list",
    "volume": "volumes: list, quota, create, clone, delete",
    "snapshot": "snapshots of a volume: create, list, delete, restore",
    "status": "what is mounted and shared, and the numbers of a pool",
    "tokens": "the live copy tokens of a pool: list, cancel",
    "explain": "why the last copies were or were not offloaded",
    "fsck": "check a pool that nobody uses, and repair it",
    "scrub": "read and verify every block, also of a pool in use",
    "backup": "copy the catalog of a pool, also of one in use",
    "dump": "show how anything is stored",
    "cp": "copy files and directories between SMB shares and this machine, by token where possible",
    "help": "more about one topic",
}
"""Subcommand -> its line in `odxfs --help`; `odxfs.cli.NAME` is its module."""

_STDERR = 2

USAGE = "odxfs [--debug] COMMAND ..."


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line, as every other complaint of the command."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit with the code for wrong usage."""
        raise UserError(f"{message} (see '{self.prog} --help')", ExitCode.USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    _open_missing_streams()
    _say_every_name()
    try:
        return _run(words)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _output_closed()
    except OdxfsError as error:
        if debug:
            raise
        return _complain(_one_line(error), _exit_code(error))
    except OSError as error:
        code = SYSTEM_EXIT_CODES.get(error.errno or 0, ExitCode.BUG)
        if debug or (error.filename is None and code is ExitCode.BUG):
            raise
        if error.filename is None:  # of a write, to the output most likely: it would be tried again at exit
            _discard_output()
        where = "" if error.filename is None else f"{error.filename}: "
        return _complain(f"{where}{error.strerror}", code)


def _run(words: list[str]) -> int:
    name, rest = _split(words)
    if name is None:
        return _top_level(rest)
    module = load(name)
    parser = Parser(prog=f"odxfs {name}", description=module.__doc__, formatter_class=_HelpFormatter)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    arguments = parser.parse_args(rest)
    code: int = module.run(arguments)
    sys.stdout.flush()
    return code


def load(name: str) -> ModuleType:
    """The module of a subcommand. Raises UserError when there is none of that name."""
    if name not in COMMANDS:
        raise UserError(f"there is no command {name!r} (see 'odxfs --help')", ExitCode.USAGE)
    return importlib.import_module(f"odxfs.cli.{name}")


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """The subcommand and its arguments; options of the command itself stand before it."""
    for index, word in enumerate(words):
        if not word.startswith("-"):
            before = [option for option in words[:index] if option != "--debug"]
            return (word, words[index + 1 :]) if not before else (None, words)
    return None, words


def _top_level(words: list[str]) -> int:
    listing = "\n".join(f"  {name:<8} {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="odxfs",
        usage=USAGE,
        description="A copy-on-write volume, mounted with FUSE and shared over SMB 3.1.1 with ODX copy offload.",
        epilog=f"commands:\n{listing}\n\n'odxfs COMMAND --help' says more; 'odxfs help exit-codes' lists the exit codes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"odxfs {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a failure")
    parser.parse_args(words)
    parser.print_help(sys.stderr)
    return ExitCode.USAGE


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions are the modules' docstrings, already laid out."""


def _complain(line: str, code: int) -> int:
    sys.stderr.write(f"odxfs: {line}\n")
    return code


def _one_line(error: OdxfsError) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _exit_code(error: OdxfsError) -> int:
    if isinstance(error, UserError):
        return error.exit_code
    if isinstance(error, NoSpace | QuotaExceeded):
        return ExitCode.NO_SPACE
    return ExitCode.CORRUPT if isinstance(error, VolumeError) else ExitCode.BUG


def _open_missing_streams() -> None:
    """Where a caller has closed one of stdin, stdout and stderr, it leads nowhere: else the next file would get its number, and
    whatever is written there by those who know the number alone."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(_STDERR, "w", closefd=False)


def _say_every_name() -> None:
    """File names are any bytes: what the output's encoding lacks is written as its number, as Python does on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _output_closed() -> int:
    """Whoever read our output has enough (`odxfs status | head -1`)."""
    _discard_output()
    return ExitCode.OK


def _discard_output() -> None:
    """Keep Python from complaining again at exit of what it could not write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
