"""Doing something as another user, with the kernel's own judgement of it."""

import errno
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class User:
    """Who acts; `groups` are those besides `gid`."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


ROOT = User(0, 0)
OWNER = User(5001, 5001)
MEMBER = User(5002, 5002, (5001,))
"""In the owner's group."""

OTHER = User(5003, 5003)


def acting(user: User, action: Callable[[Path], object], where: Path) -> str:
    """What `action` comes to in a process of `user` with umask 022: "ok", or the name of the errno.

    It is given `where` by its name, in a process whose directory is the one above: not every user may search all of the path.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        _act(user, action, where, sender)
    os.close(sender)
    with open(receiver, "rb") as said:
        answer = said.read().decode()
    assert os.waitpid(child, 0)[1] == 0, answer
    return answer


def _act(user: User, action: Callable[[Path], object], where: Path, sender: int) -> None:
    status = 1
    try:
        os.umask(0o022)
        os.chdir(where.parent)
        os.setgroups(user.groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
        answer, status = outcome(action, Path(where.name)), 0
    except BaseException:
        answer = traceback.format_exc()
    os.write(sender, answer.encode())
    os._exit(status)


def outcome(action: Callable[[Path], object], where: Path) -> str:
    """ "ok", or the name of the errno."""
    try:
        action(where)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


def close(descriptor: int) -> None:
    """To be put around os.open where only its success counts."""
    os.close(descriptor)
