"""Read and verify every block and every map of a pool from the disk, while it is in use.

Asks the process that serves the pool, else opens the pool itself. Ctrl-C stops it; of a served pool it goes on from there when
it is started again, as long as that process lives. Reads the disk past the page cache, at --rate.

Exits 0 when all is well, 9 when something is damaged: each damaged range is named by file, offset and place. What is damaged
stays an error for whoever reads it; everything else stays readable.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from odxfs.cli.output import add_json_option, format_bytes, say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.control.client import NotServed, ask, understood
from odxfs.errors import ExitCode

POLL_SECONDS = 0.5
MAX_RATE = 1 << 60
"""Bytes a second that no disk reaches, and that every part of the program can reckon with."""

Show = Callable[[dict[str, Any]], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument(
        "--rate", type=parse_rate, default="100", metavar="MB/S", help="megabytes a second (default: 100)"
    )
    parser.add_argument(
        "--restart", action="store_true", help="from the beginning, not from where it stopped"
    )
    parser.add_argument("--stop", action="store_true", help="stop the scrub of a served pool")
    add_json_option(parser)


def parse_rate(text: str) -> int:
    """Megabytes a second as bytes."""
    try:
        rate = int(float(text) * 1_000_000)
    except (ValueError, OverflowError):
        rate = 0
    if not 0 < rate <= MAX_RATE:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of megabytes a second: it must be more than nothing"
        )
    return rate


def run(arguments: argparse.Namespace) -> int:
    """Start or go on, and watch until the end."""
    directory = require_pool(arguments.directory)
    rate = arguments.rate
    if arguments.stop:
        answer = ask(directory, "scrub-stop")
        with understood(directory):
            stopped: dict[str, Any] | None = answer["progress"]
        return 0 if stopped is None else _tell(directory, stopped, as_json=arguments.json)
    with _Watch(as_json=arguments.json) as watch:
        try:
            ask(directory, "scrub-start", {"rate": rate, "restart": arguments.restart})
        except NotServed:
            progress = _scrub_here(directory, rate, watch.show)
        else:
            with understood(directory):
                progress = _follow(directory, watch.show)
    return _tell(directory, progress, as_json=arguments.json)


def _follow(directory: Path, show: Show) -> dict[str, Any]:
    """Watch the scrub of a served pool; Ctrl-C stops it."""
    try:
        while True:
            answer = ask(directory, "scrub-status")
            progress: dict[str, Any] = answer["progress"] or {}
            if progress:
                show(progress)
            if not answer["is_running"]:
                return progress
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        with suppress(NotServed):
            ask(directory, "scrub-stop")
        raise


def _scrub_here(directory: Path, rate: int, show: Show) -> dict[str, Any]:
    import trio

    from odxfs.serving import single_errors
    from odxfs.volume import open_pool
    from odxfs.volume.checking.scrub import Scrub

    async def watch(scrub: Scrub) -> None:
        while True:
            show(scrub.progress.as_json())
            await trio.sleep(POLL_SECONDS)

    async def work() -> dict[str, Any]:
        with single_errors(BrokenPipeError):  # whoever reads the progress has seen enough
            async with open_pool(directory, owner="odxfs scrub") as pool, trio.open_nursery() as nursery:
                scrub = Scrub(pool)
                nursery.start_soon(watch, scrub)
                await scrub.run(rate)
                nursery.cancel_scope.cancel()
        return scrub.progress.as_json()

    return trio.run(work)


def _tell(directory: Path, progress: dict[str, Any], *, as_json: bool) -> int:
    with understood(directory):
        damaged = progress["damaged"]
        if as_json:
            say(json.dumps(progress))
        else:
            for finding in progress["findings"]:
                say(finding["sentence"])
            more = damaged - len(progress["findings"])
            if more > 0:
                say(f"{more} more")
            what = f"{progress['state']}, {format_bytes(progress['done_bytes'])} read, {damaged} damaged"
            say(f"{directory}: {what}{': ' + progress['error'] if progress['error'] else ''}")
        return ExitCode.CORRUPT if damaged or progress["error"] else ExitCode.OK


class _Watch:
    """A progress bar on a terminal, which is standard error; a line of JSON for a program."""

    def __init__(self, *, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._as_json = as_json
        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[read]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[damaged]} damaged"),
            console=console,
            transient=True,
            disable=as_json or not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, read="", damaged=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, progress: dict[str, Any]) -> None:
        """Show how far it is."""
        if self._as_json:
            say(json.dumps({name: value for name, value in progress.items() if name != "findings"}))
            sys.stdout.flush()
            return
        self._progress.update(
            self._task,
            completed=progress["done_bytes"],
            total=max(progress["total_bytes"], progress["done_bytes"]) or None,
            read=f"{format_bytes(progress['done_bytes'])} of {format_bytes(progress['total_bytes'])}",
            damaged=progress["damaged"],
        )
