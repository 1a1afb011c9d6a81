"""Who may do what: one table a rule, judged for root, the owner, a member of the group and somebody else."""

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.acting import MEMBER, OTHER, OWNER, ROOT, User, acting, close

Action = Callable[[Path], object]
OK, ACCES, PERM = "ok", "EACCES", "EPERM"
USERS = {"root": ROOT, "owner": OWNER, "member": MEMBER, "other": OTHER}
READ, WRITE, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR

CAPABILITY, CAP_NET_RAW = "security.capability", struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)


def make(folder: Path, *, directory: int = 0o777, file: int = 0o666) -> Path:
    """A directory of OWNER with a file, a directory, a link and a fifo of his; its path."""
    place = folder / "place"
    place.mkdir()
    (place / "file").write_bytes(b"content")
    (place / "inner").mkdir()
    os.symlink("file", place / "link")
    os.mkfifo(place / "fifo")
    os.setxattr(place / "file", "user.there", b"1")
    for path in (place, *place.iterdir()):
        os.chown(path, OWNER.uid, OWNER.gid, follow_symlinks=False)
    for name in ("file", "fifo"):
        os.chmod(place / name, file)
    os.chmod(place / "inner", 0o755)
    os.chmod(place, directory)
    return place


CHANGING_NAMES: dict[str, Action] = {
    "create": lambda at: close(os.open(at / "new", os.O_CREAT | RW)),
    "mkdir": lambda at: (at / "new").mkdir(),
    "symlink": lambda at: os.symlink("x", at / "new"),
    "mkfifo": lambda at: os.mkfifo(at / "new"),
    "socket": lambda at: os.mknod(at / "new", stat.S_IFSOCK | 0o600),
    "unlink": lambda at: (at / "file").unlink(),
    "rmdir": lambda at: (at / "inner").rmdir(),
    "rename": lambda at: (at / "file").rename(at / "new"),
    "replace": lambda at: (at / "file").rename(at / "link"),
}


@pytest.mark.parametrize("name", CHANGING_NAMES)
@pytest.mark.parametrize(
    ("mode", "who", "expected"),
    [
        (0o700, "owner", OK),
        (0o500, "owner", ACCES),
        (0o600, "owner", ACCES),
        (0o000, "root", OK),
        (0o070, "member", OK),
        (0o707, "member", ACCES),
        (0o007, "other", OK),
        (0o775, "other", ACCES),
        (0o772, "other", ACCES),
    ],
)
def test_names_are_changed_by_who_may_write_and_search_the_directory(
    folder: Path, name: str, mode: int, who: str, expected: str
) -> None:
    assert acting(USERS[who], CHANGING_NAMES[name], make(folder, directory=mode)) == expected


OPENING: dict[str, tuple[Action, int]] = {
    "read": (lambda at: close(os.open(at / "file", READ)), 4),
    "write": (lambda at: close(os.open(at / "file", WRITE)), 2),
    "read and write": (lambda at: close(os.open(at / "file", RW)), 6),
    "truncate at open": (lambda at: close(os.open(at / "file", WRITE | os.O_TRUNC)), 2),
    "O_CREAT of what is there": (lambda at: close(os.open(at / "file", WRITE | os.O_CREAT)), 2),
    "truncate": (lambda at: os.truncate(at / "file", 3), 2),
    "getxattr": (lambda at: os.getxattr(at / "file", "user.there"), 4),
    "setxattr": (lambda at: os.setxattr(at / "file", "user.new", b"1"), 2),
    "removexattr": (lambda at: os.removexattr(at / "file", "user.there"), 2),
    "utime now": (lambda at: os.utime(at / "file"), 2),
    "fifo": (lambda at: close(os.open(at / "fifo", RW)), 6),
}


@pytest.mark.parametrize("name", OPENING)
@pytest.mark.parametrize("who", ["member", "other"])
@pytest.mark.parametrize("bits", [0, 1, 2, 4, 6])
def test_data_is_for_whom_the_mode_says(folder: Path, name: str, who: str, bits: int) -> None:
    action, needed = OPENING[name]
    mode = bits << 3 | 0o707 if who == "member" else 0o770 | bits
    expected = OK if bits & needed == needed else ACCES
    assert acting(USERS[who], action, make(folder, file=mode)) == expected


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 4, 5, 6, 7])
def test_access_answers_as_open_would(folder: Path, bits: int) -> None:
    place = make(folder, file=0o770 | bits)
    for asked in range(8):
        held = bits & asked == asked
        found = acting(OTHER, lambda at, asked=asked: _require(os.access(at / "file", asked)), place)  # type: ignore[misc]
        assert (found == OK) is held


def _require(held: bool) -> None:
    if not held:
        raise PermissionError(1, "no")


OWNERS_ONLY: dict[str, Action] = {
    "chmod": lambda at: os.chmod(at / "file", 0o600),
    "utime": lambda at: os.utime(at / "file", (1, 1)),
    "chown to oneself": lambda at: os.chown(at / "file", os.geteuid(), -1),
    "chgrp to one's group": lambda at: os.chown(at / "file", -1, os.getegid()),
    "lchown": lambda at: os.lchown(at / "link", os.geteuid(), -1),
}


@pytest.mark.parametrize("name", OWNERS_ONLY)
@pytest.mark.parametrize(
    ("who", "expected"), [("root", OK), ("owner", OK), ("member", PERM), ("other", PERM)]
)
def test_attributes_are_the_owners(folder: Path, name: str, who: str, expected: str) -> None:
    assert acting(USERS[who], OWNERS_ONLY[name], make(folder)) == expected


ROOTS_ONLY: dict[str, Action] = {
    "give away": lambda at: os.chown(at / "file", OTHER.uid, -1),
    "chgrp to a group of others": lambda at: os.chown(at / "file", -1, OTHER.gid),
    "device": lambda at: os.mknod(at / "new", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "trusted attribute": lambda at: os.setxattr(at / "file", "trusted.x", b"1"),
}


@pytest.mark.parametrize("name", ROOTS_ONLY)
@pytest.mark.parametrize(("who", "expected"), [("root", OK), ("owner", PERM), ("other", PERM)])
def test_privileges_are_roots(folder: Path, name: str, who: str, expected: str) -> None:
    assert acting(USERS[who], ROOTS_ONLY[name], make(folder)) == expected


@pytest.mark.parametrize("mode", [0o1777, 0o777])
@pytest.mark.parametrize("who", ["root", "owner", "member", "other"])
@pytest.mark.parametrize("name", ["unlink", "rmdir", "rename", "replace"])
def test_in_a_sticky_directory_names_go_with_their_owner_only(
    folder: Path, mode: int, who: str, name: str
) -> None:
    place = make(folder, directory=mode)
    os.chown(place, 0, 0)
    expected = OK if mode == 0o777 or who in ("root", "owner") else PERM
    assert acting(USERS[who], CHANGING_NAMES[name], place) == expected


def test_the_owner_of_a_sticky_directory_removes_what_others_made(folder: Path) -> None:
    place = make(folder, directory=0o1777)
    assert acting(OTHER, lambda at: (at / "theirs").touch(), place) == OK
    assert acting(MEMBER, lambda at: (at / "theirs").unlink(), place) == PERM
    assert acting(OWNER, lambda at: (at / "theirs").unlink(), place) == OK


def test_a_directory_moves_only_for_who_may_write_it(folder: Path) -> None:
    """Its ".." changes."""
    place = make(folder)
    (folder / "aside").mkdir()
    os.chmod(folder / "aside", 0o777)
    os.chmod(place / "inner", 0o555)
    assert acting(OTHER, lambda at: (at / "inner").rename(at.parent / "aside" / "inner"), place) == ACCES
    assert acting(OWNER, lambda at: (at / "file").rename(at.parent / "aside" / "file"), place) == OK


def test_searching_is_not_listing(folder: Path) -> None:
    place = make(folder, directory=0o771)
    assert acting(OTHER, os.listdir, place) == ACCES
    assert acting(OTHER, lambda at: (at / "file").read_bytes(), place) == OK
    os.chmod(place, 0o774)
    assert acting(OTHER, os.listdir, place) == OK
    assert acting(OTHER, lambda at: (at / "file").stat(), place) == ACCES


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize(
    ("user", "mode", "kept"),
    [
        (OWNER, 0o6755, 0o6755),
        (ROOT, 0o6755, 0o6755),
        (User(OWNER.uid, OTHER.gid), 0o6755, 0o4755),
        (User(OWNER.uid, OTHER.gid, (OWNER.gid,)), 0o6755, 0o6755),
    ],
)
def test_chmod_by_who_is_not_of_the_group_drops_setgid(
    folder: Path, user: User, mode: int, kept: int
) -> None:
    place = make(folder)
    assert acting(user, lambda at: os.chmod(at / "file", mode), place) == OK
    assert mode_of(place / "file") == kept


CHANGING: dict[str, Action] = {
    "write": lambda at: (at / "file").open("r+b", buffering=0).write(b"x"),
    "truncate": lambda at: os.truncate(at / "file", 1),
    "ftruncate": lambda at: (at / "file").open("r+b", buffering=0).truncate(1),
    "O_TRUNC": lambda at: close(os.open(at / "file", WRITE | os.O_TRUNC)),
    "append": lambda at: (at / "file").open("ab", buffering=0).write(b"x"),
    "fallocate": lambda at: os.posix_fallocate(os.open(at / "file", WRITE), 0, 10),
}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize(
    ("user", "mode", "kept"),
    [
        (OTHER, 0o6777, 0o777),
        (MEMBER, 0o2767, 0o2767),
        (OWNER, 0o4777, 0o777),
        (ROOT, 0o6777, 0o6777),
    ],
)
def test_what_changes_content_takes_privileges_away(
    folder: Path, name: str, user: User, mode: int, kept: int
) -> None:
    """setgid without execution by the group is no privilege (it was mandatory locking)."""
    place = make(folder, file=mode)
    assert acting(user, CHANGING[name], place) == OK
    assert mode_of(place / "file") == kept


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("user", [ROOT, OTHER])
def test_what_changes_content_takes_file_capabilities_away(folder: Path, name: str, user: User) -> None:
    place = make(folder)
    os.setxattr(place / "file", CAPABILITY, CAP_NET_RAW)
    assert acting(user, CHANGING[name], place) == OK
    assert os.listxattr(place / "file") == ["user.there"]


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o6755, 0o755), (0o2755, 0o755), (0o2745, 0o2745), (0o4644, 0o644)]
)
@pytest.mark.parametrize("user", [ROOT, OWNER])
def test_chown_takes_privileges_away(folder: Path, user: User, mode: int, kept: int) -> None:
    place = make(folder, file=mode)
    assert acting(user, lambda at: os.chown(at / "file", OWNER.uid, OWNER.gid), place) == OK
    assert mode_of(place / "file") == kept


def test_chown_leaves_the_bits_of_a_directory(folder: Path) -> None:
    place = make(folder, directory=0o6777)
    assert acting(ROOT, lambda at: os.chown(at, OTHER.uid, OTHER.gid), place) == OK
    assert mode_of(place) == 0o6777


@pytest.mark.parametrize("user", [ROOT, OTHER])
@pytest.mark.parametrize("name", ["create", "mkdir", "mkfifo", "symlink"])
def test_a_setgid_directory_hands_on_its_group_whoever_makes_something(
    folder: Path, user: User, name: str
) -> None:
    place = make(folder, directory=0o2777)
    assert acting(user, CHANGING_NAMES[name], place) == OK
    info = (place / "new").lstat()
    assert (info.st_uid, info.st_gid) == (user.uid, OWNER.gid)
    assert bool(info.st_mode & stat.S_ISGID) is (name == "mkdir")


@pytest.mark.parametrize(("user", "kept"), [(OTHER, 0o755), (MEMBER, 0o2755), (ROOT, 0o2755)])
def test_a_file_made_setgid_in_a_setgid_directory_by_no_member_is_not(
    folder: Path, user: User, kept: int
) -> None:
    place = make(folder, directory=0o2777)
    assert acting(user, lambda at: close(os.open(at / "new", os.O_CREAT | RW, 0o2755)), place) == OK
    assert mode_of(place / "new") == kept


@pytest.mark.parametrize(
    ("umask", "file", "inner", "fifo"),
    [(0, 0o666, 0o777, 0o666), (0o077, 0o600, 0o700, 0o600), (0o777, 0, 0, 0)],
)
def test_the_umask_takes_bits_away(folder: Path, umask: int, file: int, inner: int, fifo: int) -> None:
    before = os.umask(umask)
    try:
        (folder / "file").touch()
        (folder / "inner").mkdir()
        os.mkfifo(folder / "fifo")
        os.symlink("x", folder / "link")
    finally:
        os.umask(before)
    modes = [mode_of(folder / name) for name in ("file", "inner", "fifo", "link")]
    assert modes == [file, inner, fifo, 0o777]


def test_a_file_may_be_created_with_a_mode_that_forbids_its_open(folder: Path) -> None:
    place = make(folder)
    action: Action = lambda at: os.write(os.open(at / "new", os.O_CREAT | os.O_EXCL | RW, 0o000), b"x")  # noqa: E731
    assert acting(OTHER, action, place) == OK
    assert acting(OTHER, lambda at: (at / "new").read_bytes(), place) == ACCES
    assert (place / "new").read_bytes() == b"x"


def test_links_to_files_of_others_are_refused_where_the_system_protects_them(folder: Path) -> None:
    place = make(folder, file=0o600)
    protected = Path("/proc/sys/fs/protected_hardlinks").read_text().strip() == "1"
    found = acting(OTHER, lambda at: os.link(at / "file", at / "second"), place)
    assert found == (PERM if protected else OK)
    assert acting(OWNER, lambda at: os.link(at / "file", at / "third"), place) == OK


def test_trusted_attributes_are_seen_by_root_only(folder: Path) -> None:
    place = make(folder)
    os.setxattr(place / "file", "trusted.secret", b"1")
    assert sorted(os.listxattr(place / "file")) == ["trusted.secret", "user.there"]
    seen: Action = lambda at: _require(os.listxattr(at / "file") == ["user.there"])  # noqa: E731
    assert acting(OWNER, seen, place) == OK
    assert acting(OWNER, lambda at: os.getxattr(at / "file", "trusted.secret"), place) == "ENODATA"
