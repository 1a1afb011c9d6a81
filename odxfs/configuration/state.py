"""Where the state of an SVM lies that its administrator changes by commands: its users and, unless declared, its shares."""

from pathlib import Path

from odxfs.configuration.model import DEFAULT_SVM

SVMS_DIRECTORY = "svms"


def state_directory(pool: Path, name: str) -> Path:
    """The directory of the SVM's users.json and shares.json, which need not exist yet; the default SVM's is the pool's own."""
    return pool if name == DEFAULT_SVM else pool / SVMS_DIRECTORY / name
