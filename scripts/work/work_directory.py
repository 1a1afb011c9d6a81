"""The directory of `--work`, in which a script makes what it needs."""

import argparse
from pathlib import Path


def work_directory(name: str) -> Path:
    """The directory of that name, made if need be: a `type` of argparse. Raises ArgumentTypeError."""
    directory = Path(name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{name} cannot be made a directory: {error.strerror}") from error
    return directory
