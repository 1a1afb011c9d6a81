"""Does a name match a search pattern: MS-FSA 2.1.4.4, the wildcards `*`, `?` and the three of DOS.

`<` (DOS_STAR) is `*` that never eats the last period, `>` (DOS_QM) is `?` that also matches nothing before a period and
at the end, `"` (DOS_DOT) is a period that also matches nothing at the end. The match runs over a set of positions kept
as bits of one integer, so its cost is the name's length whatever the pattern: no pattern makes it back-track.
"""

from dataclasses import dataclass

from odxfs.volume import upcase

WILDCARDS = frozenset('*?<>"')
MATCH_ALL = frozenset({"*", "*.*"})
MAX_PATTERN_CHARACTERS = 1024
"""Longer than any name can be; past it a pattern only costs time."""


def has_wildcards(pattern: str) -> bool:
    """Whether `pattern` can match more than the one name it spells (MS-FSA 2.1.4.3)."""
    return not WILDCARDS.isdisjoint(pattern)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, in upper case and as it was spelled. Bit i of each mask speaks of the pattern's character i."""

    text: str
    spelled: str
    matches_all: bool
    literals: dict[str, int]
    any_one: int
    stars: int
    dos_stars: int
    dos_question_marks: int
    dos_dots: int

    def matches(self, name: str) -> bool:
        """Whether `name` (no wildcards in it) is described by the pattern; case does not count."""
        if self.matches_all:
            return True
        return self._run(upcase(name))

    def _run(self, name: str) -> bool:
        last_dot = name.rfind(".")
        free = self.stars | self.dos_stars
        positions = 1
        for index, character in enumerate(name):
            if character == ".":
                positions = _advance(positions, free | self.dos_question_marks)
                stay = self.stars | (self.dos_stars if index != last_dot else 0)
                step = self.literals.get(".", 0) | self.any_one | self.dos_dots
            else:
                positions = _advance(positions, free)
                stay = free
                step = self.literals.get(character, 0) | self.any_one | self.dos_question_marks
            positions = (positions & stay) | ((positions & step) << 1)
            if not positions:
                return False
        positions = _advance(positions, free | self.dos_question_marks | self.dos_dots)
        return bool(positions >> len(self.text) & 1)


def _advance(positions: int, skippable: int) -> int:
    """Add what is reached from `positions` by passing characters that may match nothing.

    The carry of one addition runs from the first position in a row of such characters to the end of the row.
    """
    return positions | (((positions & skippable) + skippable) ^ skippable)


def compile_pattern(pattern: str) -> Pattern:
    """The compiled form of `pattern`; an empty one is `*`. The caller bounds its length."""
    spelled = pattern or "*"
    text = upcase(spelled)
    literals: dict[str, int] = {}
    masks = dict.fromkeys(WILDCARDS, 0)
    for index, character in enumerate(text):
        target = masks if character in WILDCARDS else literals
        target[character] = target.get(character, 0) | 1 << index
    return Pattern(
        text, spelled, text in MATCH_ALL, literals, masks["?"], masks["*"], masks["<"], masks[">"], masks['"']
    )
