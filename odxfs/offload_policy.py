"""What a share does with tokens, for those who test clients: `OffloadPolicy`.

Written as words with commas between them: what becomes of a token whose source changes (`pin` keeps the bytes as they were,
`invalidate` ends it), and faults (`refuse:STATUS`, `fail:N[:STATUS]`, `delay:SECONDS`, `expire:SECONDS`).
"""

from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Self

from odxfs.errors import UserError
from odxfs.ntstatus import Status

LONGEST_SECONDS = 3600.0

_FIRST_ERROR = 0xC0000000
"""NTSTATUS values below it tell of success, or carry data (MS-ERREF 2.3)."""


class SourceChange(Enum):
    """What a change of the source's range means for a token that was read before it."""

    PIN = "pin"
    INVALIDATE = "invalidate"


@dataclass(frozen=True, slots=True)
class OffloadPolicy:
    """`refuse`: every call is refused so. `fail_call`: the call of that number on the share, from 1 on, is refused with
    `fail_status`. `delay_seconds` before each call; `expire_seconds`: tokens live no longer, however often they are used."""

    source_change: SourceChange = SourceChange.PIN
    refuse: Status | None = None
    fail_call: int = 0
    fail_status: Status = Status.INSUFFICIENT_RESOURCES
    delay_seconds: float = 0.0
    expire_seconds: float | None = None

    @property
    def ends_tokens(self) -> bool:
        """Whether tokens end for another reason than that nobody uses them: then those of holes are tokens like others."""
        return self.source_change is SourceChange.INVALIDATE or self.expire_seconds is not None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy that `text` describes. Raises UserError."""
        policy = cls()
        for word in filter(None, (part.strip() for part in text.split(","))):
            name, *values = word.split(":")
            policy = policy._with(word, name, values)
        return policy

    @staticmethod
    @lru_cache(maxsize=256)
    def of(text: str) -> "OffloadPolicy":
        """`parse`, remembered: shares keep the text, and each call asks for what it means."""
        return OffloadPolicy.parse(text)

    def _with(self, word: str, name: str, values: list[str]) -> Self:
        match [name, *values]:
            case ["pin" | "invalidate"]:
                return replace(self, source_change=SourceChange(name))
            case ["refuse", status]:
                return replace(self, refuse=_status(word, status))
            case ["fail", number]:
                return replace(self, fail_call=_number(word, number))
            case ["fail", number, status]:
                return replace(self, fail_call=_number(word, number), fail_status=_status(word, status))
            case ["delay", seconds]:
                return replace(self, delay_seconds=_seconds(word, seconds))
            case ["expire", seconds]:
                return replace(self, expire_seconds=_seconds(word, seconds))
        raise UserError(f"{word!r} is no offload policy (see 'odxfs help offload-policies')")


def _status(word: str, name: str) -> Status:
    try:
        status = Status[name.upper().removeprefix("STATUS_")]
    except KeyError:
        raise UserError(f"{word!r}: there is no status {name!r}") from None
    if status < _FIRST_ERROR:
        raise UserError(f"{word!r}: {status.name} is no error")
    return status


def _number(word: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{word!r}: {text!r} is not the number of a call, from 1 on")
    return int(text)


def _seconds(word: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= LONGEST_SECONDS:
        raise UserError(f"{word!r}: {text!r} is not a number of seconds up to {LONGEST_SECONDS:.0f}")
    return seconds
