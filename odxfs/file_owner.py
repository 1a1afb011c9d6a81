"""Whose new files are: what root makes in somebody's directory is for that one to use, as all else there."""

import os
from contextlib import suppress
from pathlib import Path


def open_or_create(path: Path, flags: int, mode: int = 0o600) -> int:
    """open(2) that makes the file if need be. Raises OSError."""
    flags |= os.O_CREAT | os.O_CLOEXEC
    try:
        made = os.open(path, flags | os.O_EXCL, mode)
    except FileExistsError:
        return os.open(path, flags, mode)
    give_to_owner_of(path.parent, made)
    return made


def make_directory(path: Path, *, exist_ok: bool = False) -> None:
    """mkdir(2) of what only its owner may look into. Raises OSError."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not (exist_ok and path.is_dir()):
            raise
        return
    made = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give_to_owner_of(path.parent, made)
    finally:
        os.close(made)


def give_to_owner_of(directory: Path, descriptor: int) -> None:
    """Give a file that was just made in `directory` to who owns that, if we are root and it is not ours. Raises OSError.

    Only for what was made with O_EXCL: whatever else has the name may be a link that its owner has put there.
    """
    if os.geteuid() == 0:
        owner = directory.stat()
        if owner.st_uid != 0:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


def give_as(replaced: os.stat_result, directory: Path, descriptor: int) -> None:
    """The same for a file that takes another's place: it is whose that was, unless root's, and its group's. Raises OSError."""
    if os.geteuid() != 0:
        with suppress(PermissionError):  # of a group that we are not in
            os.fchown(descriptor, -1, replaced.st_gid)
    elif replaced.st_uid != 0:
        os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
    else:
        os.fchown(descriptor, -1, replaced.st_gid)
        give_to_owner_of(directory, descriptor)
