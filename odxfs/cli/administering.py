"""How commands have something done to a pool, whether somebody serves it or nobody does."""

from pathlib import Path
from typing import Any

from odxfs.control.client import understood
from odxfs.errors import ExitCode, UserError


def have_done(directory: Path, command: str, **values: object) -> dict[str, Any]:
    """The result of a command of `odxfs.administration`. Raises UserError."""
    import trio

    from odxfs.administration import administer
    from odxfs.serving import single_errors

    with single_errors():
        return trio.run(administer, directory, command, values)


def find_volume(directory: Path, name: str) -> dict[str, Any]:
    """A volume of the pool as `odxfs volume list --json` describes it. Raises UserError(NOT_FOUND)."""
    listed = have_done(directory, "volume list")
    with understood(directory):
        for volume in listed["volumes"]:
            if volume["name"] == name:
                found: dict[str, Any] = volume
                return found
    raise UserError(f"{directory} has no volume {name!r}", ExitCode.NOT_FOUND)
