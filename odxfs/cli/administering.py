"""How commands have something done to a pool, whether somebody serves it or nobody does."""

from pathlib import Path
from typing import Any


def have_done(directory: Path, command: str, **values: object) -> dict[str, Any]:
    """The result of a command of `odxfs.administration`. Raises UserError."""
    import trio

    from odxfs.administration import administer
    from odxfs.serving import single_errors

    with single_errors():
        return trio.run(administer, directory, command, values)
