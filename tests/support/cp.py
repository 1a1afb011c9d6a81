"""`odxfs cp` as a user runs it."""

import os
import subprocess
import sys

from tests.support.starting import run_command

PATIENCE_SECONDS = 300
"""Ends a copy that hangs."""

COMMAND = [sys.executable, "-c", "from odxfs.cli.main import main; raise SystemExit(main())", "cp"]


def cp(
    *arguments: object, password: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with nobody to ask."""
    words = ["cp", *map(str, arguments)]
    code, out, err = run_command(words, b"", variables(password, **environment), seconds=PATIENCE_SECONDS)
    return subprocess.CompletedProcess(words, code, out.decode(), err.decode())


def variables(password: str | None = None, **environment: str) -> dict[str, str]:
    """The environment with a password in it."""
    found = {**os.environ, **environment}
    if password is not None:
        found["ODXFS_PASSWORD"] = password
    return found
