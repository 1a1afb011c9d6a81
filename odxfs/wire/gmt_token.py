"""@GMT tokens: a moment in time as one component of a path, `@GMT-YYYY.MM.DD-HH.MM.SS` (MS-SMB2 1.1, MS-SMB 2.2.1.1.1)."""

import re
from datetime import UTC, datetime

_TOKEN = re.compile(r"@GMT-(\d{4})\.(\d\d)\.(\d\d)-(\d\d)\.(\d\d)\.(\d\d)", re.ASCII)
TOKEN_CHARACTERS = 24
"""Every token has this length."""


def is_gmt_token(name: str) -> bool:
    """Whether `name` has the form of a token; its date may be none."""
    return len(name) == TOKEN_CHARACTERS and _TOKEN.fullmatch(name) is not None


def parse_gmt_token(name: str) -> int | None:
    """The second since 1970 that a token says; None for what has not the form of a token and for what is no date."""
    found = _TOKEN.fullmatch(name)
    if found is None:
        return None
    try:
        return int(datetime(*map(int, found.groups()), tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def split_gmt_token(path: str) -> tuple[int | None, str]:
    """The second that the token in a path says, and the path without it; None where there is no token, or more than one."""
    names = path.split("\\")
    seconds = [parse_gmt_token(name) for name in names]
    found = [second for second in seconds if second is not None]
    if len(found) != 1:
        return None, path
    return found[0], "\\".join(name for name, second in zip(names, seconds, strict=True) if second is None)


def format_gmt_token(second: int) -> str:
    """The token of a second since 1970, of the years 1 to 9999; others raise ValueError or OverflowError."""
    moment = datetime.fromtimestamp(second, UTC)
    date = f"{moment.year:04}.{moment.month:02}.{moment.day:02}"
    return f"@GMT-{date}-{moment.hour:02}.{moment.minute:02}.{moment.second:02}"
