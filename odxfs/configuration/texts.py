"""Kinds of values that are text: names, words of a list, paths, addresses, policies."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from odxfs.configuration.endpoint import Endpoint
from odxfs.configuration.kinds import shown
from odxfs.errors import UserError
from odxfs.offload_policy import OffloadPolicy


@dataclass(frozen=True, slots=True)
class Text:
    """Text that matches `pattern`; `what` says what that is."""

    pattern: str
    what: str

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError(f"is {shown(value)}, not {self.what}")
        return value

    def write(self, value: str) -> str:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of an enumeration whose values are texts."""

    enum: type[Enum]

    def read(self, value: object) -> Enum:
        try:
            return self.enum(value)
        except ValueError:
            raise ValueError(f"is {shown(value)}, not {_one_of(self._words())}") from None

    def write(self, value: Enum) -> str:
        return str(value.value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": self._words()}

    def _words(self) -> list[str]:
        return [member.value for member in self.enum]


@dataclass(frozen=True, slots=True)
class Folder:
    """An absolute path."""

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise ValueError(f"is {shown(value)}, not an absolute path")
        return Path(value)

    def write(self, value: Path) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^/"}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Text for which `parse` has a meaning, or UserError or ValueError; kept as what `parse` returns."""

    parse: Callable[[str], Any]
    what: str

    def read(self, value: object) -> Any:  # noqa: ANN401
        if not isinstance(value, str):
            raise ValueError(f"is {shown(value)}, not {self.what}")
        try:
            return self.parse(value)
        except (UserError, ValueError) as error:
            raise ValueError(f"is wrong: {error}") from error

    def write(self, value: object) -> str:
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


def _checked_policy(text: str) -> str:
    OffloadPolicy.parse(text)
    return text


def _checked_path(text: str) -> str:
    if {".", ".."} & set(text.split("/")):
        raise ValueError(f"{text!r} is not a path from the volume's root")
    return text.strip("/")


ENDPOINT = Parsed(Endpoint.parse, '"ADDR:PORT"')
POLICY = Parsed(_checked_policy, "an offload policy")
VOLUME_PATH = Parsed(_checked_path, "a path from the volume's root")


def _one_of(words: list[str]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"
