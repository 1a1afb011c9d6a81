"""The last copies out of the lines of a trace, and what is to be said of each. Pure: lines in, sentences out.

A copy is what one user of one client writes to one file without a long pause. The calls that made its tokens belong to it.
Tokens that nobody wrote here are no copy: another server may have fetched them.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from odxfs.observe.advice import advice_for, sentence_for

PAUSE_SECONDS = 60.0
"""Calls further apart than this are of different copies."""

Line = dict[str, Any]


@dataclass(slots=True)
class CopySeen:
    """One copy, put together from its calls; lengths in bytes."""

    owner: str
    client: str
    svm: str
    share: str
    destination: str
    source: str = ""
    peer: str = ""
    began: str = ""
    ended: str = ""
    logical_bytes: int = 0
    moved_bytes: int = 0
    seconds: float = 0.0
    """In the server, all calls together."""
    mechanisms: Counter[str] = field(default_factory=Counter)
    """Calls that copied something."""
    tokens: set[str] = field(default_factory=set)
    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(call, reason) -> how often."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "began": self.began, "ended": self.ended, "owner": self.owner, "client": self.client, "svm": self.svm,
            "share": self.share, "source": self.source, "destination": self.destination, "peer": self.peer,
            "logical_bytes": self.logical_bytes, "moved_bytes": self.moved_bytes, "tokens": len(self.tokens),
            "mechanisms": dict(self.mechanisms), "seconds": self.seconds,
            "refusals": [
                {"call": call, "reason": reason, "times": times} for (call, reason), times in self.refusals.items()
            ],
        }  # fmt: skip


def copies_in(lines: Iterable[Line]) -> list[CopySeen]:
    """The copies, by when they began."""
    gathered = _Gathered()
    for line in lines:
        gathered.take(line)
    return sorted(gathered.copies, key=lambda copy: copy.began)


class _Gathered:
    """The copies as far as they are known, and the token reads that belong to none yet."""

    def __init__(self) -> None:
        self.copies: list[CopySeen] = []
        self._open: dict[tuple[str, ...], CopySeen] = {}
        self._reads: dict[str, Line] = {}

    def take(self, line: Line) -> None:
        """One more line."""
        if line["call"] == "read" and not line["reason"]:
            self._reads[line["token"]] = line
            return
        copy = self._copy_of(line)
        read = self._reads.pop(line["token"], None) if line["token"] else None
        if line["token"] and not line["reason"]:
            copy.tokens.add(line["token"])
        copy.source = copy.source or (file_of(read) if read is not None else line["source"])
        copy.peer = copy.peer or line["peer"]
        copy.ended = line["time"]
        copy.seconds += line["seconds"] + (read["seconds"] if read is not None else 0.0)
        if line["reason"]:
            copy.refusals[line["call"], line["reason"]] += 1
            return
        copy.mechanisms[line["mechanism"]] += 1
        copy.logical_bytes += line["logical_bytes"]
        copy.moved_bytes += line["moved_bytes"]

    def _copy_of(self, line: Line) -> CopySeen:
        is_read = line["call"] == "read"
        file = file_of(line)
        key = (line["owner"], line["client"], line["svm"], line["call"], file)
        copy = self._open.get(key)
        if copy is None or _seconds_between(copy.ended, line["time"]) > PAUSE_SECONDS:
            copy = CopySeen(
                line["owner"], line["client"], line["svm"], line["share"], "" if is_read else file, began=line["time"]
            )  # fmt: skip
            copy.source = file if is_read else ""
            self._open[key] = copy
            self.copies.append(copy)
        return copy


def file_of(line: Line) -> str:
    """The file that a call was made on, as people write it."""
    path = line.get("path") or f"inode {line['inode']}"
    return f"{line['volume']}:{path}"


def sentences_of(copy: CopySeen, format_bytes: Callable[[int], str]) -> list[str]:
    """What to tell of a copy: who and what, how it went, and why not better."""
    told = [_headline(copy)]
    if copy.mechanisms:
        told.append(_how_it_went(copy, format_bytes))
    for (call, reason), times in copy.refusals.items():
        told.append(_refusal(call, reason, times))
    return told


def _headline(copy: CopySeen) -> str:
    where = f"share {copy.share}" if copy.share else "the mount"
    who = f"{copy.owner or 'somebody'} from {copy.client}" if copy.share else copy.owner
    files = f"{copy.source or 'unknown'} -> {copy.destination}" if copy.destination else copy.source
    return _printable(f"{copy.began}  {who}, {where}: {files}")


def _printable(text: str) -> str:
    """For a terminal, which must not obey what a client has called a file; names that are no UTF-8 can be printed, too."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _how_it_went(copy: CopySeen, format_bytes: Callable[[int], str]) -> str:
    ways = ", ".join(
        f"{name.replace('_', ' ')} ({calls} call{'s' * (calls > 1)})"
        for name, calls in copy.mechanisms.items()
    )
    moved = "no data moved" if not copy.moved_bytes else f"{format_bytes(copy.moved_bytes)} moved"
    origin = f" from peer {copy.peer}" if copy.peer else ""
    return (
        f"{format_bytes(copy.logical_bytes)} by {ways}, {moved}{origin}, {copy.seconds:.3f} s in the server"
    )


def _refusal(call: str, reason: str, times: int) -> str:
    what = {"read": "reading a token", "write": "writing"}.get(call, call)
    often = "" if times == 1 else f", {times} times"
    hint = advice_for(reason)
    return f"{what} was refused{often}: {sentence_for(reason)} [{reason}]" + (f"; {hint}" if hint else "")


def _seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
