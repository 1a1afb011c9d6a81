"""Share a pool over SMB without mounting it.

Stays in the foreground, with its log on stderr, until Ctrl-C, SIGTERM or 'odxfs umount DIR'. Needs no FUSE.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from odxfs.cli.mount import run_in_foreground
from odxfs.cli.output import add_json_option
from odxfs.cli.pools import add_directory
from odxfs.cli.serving_options import add_serving_options, prepare_pool, serving_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    add_serving_options(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    directory = prepare_pool(arguments.directory, arguments.volume, create=arguments.create)

    def work(ready: Callable[[dict[str, Any]], None]) -> None:
        from odxfs.serving import serve

        options = serving_options(arguments, directory)
        serve(options, lambda live: ready(asdict(live)))

    return run_in_foreground(work, arguments)
