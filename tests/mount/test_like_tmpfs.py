"""Programs of random system calls, which must come to the same on the mount and on a file system of the kernel.

ODXFS_LONG=1 tries many more.
"""

import itertools
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mount.acting import MEMBER, OTHER, OWNER
from tests.mount.command import MountedPool
from tests.mount.test_times import wait_for_another_tick
from tests.mount.twins import ROOTS_NAMES, UNTOUCHED_BY, USERS, XATTRS, Seen, Step, World, difference, do

LONG = bool(os.environ.get("ODXFS_LONG"))
EXAMPLES = 3000 if LONG else 60

PATHS = st.sampled_from(
    (
        *ROOTS_NAMES,
        *ROOTS_NAMES,
        *ROOTS_NAMES,
        ".",
        "..",
        "d/.",
        "a/",
        "d/e/",
        "a/x",
        "d/../b",
        "d/e/../..",
        "",
        "n" * 256,
        "d/" + "n" * 255,
    )
)
TARGETS = st.sampled_from((*ROOTS_NAMES, "..", "../b", "nowhere", "a/", "", "t" * 4095))
MODES = st.sampled_from(
    (0o000, 0o644, 0o666, 0o755, 0o777, 0o1777, 0o2777, 0o2755, 0o4755, 0o6777, 0o070, 0o007)
)
KINDS = st.sampled_from(
    (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR, 0)
)
IDS = st.sampled_from((-1, 0, OWNER.uid, MEMBER.uid, OTHER.uid))
OWNERS = st.tuples(IDS, IDS).filter(
    lambda ids: ids != (-1, -1)
)  # then ctime is for the file system to choose (POSIX)
ACCESS = st.sampled_from((os.O_RDONLY, os.O_WRONLY, os.O_RDWR))
FLAGS = st.lists(
    st.sampled_from(
        (os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_NOFOLLOW, os.O_DIRECTORY, os.O_PATH)
    ),
    max_size=3,
).map(lambda flags: sum(set(flags)))
OFFSETS = st.sampled_from((0, 1, 100, 4095, 4096, 5000, 8192, 70_000, 1 << 23, (1 << 23) + 4096))
LENGTHS = st.sampled_from((0, 1, 5, 4095, 4096, 8192, 66_000))
DATA = st.tuples(st.sampled_from((b"x", b"yz")), LENGTHS).map(lambda parts: parts[0] * parts[1])
FD = st.integers(0, 5)
TIMES = st.sampled_from(
    (
        (0, 0),
        (-1, -1),
        (-5_000_000_001, 7),
        (2**31 * 10**9, 2**33 * 10**9),
        (123_456_789, 987_654_321_123_456_789),
    )
)

CALLS = (
    st.tuples(st.just("open"), st.tuples(PATHS, st.builds(int.__or__, ACCESS, FLAGS), MODES)),
    st.tuples(st.just("open"), st.tuples(PATHS, st.builds(int.__or__, ACCESS, FLAGS), MODES)),
    st.tuples(st.just("close"), st.tuples(FD)),
    st.tuples(st.just("mkdir"), st.tuples(PATHS, MODES)),
    st.tuples(st.just("mknod"), st.tuples(PATHS, st.builds(int.__or__, KINDS, MODES))),
    st.tuples(st.just("symlink"), st.tuples(TARGETS, PATHS)),
    st.tuples(st.just("link"), st.tuples(PATHS, PATHS)),
    st.tuples(st.just("unlink"), st.tuples(PATHS)),
    st.tuples(st.just("rmdir"), st.tuples(PATHS)),
    st.tuples(st.just("rename"), st.tuples(PATHS, PATHS, st.sampled_from((0, 0, 0, 1, 2, 3)))),
    st.tuples(st.just("chmod"), st.tuples(PATHS, MODES)),
    st.tuples(st.just("chown"), st.builds(lambda path, ids: (path, *ids), PATHS, OWNERS)),
    st.tuples(st.just("utime"), st.tuples(PATHS, TIMES)),
    st.tuples(st.just("truncate"), st.tuples(PATHS, OFFSETS)),
    st.tuples(st.just("readlink"), st.tuples(PATHS)),
    st.tuples(st.just("listdir"), st.tuples(PATHS)),
    st.tuples(st.just("access"), st.tuples(PATHS, st.integers(0, 7))),
    st.tuples(st.just("stat"), st.tuples(PATHS)),
    st.tuples(
        st.just("setxattr"),
        st.tuples(
            PATHS, st.sampled_from(XATTRS), st.sampled_from((b"", b"v", b"w" * 5000)), st.integers(0, 2)
        ),
    ),
    st.tuples(st.just("getxattr"), st.tuples(PATHS, st.sampled_from(XATTRS))),
    st.tuples(st.just("removexattr"), st.tuples(PATHS, st.sampled_from(XATTRS))),
    st.tuples(st.just("listxattr"), st.tuples(PATHS)),
    st.tuples(st.just("read"), st.tuples(FD, LENGTHS, OFFSETS)),
    st.tuples(st.just("write"), st.tuples(FD, DATA, OFFSETS)),
    st.tuples(st.just("append"), st.tuples(FD, DATA)),
    st.tuples(st.just("ftruncate"), st.tuples(FD, OFFSETS)),
    st.tuples(st.just("fchmod"), st.tuples(FD, MODES)),
    st.tuples(st.just("fchown"), st.builds(lambda index, ids: (index, *ids), FD, OWNERS)),
    st.tuples(st.just("futime"), st.tuples(FD, TIMES)),
    st.tuples(st.just("fstat"), st.tuples(FD)),
    st.tuples(st.just("fsync"), st.tuples(FD)),
    st.tuples(st.just("seek"), st.tuples(FD, OFFSETS, st.integers(0, 4))),
    st.tuples(st.just("fallocate"), st.tuples(FD, st.sampled_from((0, 1, 2, 3)), OFFSETS, LENGTHS)),
    st.tuples(st.just("copy"), st.tuples(FD, FD, LENGTHS, OFFSETS, OFFSETS)),
    st.tuples(st.just("sendfile"), st.tuples(FD, FD, LENGTHS, OFFSETS)),
)
STEPS = st.tuples(st.sampled_from((*USERS, "root", "owner")), st.one_of(*CALLS)).map(
    lambda step: (step[0], step[1][0], step[1][1])
)

BEGINNING: tuple[Step, ...] = (
    ("root", "chown", (".", OWNER.uid, OWNER.gid)),
    ("root", "chmod", (".", 0o777)),
    ("owner", "mkdir", ("d", 0o777)),
    ("owner", "mkdir", ("d/e", 0o777)),
    ("owner", "open", ("a", os.O_CREAT | os.O_RDWR, 0o666)),
    ("owner", "write", (0, b"content" * 1000, 0)),
)


@pytest.fixture(scope="module")
def tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A tmpfs of our own."""
    path = tmp_path_factory.mktemp("tmpfs")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,nodev,nosuid", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


NUMBERS = itertools.count()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
@given(st.lists(STEPS, min_size=10, max_size=30))
def test_random_calls_come_to_the_same(pool: MountedPool, tmpfs: Path, steps: list[Step]) -> None:
    number = str(next(NUMBERS))
    roots = [pool.mountpoint / number, tmpfs / number]
    for root in roots:
        root.mkdir()
    worlds = [World(os.open(root, os.O_PATH)) for root in roots]
    before = os.umask(0)
    try:
        _compare(worlds, [Seen(root) for root in roots], steps, roots[1])
    finally:
        os.umask(before)
        for world in worlds:
            world.close()
            os.close(world.root)
        for root in roots:
            subprocess.run(["rm", "-rf", root], check=True)


def _compare(worlds: list[World], seen: list[Seen], steps: list[Step], clocked: Path) -> None:
    for step in (*BEGINNING, *steps):
        for one in seen:
            one.set_back()
        wait_for_another_tick(clocked)
        mine, expected = (do(world, step) for world in worlds)
        assert mine == expected, step
        accessed = step[1] not in UNTOUCHED_BY
        differs = difference(*(one.look(accessed=accessed) for one in seen))
        assert not differs, f"{step}\n{differs}"
    differs = difference(*(one.read() for one in seen))
    assert not differs, f"in the end\n{differs}"
