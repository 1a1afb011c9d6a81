"""The odxfs command for the careless, and after a crash: what must be refused, in one line and without harm."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from odxfs.cli.main import main
from odxfs.errors import ExitCode
from odxfs_mount.unmounting import find_mount
from tests.mount.acting import OTHER
from tests.mount.command import ODXFS, TIMEOUT_SECONDS, clear, odxfs, odxfs_ok, run, wait_for_end
from tests.mount.test_cli import fails


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """An unmounted pool."""
    odxfs_ok("mkfs", tmp_path / "pool")
    return tmp_path / "pool"


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """An empty directory to mount on; nothing is mounted on it afterwards."""
    place = tmp_path / "mnt"
    place.mkdir()
    yield place
    clear(place)


def test_a_mount_never_hides_its_own_pool(tmp_path: Path, pool: Path) -> None:
    (tmp_path / "link").symlink_to(pool)
    for place in (pool, pool / "segments", tmp_path, tmp_path / "link"):
        fails(ExitCode.MOUNT_POINT, "inside one another", "mount", pool, place)
        assert find_mount(str(place)) is None
    (tmp_path / "new").mkdir()
    fails(ExitCode.MOUNT_POINT, "inside one another", "mount", tmp_path / "new", tmp_path / "new", "--create")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_mount_point_by_another_name(tmp_path: Path, pool: Path, mountpoint: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("mnt")
    odxfs_ok("mount", pool, f"{link}/")
    assert find_mount(str(mountpoint)) is not None
    fails(ExitCode.MOUNT_POINT, "is mounted on", "mount", pool, mountpoint)
    odxfs_ok("umount", link)
    assert find_mount(str(mountpoint)) is None


def test_clearing_a_dead_mount_leaves_the_next_one_alone(
    tmp_path: Path, pool: Path, mountpoint: Path
) -> None:
    pid = odxfs_ok("mount", pool, mountpoint, "--json").json["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    second = tmp_path / "second"
    second.mkdir()
    try:
        odxfs_ok("mount", pool, second)
        assert "cleared" in odxfs_ok("umount", mountpoint).out
        assert find_mount(str(mountpoint)) is None
        (second / "file").write_text("still served")
        assert odxfs_ok("status", pool, "--json").json["mountpoint"] == str(second)
        odxfs_ok("umount", second)
    finally:
        clear(second)


@pytest.mark.parametrize(
    "words",
    [("status",), ("tokens",), ("fsck",), ("serve",), ("user", "list"), ("share", "list"), ("share", "add")],
)
def test_no_command_touches_a_pool_of_a_newer_format(pool: Path, words: tuple[str, ...]) -> None:
    identity = json.loads((pool / "pool.json").read_text())
    (pool / "pool.json").write_text(json.dumps({**identity, "format": 999}))
    before = {path.name: path.read_bytes() for path in pool.iterdir() if path.is_file()}
    name = ("name",) if words == ("share", "add") else ()
    fails(ExitCode.FORMAT, "pool format 999", *words, pool, *name)
    assert {path.name: path.read_bytes() for path in pool.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": "1", "uuid": "x"}', '{"format": Infinity}']
)
def test_a_damaged_pool_file(pool: Path, mountpoint: Path, content: str) -> None:
    (pool / "pool.json").write_text(content)
    fails(ExitCode.NOT_A_POOL, "pool.json", "mount", pool, mountpoint)
    fails(ExitCode.NOT_A_POOL, "pool.json", "fsck", pool)


def test_a_pool_without_its_segments_is_neither_mounted_nor_changed(pool: Path, mountpoint: Path) -> None:
    odxfs_ok("mount", pool, mountpoint)
    (mountpoint / "file").write_bytes(b"kept" * 100_000)
    odxfs_ok("umount", mountpoint)
    kept = shutil.move(pool / "segments", pool.parent / "segments")
    fails(ExitCode.CORRUPT, "segments failed: No such file", "mount", pool, mountpoint)
    fails(ExitCode.CORRUPT, "segments failed: No such file", "fsck", pool)
    (pool / "segments").mkdir()
    fails(ExitCode.CORRUPT, "00000000 is missing", "mount", pool, mountpoint)
    found = odxfs("fsck", pool, "--json")
    assert found.code == ExitCode.FSCK_FOUND
    assert "00000000 is missing" in found.json["found"][0]["sentence"]
    assert list((pool / "segments").iterdir()) == []
    (pool / "segments").rmdir()
    shutil.move(kept, pool / "segments")
    odxfs_ok("mount", pool, mountpoint)
    assert (mountpoint / "file").read_bytes() == b"kept" * 100_000
    odxfs_ok("umount", mountpoint)
    assert odxfs_ok("fsck", pool, "--json").json["clean"]


def test_a_directory_that_no_pool_can_be_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        fails(ExitCode.NOT_A_POOL, f"{place} is not a directory", "mkfs", tmp_path / place)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    fails(ExitCode.USAGE, "DIR: it is empty", "mkfs", "")
    assert list((tmp_path / "empty").iterdir()) == []


def test_what_another_user_keeps_to_himself_is_said_in_words(
    pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(pool.parent)
    # Loads what the commands need: not every user may read the tree.
    main(["status", "pool"])
    main(["mkfs", "pool"])
    capsys.readouterr()
    os.seteuid(OTHER.uid)
    try:
        codes = [main(["status", "pool"]), main(["mkfs", "new"])]
    finally:
        os.seteuid(0)
    assert codes == [ExitCode.NOT_A_POOL] * 2
    assert capsys.readouterr().err.splitlines() == [
        "odxfs: pool/pool.json cannot be read: Permission denied",
        "odxfs: cannot make a pool in new: Permission denied",
    ]


def test_a_name_that_the_output_cannot_hold(tmp_path: Path) -> None:
    made = subprocess.run(
        [ODXFS, "mkfs", os.fsencode(tmp_path) + b"/n\xff"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True, timeout=TIMEOUT_SECONDS, check=False,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, b"")
    assert b"/n\\udcff is a pool" in made.stdout


def test_names_and_numbers_that_cannot_be(tmp_path: Path, pool: Path) -> None:
    for name in ("", "a/b", "x@y", "DOM\\u"):
        fails(
            ExitCode.USAGE,
            "cannot be a user name",
            "user",
            "add",
            pool,
            name,
            "--password-stdin",
            stdin="p\n",
        )
    for number in ("-1", "4294967295"):
        fails(
            ExitCode.USAGE, "numbers from 0", "user", "add", pool, "u", "--password-stdin", "--uid", number,
            stdin="p\n",
        )  # fmt: skip
    fails(ExitCode.USAGE, "UTF-8", "user", "add", pool, "u", "--password-stdin", stdin="\udcff\n")
    for name in ("", "a/b", "a\\b"):
        fails(ExitCode.USAGE, "cannot be the name of a share", "share", "add", pool, name)
    fails(ExitCode.USAGE, "'a/b' cannot be a name", "snapshot", "create", pool, "a/b")
    fails(ExitCode.USAGE, "no number of 1 to 18 digits", "explain", pool, "--last", "9" * 20)
    fails(ExitCode.USAGE, "not a size", "volume", "quota", pool, "main", "9" * 5000)
    fails(ExitCode.USAGE, "not a path", "share", "add", pool, "s", "--path", "../..")
    for name in ("", "a/b", " a", "a\nb"):
        fails(ExitCode.USAGE, "cannot be the name of a volume", "mkfs", tmp_path / "other", "--volume", name)
    for number in ("9" * 23, "9" * 5000, "-1", "x"):
        fails(ExitCode.USAGE, "is no number", "dump", pool, "--inode", number)
    for rate in ("inf", "nan", "0", "-1", "1e300", "x"):
        fails(ExitCode.USAGE, "is no number", "scrub", pool, "--rate", rate)
    assert not (tmp_path / "other").exists()
    assert odxfs_ok("user", "list", pool, "--json").json == []
    assert odxfs_ok("share", "list", pool, "--json").json == []


def test_fsck_reads_the_data_when_asked(pool: Path, mountpoint: Path) -> None:
    odxfs_ok("mount", pool, mountpoint)
    (mountpoint / "file").write_bytes(b"sound" * 100_000)
    odxfs_ok("umount", mountpoint)
    assert odxfs_ok("fsck", pool, "--data", "--json").json["found"] == []
    with (pool / "segments" / "00000000").open("rb+") as file:
        file.seek(file.read(1_000_000).index(b"sound" * 1000))
        file.write(b"S")
    odxfs_ok("fsck", pool)
    found = odxfs("fsck", pool, "--data", "--json")
    assert (found.code, len(found.json["found"])) == (ExitCode.FSCK_FOUND, 1)


def test_a_pool_on_a_disk_that_is_read_only(tmp_path: Path, mountpoint: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64m", "none", disk)
    try:
        odxfs_ok("mkfs", disk / "pool")
        run("mount", "-o", "remount,ro", disk)
        fails(ExitCode.NOT_A_POOL, "odxfs.log: Read-only", "mount", disk / "pool", mountpoint)
        fails(ExitCode.NOT_A_POOL, "lock: Read-only", "fsck", disk / "pool")
        fails(ExitCode.NOT_A_POOL, "Read-only", "share", "add", disk / "pool", "name")
        assert odxfs_ok("share", "list", disk / "pool", "--json").json == []
    finally:
        run("umount", disk)


def test_what_a_full_disk_does_not_take_is_one_line(pool: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [ODXFS, "status", pool], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT_SECONDS, check=False
        )
    assert (done.returncode, done.stderr) == (ExitCode.NO_SPACE, b"odxfs: No space left on device\n")
