"""What is wrong with a configuration: one line each, with the place where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from odxfs.errors import ExitCode, UserError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in `file`; `line` counts from 1, None where it is not known. `str` is the one line that a person reads."""

    file: Path
    line: int | None
    text: str

    def __str__(self) -> str:
        where = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return " ".join(f"{where}: {self.text}".split())


class ConfigurationError(UserError):
    """A configuration cannot be used. As one line it is the first problem and how many more there are."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more: see 'odxfs config check')" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", ExitCode.CONFIG)
        self.problems = tuple(problems)
