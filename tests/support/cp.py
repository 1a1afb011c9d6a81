"""`odxfs cp` as a user runs it."""

import os
import subprocess
import sys

COMMAND = [sys.executable, "-c", "from odxfs.cli.main import main; raise SystemExit(main())", "cp"]


def cp(
    *arguments: object, password: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with nobody to ask."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=variables(password, **environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def variables(password: str | None = None, **environment: str) -> dict[str, str]:
    """The environment with a password in it."""
    found = {**os.environ, **environment}
    if password is not None:
        found["ODXFS_PASSWORD"] = password
    return found
