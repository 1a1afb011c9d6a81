"""The live copy tokens of a pool: what each stands for, who holds it and how long it still lives.

A token is a point in time of a range of a file. Its label is enough to tell it from others and not enough to use it.
'odxfs tokens DIR' lists them, with --watch as they come and go. 'odxfs tokens cancel DIR LABEL' ends one, and with --client,
--volume, --svm or --all those that are meant: who redeems one of them later is refused, and writes under way from it go on.
"""

import argparse
from pathlib import Path
from typing import Any

from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table, say
from odxfs.cli.pools import require_pool
from odxfs.control.client import NotServed, ask, understood
from odxfs.errors import ExitCode, UserError

CANCEL = "cancel"
COLUMNS = ("token", "volume", "inode", "offset", "length", "owner", "client", "age", "remaining", "uses")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "words",
        metavar="[cancel] DIR [LABEL]",
        nargs="+",
        help="the pool's directory; the label of a token to cancel",
    )
    parser.add_argument("--all", action="store_true", help="cancel every token")
    parser.add_argument(
        "--client", metavar="ADDRESS", help="cancel the tokens of this client ('mount' for the mount's)"
    )
    parser.add_argument("--volume", metavar="NAME", help="cancel the tokens of files of this volume")
    parser.add_argument("--svm", metavar="NAME", help="cancel the tokens that this SVM has made")
    parser.add_argument("--watch", action="store_true", help="show them as they come and go, until Ctrl-C")
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """List or cancel; a pool that nobody serves has no tokens."""
    words: list[str] = list(arguments.words)
    chosen = {name: getattr(arguments, name) for name in ("client", "volume", "svm")}
    if words[0] == CANCEL and len(words) > 1:
        return _cancel(arguments, words[1:], chosen)
    if len(words) > 1 or arguments.all or any(chosen.values()):
        raise UserError("only 'odxfs tokens cancel DIR' takes a label or a choice", ExitCode.USAGE)
    if arguments.watch:
        return _watch(require_pool(Path(words[0])))
    return _list(arguments, require_pool(Path(words[0])))


def _cancel(arguments: argparse.Namespace, words: list[str], chosen: dict[str, str | None]) -> int:
    directory, *labels = words
    if len(labels) > 1 or not (labels or arguments.all or any(chosen.values())):
        raise UserError("which tokens? Give one LABEL, or --client, --volume, --svm or --all", ExitCode.USAGE)
    wanted: dict[str, Any] = {**chosen, "label": labels[0] if labels else None, "all": arguments.all or None}
    cancelled = _number_cancelled(require_pool(Path(directory)), wanted)
    if labels and not cancelled:
        raise UserError(f"there is no live token {labels[0]!r}", ExitCode.NOT_FOUND)
    if arguments.json:
        print_json({"cancelled": cancelled})
    else:
        say(f"{cancelled} token{'' if cancelled == 1 else 's'} cancelled")
    return 0


def _number_cancelled(directory: Path, wanted: dict[str, Any]) -> int:
    try:
        answer = ask(directory, "cancel_tokens", wanted)
    except NotServed:
        return 0
    with understood(directory):
        return int(answer["cancelled"])


def _list(arguments: argparse.Namespace, directory: Path) -> int:
    tokens = _live_tokens(directory) or []
    if arguments.json:
        print_json(tokens)
        return 0
    with understood(directory):
        rows = [_row(token) for token in tokens]
    print_table(COLUMNS, rows)
    return 0


def _watch(directory: Path) -> int:
    from odxfs.cli.watching import watch

    with understood(directory):
        watch(lambda: _live_tokens(directory), COLUMNS, _row)
    return 0


def _live_tokens(directory: Path) -> list[dict[str, Any]] | None:
    """The live tokens, the longest idle first; None when nobody serves the pool."""
    try:
        answer = ask(directory, "tokens")
    except NotServed:
        return None
    with understood(directory):
        return [dict(token) for token in answer["tokens"]]


def _row(token: dict[str, Any]) -> list[object]:
    where = [token["label"], token["volume"], token["source"], token["offset"], format_bytes(token["length"])]
    times = [f"{token['age']:.1f} s", f"{token['remaining']:.1f} s"]
    return [*where, token["owner"], token["client"], *times, token["uses"]]
