"""What a check found: values for programs, sentences for people."""

from collections import Counter
from dataclasses import dataclass

_BOUND = 100
"""Findings of one kind after which the rest is only counted: the first few tell what happened."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold."""

    kind: str
    """A short name, the same for all findings of the same sort."""
    sentence: str
    where: str = ""
    """What it is about, such as `inode 7`, `leaf 12`, `group 3` or `volume main: /a/file, byte 4096`; empty for the pool."""

    def __str__(self) -> str:
        return self.sentence


class Findings:
    """Collects findings, bounded for each kind."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._kinds: Counter[str] = Counter()

    def add(self, kind: str, sentence: str, where: str = "") -> None:
        """Note a finding of a kind."""
        self._kinds[kind] += 1
        if self._kinds[kind] <= _BOUND:
            self._found.append(Finding(kind, sentence, where))

    def result(self) -> list[Finding]:
        """All of them, and how many were left out."""
        more = [
            Finding(kind, f"{count - _BOUND} more findings like: {kind}")
            for kind, count in self._kinds.items()
            if count > _BOUND
        ]
        return self._found + more
