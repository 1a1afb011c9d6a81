"""The live copy tokens of a pool: what each stands for, who holds it and how long it still lives.

A token is a point in time of a range of a file. Its label is enough to tell it from others and not enough to use it.
"""

import argparse
from typing import Any

from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table
from odxfs.cli.pools import add_directory, require_pool
from odxfs.control.client import NotServed, ask


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; a pool that nobody serves has no tokens."""
    directory = require_pool(arguments.directory)
    try:
        tokens: list[dict[str, Any]] = ask(directory, "tokens")["tokens"]
    except NotServed:
        tokens = []
    if arguments.json:
        print_json(tokens)
        return 0
    columns = ["token", "volume", "inode", "offset", "length", "owner", "client", "age", "remaining", "uses"]
    print_table(columns, [_row(token) for token in tokens])
    return 0


def _row(token: dict[str, Any]) -> list[object]:
    where = [token["label"], token["volume"], token["source"], token["offset"], format_bytes(token["length"])]
    times = [f"{token['age']:.1f} s", f"{token['remaining']:.1f} s"]
    return [*where, token["owner"], token["client"], *times, token["uses"]]
