"""A TOML text in sections: what stands before the first header, then each header with the comment above it and what follows.

Cut so, a comment goes with the table that it is about. A line inside a value of several lines may look like a header: whoever
edits sections compares what the whole text says then with what it should say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from odxfs.configuration.places import header_of

Path = tuple[str, ...]


@dataclass(slots=True)
class Section:
    """`path` is the header's, empty for what stands before the first; `text` ends with a line's end."""

    path: Path
    text: str

    def belongs_to(self, path: Path) -> bool:
        """Whether this is the table `path` or one inside it."""
        return self.path[: len(path)] == path


def split(text: str) -> list[Section]:
    """The sections, whose texts are the whole when they are joined."""
    lines = text.splitlines(keepends=True)
    begins = [(0, ())] + [
        (_with_comment(lines, number), header_of(line))
        for number, line in enumerate(lines)
        if header_of(line)
    ]
    ends = [begin for begin, _ in begins[1:]] + [len(lines)]
    return [Section(path, "".join(lines[begin:end])) for (begin, path), end in zip(begins, ends, strict=True)]


def join(sections: Sequence[Section]) -> str:
    """The text that the sections are of."""
    return "".join(section.text for section in sections)


def insert(sections: list[Section], new: Section, beside: Path) -> None:
    """Put `new` behind the last section inside the table `beside`, at the end if there is none, a blank line between."""
    place = max((i + 1 for i, each in enumerate(sections) if each.belongs_to(beside)), default=len(sections))
    before = sections[place - 1]
    if before.text.strip():
        before.text = before.text.rstrip("\n") + "\n\n"
    if place < len(sections):
        new.text += "\n"
    sections.insert(place, new)


def _with_comment(lines: Sequence[str], header: int) -> int:
    """The first line of the comment that stands right above the header, else the header's."""
    begin = header
    while begin > 0 and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    return begin
