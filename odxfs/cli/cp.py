"""Copy SRC to DST. Each is a local path or smb://user@host:port/share/path; DST may be a directory, and must be for several SRC.

Between files of a server that does copy offload (ODX), tokens are copied and no data passes this machine. What tokens do not
do the server copies by COPYCHUNK where it can; the rest is read and written, without its holes. The reasons are told.
'odxfs help copying' says more.
"""

import argparse
import getpass
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.cli.copy_output import Bar, Document, complain, many_lines, one_line
from odxfs.cli.output import add_json_option, say
from odxfs.client.url import Location, SmbUrl, is_unicode, parse_location
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    import trio

    from odxfs.client.job import Request
    from odxfs.client.plan import CopyOptions, Wish
    from odxfs.client.result import CopyResult
    from odxfs.client.summary import Record, Summary

PASSWORD_VARIABLE = "ODXFS_PASSWORD"  # noqa: S105 - the name of a variable


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "source", metavar="SRC", nargs="+", help="a local path or smb://user@host:port/share/path"
    )
    parser.add_argument("destination", metavar="DST", help="a file, or a directory to copy into")
    parser.add_argument("-r", "--recursive", action="store_true", help="copy directories with all in them")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--require-offload",
        action="store_true",
        help=f"copy by token or not at all (exit code {int(ExitCode.NOT_OFFLOADED)})",
    )
    choice.add_argument(
        "--no-offload", action="store_true", help="read and write, even where the server could copy"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="copy into DST.odxfs-partial, keep that when the copy fails, and go on with it the next time",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help=f"read both back and compare their sha256 (exit code {int(ExitCode.MISMATCH)} when they differ)",
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

    from odxfs.client.job import Request

    sources = [parse_location(text) for text in arguments.source]
    destination = parse_location(arguments.destination)
    into_folder = arguments.destination.endswith("/")
    request = Request(sources, destination, recursive=arguments.recursive, into_folder=into_folder)
    show = _Show(arguments)
    passwords = _passwords([*sources, destination], arguments.password_file)

    async def job() -> "Summary":
        return await _copy(request, passwords, _options(arguments), show)

    with show.bar if show.bar is not None else nullcontext():
        summary = trio.run(_interruptible, job)
    if summary is None:
        return ExitCode.INTERRUPTED
    return show.end(summary)


class _Show:
    """What is printed, and when."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._quiet = arguments.quiet
        self._many = arguments.recursive or len(arguments.source) > 1
        self._document = Document() if arguments.json else None
        drawn = not (arguments.quiet or arguments.json) and sys.stderr.isatty()
        self.bar = Bar(many=self._many) if drawn else None
        self._last: CopyResult | None = None

    def report(self, record: "Record") -> None:
        """A file is done or has failed."""
        if self._document is not None:
            self._document.add(record)
        if record.error is not None:
            (self.bar.complain if self.bar is not None else complain)(str(record.error))
        self._last = record.result

    def broken_off(self, summary: "Summary", reason: str) -> None:
        """The copy ends early."""
        if self._document is not None:
            self._document.end(summary, reason)

    def end(self, summary: "Summary") -> int:
        """The copy has come to its end; the exit code."""
        if self._document is not None:
            self._document.end(summary)
        elif not self._quiet:
            say(one_line(self._last) if self._last is not None and not self._many else many_lines(summary))
        return summary.exit_code


def _options(arguments: argparse.Namespace) -> "CopyOptions":
    from odxfs.client.plan import CopyOptions

    return CopyOptions(_wish(arguments), resume=arguments.resume, verify=arguments.verify)


def _wish(arguments: argparse.Namespace) -> "Wish":
    from odxfs.client.plan import Wish

    if arguments.require_offload:
        return Wish.REQUIRED
    return Wish.OFF if arguments.no_offload else Wish.AUTO


async def _interruptible(job: Callable[[], Awaitable["Summary"]]) -> "Summary | None":
    """The job's summary, or None when Ctrl-C or SIGTERM ended it; by then it has cleaned up behind itself."""
    import trio

    from odxfs.client.nursery import open_nursery

    summary = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, signals, nursery.cancel_scope)
            summary = await job()
            nursery.cancel_scope.cancel()
    return summary


async def _cancel_on_signal(signals: AsyncIterator[int], scope: "trio.CancelScope") -> None:
    async for _ in signals:
        scope.cancel()


async def _copy(
    request: "Request", passwords: dict[tuple[str, int, str], str], options: "CopyOptions", show: _Show
) -> "Summary":
    import trio

    from odxfs.client.job import Job
    from odxfs.client.servers import open_servers

    async with open_servers(lambda url: passwords[_server(url)]) as servers:
        job = Job(servers, options, show.report, show.bar.observe if show.bar is not None else None)
        try:
            return await job.run(request)
        except (UserError, trio.Cancelled) as error:
            job.count()
            show.broken_off(job.summary, str(error) if isinstance(error, UserError) else "interrupted")
            raise


def _server(url: SmbUrl) -> tuple[str, int, str]:
    return url.host.casefold(), url.port, url.user


def _passwords(locations: list[Location], file: Path | None) -> dict[tuple[str, int, str], str]:
    """A password for every user of a server; each is asked once."""
    asked: dict[tuple[str, int, str], str] = {}
    for url in locations:
        if isinstance(url, SmbUrl):
            if not url.user:
                raise UserError(f"{url}: the user is missing; write smb://user@host/share/path")
            if _server(url) not in asked:
                asked[_server(url)] = _password(url, file)
    return asked


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
        if not is_unicode(password):
            raise UserError(f"the password in {PASSWORD_VARIABLE} is not UTF-8", ExitCode.AUTHENTICATION)
        return password
    if not sys.stdin.isatty():
        raise UserError(
            f"no password for {url.user} at {url.host}: use --password-file or {PASSWORD_VARIABLE}",
            ExitCode.AUTHENTICATION,
        )
    return getpass.getpass(f"Password of {url.user} at {url.host}: ")
