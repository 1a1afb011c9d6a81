"""Where the state of an SVM lies that its administrator changes by commands: its users and, unless declared, its shares."""

from pathlib import Path

from odxfs.configuration.model import DEFAULT_SVM
from odxfs.errors import ExitCode, UserError
from odxfs.file_owner import make_directory

SVMS_DIRECTORY = "svms"


def state_directory(pool: Path, name: str) -> Path:
    """The directory of the SVM's users.json and shares.json, which need not exist yet; the default SVM's is the pool's own."""
    return pool if name == DEFAULT_SVM else pool / SVMS_DIRECTORY / name


def made_state_directory(pool: Path, name: str) -> Path:
    """The same, made if need be. Raises UserError(CONFIG)."""
    directory = state_directory(pool, name)
    try:
        if name != DEFAULT_SVM:
            make_directory(directory.parent, exist_ok=True)
            make_directory(directory, exist_ok=True)
    except OSError as error:
        raise UserError(f"{directory} cannot be made: {error.strerror}", ExitCode.CONFIG) from error
    return directory
