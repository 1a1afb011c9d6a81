"""Numbers on the command line."""

import argparse


def parse_number(text: str) -> int:
    """A number that the catalog can hold."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 to 18 digits")
    return int(text)
