"""Copy SRC to DST. Either may be a local path or smb://user@host:port/share/path; DST may be a directory.

Between files of a server that does copy offload (ODX), tokens are copied and no data passes this machine. Otherwise, or from
the point where the server refuses, the data is read and written, and the reason is told.
"""

import argparse
import getpass
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self

from odxfs.cli.output import add_json_option, format_bytes, print_json, say
from odxfs.client.url import Location, SmbUrl, parse_location
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    import trio

    from odxfs.client.client import Client
    from odxfs.client.places import Place
    from odxfs.client.plan import Wish
    from odxfs.client.result import CopyResult, Observer, Tally

PASSWORD_VARIABLE = "ODXFS_PASSWORD"  # noqa: S105 - the name of a variable
REFRESH_SECONDS = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "source", metavar="SRC", help="a file: a local path or smb://user@host:port/share/path"
    )
    parser.add_argument("destination", metavar="DST", help="a file, or a directory to copy into")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--require-offload",
        action="store_true",
        help=f"copy by token or not at all (exit code {int(ExitCode.NOT_OFFLOADED)})",
    )
    choice.add_argument(
        "--no-offload", action="store_true", help="read and write, even where tokens would do"
    )
    add_json_option(parser)
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help=f"take the password from the first line of FILE; otherwise from {PASSWORD_VARIABLE}, or it is asked for",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def run(arguments: argparse.Namespace) -> int:
    """Copy and print how it went. Raises UserError."""
    import trio

    source = parse_location(arguments.source)
    destination = parse_location(arguments.destination)
    passwords = _passwords([source, destination], arguments.password_file)
    bar = _Bar() if not (arguments.quiet or arguments.json) and sys.stderr.isatty() else None

    async def job() -> "CopyResult":
        into_folder = arguments.destination.endswith("/")
        observe = bar.observe if bar is not None else None
        return await _copy(source, destination, passwords, _wish(arguments), observe, into_folder=into_folder)

    with bar if bar is not None else nullcontext():
        result = trio.run(_interruptible, job)
    if result is None:
        return ExitCode.INTERRUPTED
    if arguments.json:
        print_json(result.as_json())
    elif not arguments.quiet:
        say(summary(result))
    return ExitCode.OK


def _wish(arguments: argparse.Namespace) -> "Wish":
    from odxfs.client.plan import Wish

    if arguments.require_offload:
        return Wish.REQUIRED
    return Wish.OFF if arguments.no_offload else Wish.AUTO


async def _interruptible(job: Callable[[], Awaitable["CopyResult"]]) -> "CopyResult | None":
    """The job's result, or None when Ctrl-C or SIGTERM ended it; by then it has cleaned up behind itself."""
    import trio

    from odxfs.client.nursery import open_nursery

    result = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
            result = await job()
            nursery.cancel_scope.cancel()
    return result


async def _cancel_on_signal(signals: AsyncIterator[int], scope: "trio.CancelScope") -> None:
    async for _ in signals:
        scope.cancel()


async def _copy(
    source: Location,
    destination: Location,
    passwords: dict[SmbUrl, str],
    wish: "Wish",
    observe: "Observer | None",
    *,
    into_folder: bool,
) -> "CopyResult":
    from odxfs.client.copy import copy_file

    async with AsyncExitStack() as stack:
        clients: dict[tuple[str, int, str], Client] = {}
        for location in (source, destination):
            if isinstance(location, SmbUrl) and _server(location) not in clients:
                clients[_server(location)] = await _log_on(stack, location, passwords[location])
        target = await _inside_folder(source, destination, clients, into_folder=into_folder)
        return await copy_file(await _place(source, clients), await _place(target, clients), wish, observe)


def _server(url: SmbUrl) -> tuple[str, int, str]:
    return url.host.casefold(), url.port, url.user


async def _log_on(stack: AsyncExitStack, url: SmbUrl, password: str) -> "Client":
    from odxfs.client.client import connect

    return await stack.enter_async_context(connect(url.host, url.port, url.user, password))


async def _place(location: Location, clients: "dict[tuple[str, int, str], Client]") -> "Place":
    from odxfs.client.local import LocalPlace
    from odxfs.client.smb_place import SmbPlace

    if isinstance(location, SmbUrl):
        return SmbPlace(await clients[_server(location)].tree(location.share), location.path)
    return LocalPlace(location)


async def _inside_folder(
    source: Location,
    destination: Location,
    clients: "dict[tuple[str, int, str], Client]",
    *,
    into_folder: bool,
) -> Location:
    """The file to make: in a directory it has the source's name."""
    if isinstance(destination, SmbUrl):
        tree = await clients[_server(destination)].tree(destination.share)
        is_folder = await tree.is_directory(destination.path)
    else:
        is_folder = destination.is_dir()
    if is_folder and source.name:
        return (
            destination.inside(source.name) if isinstance(destination, SmbUrl) else destination / source.name
        )
    if into_folder:
        raise UserError(f"{destination}: there is no such directory", ExitCode.NOT_FOUND)
    return destination


def _passwords(locations: list[Location], file: Path | None) -> dict[SmbUrl, str]:
    """A password for every URL; a user of a server is asked once."""
    found: dict[SmbUrl, str] = {}
    asked: dict[tuple[str, int, str], str] = {}
    for url in locations:
        if isinstance(url, SmbUrl):
            if not url.user:
                raise UserError(f"{url}: the user is missing; write smb://user@host/share/path")
            if _server(url) not in asked:
                asked[_server(url)] = _password(url, file)
            found[url] = asked[_server(url)]
    return found


def _password(url: SmbUrl, file: Path | None) -> str:
    if file is not None:
        try:
            with file.open(encoding="utf-8") as stream:
                return stream.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file}: the password cannot be read: {error}", ExitCode.AUTHENTICATION
            ) from error
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is not None:
        return password
    if not sys.stdin.isatty():
        raise UserError(
            f"no password for {url.user} at {url.host}: use --password-file or {PASSWORD_VARIABLE}",
            ExitCode.AUTHENTICATION,
        )
    return getpass.getpass(f"Password of {url.user} at {url.host}: ")


class _Bar:
    """The progress bar on standard error: logical bytes, wire bytes, offloaded percent."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[logical]}"),
            TextColumn("wire {task.fields[wire]}"),
            TextColumn("{task.fields[offloaded]:.0f} % offloaded"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, logical="", wire="0 B", offloaded=0.0)
        self._next = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def observe(self, tally: "Tally") -> None:
        """Show a count; most calls come too soon after the last to be worth drawing."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REFRESH_SECONDS
        self._progress.update(
            self._task,
            completed=tally.done_bytes,
            total=tally.logical_bytes,
            logical=f"{format_bytes(tally.done_bytes)} of {format_bytes(tally.logical_bytes)}",
            wire=format_bytes(tally.wire_sent_bytes + tally.wire_received_bytes),
            offloaded=tally.offloaded_percent,
        )


def summary(result: "CopyResult") -> str:
    """What a person reads when the copy is done: one line, or two when there is a reason to tell."""
    percent = 100.0 * result.offloaded_bytes / result.logical_bytes if result.logical_bytes else 0.0
    line = (
        f"{format_bytes(result.logical_bytes)} in {result.seconds:.3f} s, mechanism {result.mechanism}: "
        f"{percent:.0f} % offloaded by {result.tokens} tokens; "
        f"on the wire {format_bytes(result.wire_sent_bytes)} sent, {format_bytes(result.wire_received_bytes)} received"
    )
    if result.reason is None:
        return line
    return f"{line}\nnot {'all ' if result.offloaded_bytes else ''}offloaded: {result.reason}"
