"""Share a pool over SMB without mounting it, or serve whatever a configuration says (--config FILE, or DIR/odxfs.toml).

Stays in the foreground, with its log on stderr, until Ctrl-C, SIGTERM or 'odxfs umount DIR'. SIGHUP, like 'odxfs config reload
DIR', reads the configuration again. Needs no FUSE, unless the configuration has mounts.
"""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from odxfs.cli.mount import check_mounts, run_in_foreground
from odxfs.cli.output import add_json_option
from odxfs.cli.pools import add_directory
from odxfs.cli.serving_options import add_serving_options, serving_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser, optional=True)
    add_serving_options(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    options = serving_options(arguments)
    check_mounts(options)

    def work(ready: Callable[[dict[str, Any]], None]) -> None:
        from odxfs.serving import serve

        serve(options, lambda live: ready(asdict(live)))

    return run_in_foreground(work, arguments)
