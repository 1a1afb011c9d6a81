"""Show how something is stored: any table, inode, leaf, block group or segment of a pool.

Changes nothing, and works on a pool that is in use: what is shown is the state of the last commit, up to two seconds old.
Without an option it says what the catalog holds. For a file (--path, --inode) it shows where each part of it lies and how
many share it. Numbers at the beginning of a line are byte offsets in the object.
"""

import argparse
from typing import TYPE_CHECKING

from odxfs.cli.numbers import parse_number
from odxfs.cli.output import say
from odxfs.cli.pools import add_directory, require_pool
from odxfs.errors import ExitCode, UserError

if TYPE_CHECKING:
    from odxfs.volume.blocks.segments import Segments
    from odxfs.volume.catalog.interface import Table
    from odxfs.volume.catalog.reading import CommittedCatalog
    from odxfs.volume.checking.dump import Lines


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--path", help="a file or directory of the volume, from its root")
    what.add_argument("--inode", type=parse_number, metavar="N", help="an inode by its number")
    what.add_argument("--leaf", type=parse_number, metavar="ID", help="a leaf, with who holds it")
    what.add_argument(
        "--segment", type=parse_number, metavar="N", help="a segment's header and how full it is"
    )
    what.add_argument("--space", type=parse_number, metavar="GROUP", help="a group of 16384 blocks")
    what.add_argument("--pins", action="store_true", help="what tokens hold")
    what.add_argument("--table", metavar="NAME", help="every row of a table")
    parser.add_argument("--volume", default="main", help="the volume of --path (default: main)")


def run(arguments: argparse.Namespace) -> int:
    """Print the lines."""
    import trio

    from odxfs.volume.blocks.files import Files
    from odxfs.volume.blocks.segments import Segments
    from odxfs.volume.catalog.reading import committed_catalog
    from odxfs.volume.directory import PoolDirectory

    place = PoolDirectory(require_pool(arguments.directory))

    async def work() -> None:
        segments = Segments(place.segments, place.read_identity(), Files())
        try:
            with committed_catalog(place.catalog) as catalog:
                async for line in await _lines(arguments, catalog, segments):
                    say(line)
        finally:
            segments.close()

    trio.run(work)
    return ExitCode.OK


async def _lines(arguments: argparse.Namespace, catalog: "CommittedCatalog", segments: "Segments") -> "Lines":
    from odxfs.volume.checking import dump

    if arguments.path is not None:
        return dump.dump_inode(catalog, await dump.find_inode(catalog, arguments.volume, arguments.path))
    if arguments.inode is not None:
        return dump.dump_inode(catalog, arguments.inode)
    if arguments.leaf is not None:
        return dump.dump_leaf(catalog, arguments.leaf)
    if arguments.segment is not None:
        return dump.dump_segment(catalog, segments, arguments.segment)
    if arguments.space is not None:
        return dump.dump_group(catalog, arguments.space)
    if arguments.pins:
        return dump.dump_pins(catalog)
    if arguments.table is not None:
        return dump.dump_table(catalog, _table(arguments.table))
    return dump.dump_pool(catalog)


def _table(name: str) -> "Table":
    from odxfs.volume.catalog.interface import Table as Tables

    for table in Tables:
        if table.value.name == name.lower():
            return table
    names = ", ".join(table.value.name for table in Tables)
    raise UserError(f"there is no table {name!r}; there are {names}", ExitCode.USAGE)
