"""SKELETON.  UserStore(directory: Path): users.json in it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class User:
    name: str
    nt_hash: bytes
    uid: int
    gid: int
    sid: str


class UserStore:
    def __init__(self, directory: Path) -> None: ...
    def add(self, name: str, password: str, uid: int, gid: int) -> User: ...    # UserError(EXISTS) when there is one
    def set_password(self, name: str, password: str) -> None: ...               # UserError(NOT_FOUND)
    def delete(self, name: str) -> None: ...
    def list(self) -> list[User]: ...
    def find(self, name: str) -> User | None: ...                               # name case-folded
