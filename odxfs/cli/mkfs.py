"""Make a directory into a pool.

The directory must be empty, or not exist yet. The pool gets one volume. Its files are readable by their owner only.
"""

import argparse

from odxfs.cli.output import say
from odxfs.cli.pools import add_directory, check_volume_name


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    parser.add_argument("--volume", default="main", metavar="NAME", help="the volume's name (default main)")


def run(arguments: argparse.Namespace) -> int:
    """Make the pool."""
    from odxfs.volume import create_pool

    create_pool(arguments.directory, volume=check_volume_name(arguments.volume))
    say(f"{arguments.directory} is a pool with the volume {arguments.volume}")
    return 0
