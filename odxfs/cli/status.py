"""What is mounted and shared, and the numbers of a pool.

Asks the process that serves the pool. Of a pool that nobody serves it says only that, or who opens or closes it just now.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from odxfs.cli.output import add_json_option, format_bytes, print_json, print_table
from odxfs.cli.pools import add_directory, require_pool
from odxfs.control.client import NotServed, ask, understood
from odxfs.pool_file import read_pool_uuid


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_directory(parser)
    add_json_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    directory = require_pool(arguments.directory)
    status = _ask(directory)
    if arguments.json:
        print_json(status)
        return 0
    with understood(directory):
        rows = _rows(status)
    print_table(["what", "value"], rows)
    return 0


def _ask(directory: Path) -> dict[str, Any]:
    try:
        return ask(directory, "status")
    except NotServed:
        return _without_answer(directory)


def _without_answer(directory: Path) -> dict[str, Any]:
    """Nobody answers: nobody serves the pool, or its process is on its way in or out, for which it may wait for the disk."""
    from odxfs.volume.directory import PoolDirectory

    owner = PoolDirectory(directory).running_owner()
    return {
        "state": "not served" if owner is None else "opening or closing",
        "owner": owner,
        "directory": str(directory),
        "pool": {"uuid": str(read_pool_uuid(directory))},
        "scrub": _last_scrub(directory),
    }


def _rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    pool = status["pool"]
    rows = [("state", status["state"]), ("pool", status["directory"]), ("uuid", str(pool["uuid"]))]
    if status["state"] != "served":
        owner = status.get("owner")
        return rows + ([("owner", owner)] if owner else []) + _scrub(status)
    rows += [
        ("mounted on", status["mountpoint"] or "nothing"),
        *_shared(status),
        ("process", str(status["pid"])),
    ]
    rows += [row for trouble in pool["troubles"] for row in _trouble(trouble)]
    rows += [(key.removesuffix("_bytes").replace("_", " "), _value(key, pool[key])) for key in _numbers(pool)]
    rows.append(("tokens", str(status["tokens"])))
    rows += _clients(status.get("smb_server", {}))
    return rows + _peers(status) + _scrub(status) + _copies(status["offload"])


def _clients(clients: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(key.replace("_", " "), str(value)) for key, value in clients.items() if isinstance(value, int)]
    for dialect, counts in clients.get("requests", {}).items():
        came = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
        rows.append((f"requests in {dialect}", came or "none"))
    return rows


def _trouble(trouble: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the disk, since when, and what to do."""
    name = f"the disk is {trouble['condition'].replace('_', '-')}"
    when = f"since {_time(trouble['since_ns'])}: {trouble['error']}"
    if trouble["count"] > 1:
        when += f" ({trouble['count']} times, last at {_time(trouble['last_ns'])})"
    return [(name, when), ("what to do", trouble["advice"])]


def _time(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds / 1e9, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"


def _peers(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"peer {peer['name']}", _peer(peer)) for peer in status.get("peers", [])]


def _peer(peer: dict[str, Any]) -> str:
    state = f"{peer['connections']} connections, {peer['calls']} calls"
    return f"{peer['address']}: {peer['trouble'].replace('_', ' ') or state}"


def _shared(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Where and what is shared: of a single SVM two rows, else one an SVM."""
    if len(status["svms"]) <= 1:
        return [("shared on", status["smb"] or "nothing"), ("shares", ", ".join(status["shares"]) or "none")]
    return [(f"SVM {svm['name']}", _svm(svm)) for svm in status["svms"]]


def _svm(svm: dict[str, Any]) -> str:
    clients = svm["clients"]
    return (
        f"{svm['server_name']} on {', '.join(svm['listen'])}: shares {', '.join(svm['shares']) or 'none'}; "
        f"volumes {', '.join(svm['volumes']) or 'none'}; {clients['sessions']} sessions, {clients['opens']} opens "
        f"({clients['parked_opens']} of them parked)"
    )


def _last_scrub(directory: Path) -> dict[str, Any] | None:
    from odxfs.volume.checking.scrub import read_record

    found = read_record(directory)
    return found and {name: value for name, value in found.items() if name != "findings"}


def _scrub(status: dict[str, Any]) -> list[tuple[str, str]]:
    scrub = status.get("scrub")
    if scrub is None:
        return [("last scrub", "never")]
    done, total = format_bytes(scrub["done_bytes"]), format_bytes(scrub["total_bytes"])
    when = f"{scrub['state']}, begun {_time(scrub['started_ns'])}"
    return [("last scrub", f"{when}, {done} of {total}, {scrub['damaged']} damaged")]


def _copies(offload: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for mechanism, counter in offload["mechanisms"].items():
        copied, shared = format_bytes(counter["logical_bytes"]), format_bytes(counter["shared_bytes"])
        rows.append(
            (f"copied by {mechanism}", f"{copied} in {counter['calls']} calls, {shared} of it shared")
        )
    rows += [(f"refused: {reason}", str(count)) for reason, count in offload["refusals"].items()]
    return rows


def _numbers(pool: dict[str, Any]) -> list[str]:
    return [key for key, value in pool.items() if isinstance(value, int)]


def _value(key: str, number: int) -> str:
    return format_bytes(number) if key.endswith("_bytes") else str(number)
