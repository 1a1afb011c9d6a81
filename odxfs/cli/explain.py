"""Why the last copies were or were not offloaded, in sentences.

Reads the trace of the pool, DIR/offload.jsonl, which holds one JSON line for each call; so it works whether or not somebody
serves the pool.
"""

import argparse
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from odxfs.cli.numbers import parse_number
from odxfs.cli.output import add_json_option, format_bytes, print_json, say
from odxfs.cli.pools import add_directory, require_pool

if TYPE_CHECKING:
    from odxfs.observe.explaining import CopySeen

LAST_COPIES = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument(
        "--last",
        metavar="N",
        type=_count,
        default=LAST_COPIES,
        help=f"how many copies (default {LAST_COPIES})",
    )
    parser.add_argument("--refused", action="store_true", help="only copies in which something was refused")
    add_json_option(parser)


def _count(text: str) -> int:
    count = parse_number(text)
    if not count:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of copies")
    return count


def run(arguments: argparse.Namespace) -> int:
    """Read the trace and tell."""
    from odxfs.observe.explaining import sentences_of

    copies = _last_copies(require_pool(arguments.directory), arguments.last, refused=arguments.refused)
    if arguments.json:
        print_json([copy.as_json() for copy in copies])
        return 0
    if not copies:
        say("no copies are on record")
    for copy in copies:
        first, *rest = sentences_of(copy, format_bytes)
        say(first)
        for sentence in rest:
            say(f"  {sentence}")
    return 0


def _last_copies(directory: Path, count: int, *, refused: bool) -> "deque[CopySeen]":
    from odxfs.observe.explaining import copies_in
    from odxfs.observe.trace import read_trace

    copies = copies_in(read_trace(directory))
    return deque((copy for copy in copies if copy.refusals or not refused), maxlen=count)
