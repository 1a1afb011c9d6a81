"""The odxfs command as people and scripts meet it: every subcommand a process, its words and its exit code."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from odxfs.errors import ExitCode
from odxfs_mount.unmounting import find_mount
from tests.mount.command import (
    ODXFS,
    clear,
    complaints,
    in_foreground,
    mounted_pool,
    odxfs,
    odxfs_ok,
    run,
    wait_for_end,
)
from tests.support.ports import free_port

PASSWORD = "correct horse"


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


def until(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def fails(code: ExitCode, said: str, *words: str | Path, stdin: str = "") -> None:
    """The command line fails with `code` and one line on stderr that contains `said`."""
    result = odxfs(*words, stdin=stdin)
    assert (result.code, result.out) == (code, ""), result
    assert result.err.startswith("odxfs: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert said in result.err, result.err


def test_help_of_every_command() -> None:
    listing = odxfs_ok("--help").out
    commands = [
        "mkfs",
        "mount",
        "serve",
        "umount",
        "user",
        "group",
        "share",
        "volume",
        "status",
        "tokens",
        "fsck",
        "dump",
        "backup",
        "scrub",
        "cp",
        "help",
    ]
    for command in commands:
        assert f"  {command} " in listing
        assert f"usage: odxfs {command}" in odxfs_ok(command, "--help").out
    assert "odxfs 0." in odxfs_ok("--version").out


def test_a_command_needs_nothing_that_was_imported_before_it(tmp_path: Path) -> None:
    """The commands of other tests have a forebear that has imported everything; users start them by themselves."""
    pool = tmp_path / "pool"
    for words in (
        ("mkfs", pool),
        ("volume", "list", pool),
        ("snapshot", "list", pool),
        ("share", "add", pool, "data"),
        ("user", "list", pool),
        ("config", "show", pool),
        ("status", pool),
        ("tokens", pool),
        ("fsck", pool),
        ("cp", pool / "pool.json", tmp_path / "copy"),
    ):
        run(ODXFS, *words)


def test_what_the_system_refuses_is_one_line_too() -> None:
    fails(ExitCode.USAGE, "/proc/pool: No such file", "mkfs", "/proc/pool")


def test_wrong_usage_is_one_line() -> None:
    fails(ExitCode.USAGE, "there is no command 'monut'", "monut")
    fails(ExitCode.USAGE, "required: DIR", "mkfs")
    fails(ExitCode.USAGE, "not ADDR:PORT", "serve", "x", "--smb-listen", "somewhere")
    assert odxfs().code == ExitCode.USAGE


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_caller_may_have_closed_what_nobody_reads(pool: Path, mountpoint: Path, closed: str) -> None:
    """As some scripts do that start daemons. Then no other file has a number that C libraries write to."""
    for words in (["volume", "list", pool], ["mount", pool, mountpoint]):
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", ODXFS, *words]
        subprocess.run(command, check=True, timeout=300)
    pid = odxfs_ok("status", pool, "--json").json["pid"]
    leads_to = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
    assert leads_to[1:] == [str(pool / "odxfs.log")] * 2
    odxfs_ok("umount", mountpoint)


def test_a_server_says_at_once_that_it_is_live_and_goes_on_if_nobody_listens(pool: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    configuration = pool / "odxfs.toml"
    configuration.write_text('[svm.default]\nlisten = "127.0.0.1:0"\n')
    for listens in (True, False):
        reading, writing = os.pipe()
        words = [ODXFS, "serve", pool]
        with subprocess.Popen(words, stdout=writing, stderr=subprocess.DEVNULL, env=environment) as process:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                if listens:
                    assert "is sharing" in pipe.readline()
            until(lambda: odxfs_ok("status", pool, "--json").json["state"] == "served")
            odxfs_ok("umount", pool)
            assert process.wait(60) == 0


def test_a_program_hears_how_far_a_scrub_is_while_it_goes_on(pool: Path, mountpoint: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    odxfs_ok("mount", pool, mountpoint)
    (mountpoint / "file").write_bytes(os.urandom(1 << 20))
    odxfs_ok("umount", mountpoint)
    words = [ODXFS, "scrub", pool, "--json", "--rate", "0.01"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["state"] in {"never", "running"}
        assert process.poll() is None
        process.stdout.close()  # whoever reads it has seen enough
        assert process.wait(60) == ExitCode.OK
        assert process.stderr.read() == b""


def test_a_mount_outlives_the_command_that_was_killed_meanwhile(pool: Path, mountpoint: Path) -> None:
    command = subprocess.Popen([ODXFS, "mount", pool, mountpoint], stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    until(lambda: (pool / "odxfs.log").exists() and children.read_text() != "")  # others have ended by then
    command.kill()
    command.wait(60)
    until(lambda: odxfs_ok("status", pool, "--json").json["state"] == "served")
    (mountpoint / "file").write_text("hello")
    odxfs_ok("umount", mountpoint)
    assert complaints(pool) == []


def test_every_exit_code_is_explained() -> None:
    explained = [int(line.split()[0]) for line in odxfs_ok("help", "exit-codes").out.splitlines()]
    assert explained == [int(code) for code in ExitCode]


def test_mkfs_wants_an_empty_directory(tmp_path: Path, pool: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    fails(ExitCode.EXISTS, "full", "mkfs", tmp_path / "full")
    fails(ExitCode.EXISTS, "pool", "mkfs", pool)
    assert (tmp_path / "full" / "file").exists()


@pytest.mark.parametrize(
    "words", [("status",), ("tokens",), ("fsck",), ("serve",), ("user", "list"), ("share", "list")]
)
def test_a_directory_that_is_no_pool(tmp_path: Path, words: tuple[str, ...]) -> None:
    fails(ExitCode.NOT_A_POOL, "is not a pool", *words, tmp_path)
    fails(ExitCode.NOT_A_POOL, "does not exist", *words, tmp_path / "missing")


def test_mounting_what_is_no_pool_or_of_a_newer_format(tmp_path: Path, pool: Path, mountpoint: Path) -> None:
    (tmp_path / "empty").mkdir()
    fails(ExitCode.NOT_A_POOL, "is not a pool", "mount", tmp_path / "empty", mountpoint)
    identity = json.loads((pool / "pool.json").read_text())
    key = next(key for key in identity if "format" in key or "version" in key)
    (pool / "pool.json").write_text(json.dumps({**identity, key: 999}))
    fails(ExitCode.FORMAT, "999", "mount", pool, mountpoint)
    assert find_mount(str(mountpoint)) is None


def test_mount_points_that_cannot_be(tmp_path: Path, pool: Path) -> None:
    (tmp_path / "file").touch()
    fails(ExitCode.MOUNT_POINT, "does not exist", "mount", pool, tmp_path / "missing")
    fails(ExitCode.MOUNT_POINT, "is not a directory", "mount", pool, tmp_path / "file")
    fails(ExitCode.MOUNT_POINT, "is not an odxfs mount", "umount", tmp_path)


def test_mount_status_umount(pool: Path, mountpoint: Path) -> None:
    live = odxfs_ok("mount", pool, mountpoint, "--json").json
    assert live["mountpoint"] == str(mountpoint)
    assert live["smb"] is None
    (mountpoint / "file").write_text("kept")
    status = odxfs_ok("status", pool, "--json").json
    assert (status["state"], status["pid"]) == ("served", live["pid"])
    assert status["pool"]["failure"] is None
    assert odxfs_ok("tokens", pool, "--json").json == []
    fails(ExitCode.MOUNT_POINT, "is mounted on", "mount", pool, mountpoint)
    fails(ExitCode.BUSY, "odxfs mount", "fsck", pool)
    fails(ExitCode.BUSY, "odxfs mount", "serve", pool, "--smb-listen", "127.0.0.1:0")
    assert "clean" in odxfs_ok("umount", mountpoint).out
    assert find_mount(str(mountpoint)) is None
    assert odxfs_ok("status", pool, "--json").json["state"] == "not served"
    assert complaints(pool) == []
    odxfs_ok("mount", pool, mountpoint)
    assert (mountpoint / "file").read_text() == "kept"
    odxfs_ok("umount", mountpoint)


def test_umount_by_other_means_closes_the_pool_too(pool: Path, mountpoint: Path) -> None:
    pid = odxfs_ok("mount", pool, mountpoint, "--json").json["pid"]
    (mountpoint / "file").write_text("kept")
    run("umount", mountpoint)
    wait_for_end(pid)
    assert odxfs_ok("fsck", pool, "--json").json["clean"]


def test_a_killed_mount_is_cleared_and_mounts_again(pool: Path, mountpoint: Path) -> None:
    pid = odxfs_ok("mount", pool, mountpoint, "--json").json["pid"]
    with (mountpoint / "synced").open("w") as file:
        file.write("acknowledged")
        file.flush()
        os.fsync(file.fileno())
    (mountpoint / "unsynced").write_bytes(bytes(100_000))
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    fails(ExitCode.MOUNT_POINT, "dead mount", "mount", pool, mountpoint)
    assert "cleared" in odxfs_ok("umount", mountpoint).out
    assert odxfs_ok("fsck", pool, "--json").json["found"] == []
    odxfs_ok("mount", pool, mountpoint)
    assert (mountpoint / "synced").read_text() == "acknowledged"
    odxfs_ok("umount", mountpoint)
    assert odxfs_ok("fsck", pool, "--json").json["found"] == []


def test_create_makes_the_pool_once(tmp_path: Path, mountpoint: Path) -> None:
    for content in ("", "first"):
        odxfs_ok("mount", tmp_path / "new", mountpoint, "--create")
        if content:
            assert (mountpoint / "file").read_text() == content
        (mountpoint / "file").write_text("first")
        odxfs_ok("umount", mountpoint)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    fails(ExitCode.EXISTS, "full", "mount", tmp_path / "full", mountpoint, "--create")


def test_foreground_ends_with_ctrl_c_and_leaves_all_clean(pool: Path, mountpoint: Path) -> None:
    with in_foreground("mount", str(pool), str(mountpoint), "--foreground") as process:
        (mountpoint / "file").write_text("kept")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert find_mount(str(mountpoint)) is None
    assert odxfs_ok("fsck", pool, "--json").json["clean"]


def test_sigterm_leaves_all_clean(pool: Path, mountpoint: Path) -> None:
    pid = odxfs_ok("mount", pool, mountpoint, "--json").json["pid"]
    (mountpoint / "file").write_text("kept")
    os.kill(pid, signal.SIGTERM)
    wait_for_end(pid)
    assert find_mount(str(mountpoint)) is None
    assert complaints(pool) == []
    assert odxfs_ok("fsck", pool, "--json").json["clean"]
    odxfs_ok("mount", pool, mountpoint)
    assert (mountpoint / "file").read_text() == "kept"
    odxfs_ok("umount", mountpoint)


def test_users_are_kept_without_their_passwords(pool: Path) -> None:
    odxfs_ok("user", "add", pool, "Ada", "--password-stdin", "--uid", "1000", stdin=PASSWORD + "\n")
    users = odxfs_ok("user", "list", pool, "--json").json
    assert [(user["name"], user["uid"]) for user in users] == [("Ada", 1000)]
    assert PASSWORD not in (pool / "users.json").read_text()
    assert (pool / "users.json").stat().st_mode & 0o077 == 0
    fails(ExitCode.EXISTS, "ada", "user", "add", pool, "ada", "--password-stdin", stdin="x\n")
    odxfs_ok("group", "add", pool, "Poets", "--gid", "2000")
    odxfs_ok("group", "member", pool, "poets", "ADA")
    (group,) = odxfs_ok("group", "list", pool, "--json").json
    assert (group["name"], group["gid"], group["members"]) == ("Poets", 2000, ["Ada"])
    fails(ExitCode.EXISTS, "ada", "group", "add", pool, "ada", "--gid", "1")
    fails(ExitCode.NOT_FOUND, "bob", "group", "member", pool, "poets", "bob")
    odxfs_ok("group", "del", pool, "poets")
    assert odxfs_ok("group", "list", pool, "--json").json == []
    fails(ExitCode.USAGE, "empty", "user", "passwd", pool, "ada", "--password-stdin")
    fails(ExitCode.USAGE, "--password-stdin", "user", "passwd", pool, "ada", stdin="x\n")
    odxfs_ok("user", "passwd", pool, "ada", "--password-stdin", stdin="other\n")
    odxfs_ok("user", "del", pool, "ada")
    fails(ExitCode.NOT_FOUND, "ada", "user", "del", pool, "ada")
    assert odxfs_ok("user", "list", pool, "--json").json == []


def test_shares_are_kept(pool: Path) -> None:
    odxfs_ok(
        "share", "add", pool, "Data", "--path", "/a/b", "--read-only", "--no-copy-offload", "--comment", "c"
    )
    fails(ExitCode.EXISTS, "DATA", "share", "add", pool, "DATA")
    (share,) = odxfs_ok("share", "list", pool, "--json").json
    assert share == {
        "name": "Data", "volume": "main", "path": "a/b", "comment": "c",
        "read_only": True, "copy_offload": False, "encrypt_required": False, "offload_policy": "pin",
        "continuously_available": False,
        "access_based_enumeration": False,
    }  # fmt: skip
    assert "Data\tmain\t/a/b\tyes\tno\tno\tno\tpin\tc" in odxfs_ok("share", "list", pool).out
    odxfs_ok("share", "del", pool, "data")
    fails(ExitCode.NOT_FOUND, "data", "share", "del", pool, "data")
    fails(ExitCode.NOT_FOUND, "has no volume 'away'", "share", "add", pool, "data", "--volume", "away")
    assert odxfs_ok("share", "list", pool, "--json").json == []


def test_a_share_is_live_when_mount_returns(tmp_path: Path) -> None:
    endpoint = f"127.0.0.1:{free_port()}"
    with mounted_pool(tmp_path, "--share", "data", "--smb-listen", endpoint) as mounted:
        status = odxfs_ok("status", mounted.directory, "--json").json
        assert (status["smb"], status["shares"]) == (endpoint, ["data"])
        odxfs_ok("user", "add", mounted.directory, "ada", "--password-stdin", stdin=PASSWORD + "\n")
        (mounted.mountpoint / "file").write_text("through the share")
        listed = smbclient(endpoint, "ls; get file -", PASSWORD)
        assert "through the share" in listed.stdout
        smbclient(endpoint, f"put {ODXFS} put", PASSWORD)
        assert (mounted.mountpoint / "put").read_bytes() == ODXFS.read_bytes()
        smbclient(endpoint, "rename put renamed; rm file; mkdir folder", PASSWORD)
        assert sorted(path.name for path in mounted.mountpoint.iterdir()) == ["folder", "renamed"]
        assert not (mounted.mountpoint / "put").exists()
        assert not (mounted.mountpoint / "file").exists()
        assert smbclient(endpoint, "ls", "wrong").returncode != 0


def smbclient(endpoint: str, commands: str, password: str) -> "subprocess.CompletedProcess[str]":
    port = endpoint.rpartition(":")[2]
    words = ["smbclient", "//127.0.0.1/data", "-p", port, "-U", f"ada%{password}", "-c", commands]
    return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)


def test_a_port_in_use_is_said_and_nothing_stays(pool: Path, mountpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        fails(
            ExitCode.NETWORK,
            f"{endpoint} is in use",
            "mount",
            pool,
            mountpoint,
            "--share",
            "s",
            "--smb-listen",
            endpoint,
        )
    assert find_mount(str(mountpoint)) is None
    assert odxfs_ok("share", "list", pool, "--json").json == []
    assert odxfs_ok("fsck", pool, "--json").json["clean"]


def test_serve_shares_without_a_mount_and_umount_stops_it(pool: Path) -> None:
    with in_foreground(
        "serve", str(pool), "--share", "data", "--smb-listen", "127.0.0.1:0", "--json"
    ) as process:
        status = odxfs_ok("status", pool, "--json").json
        assert (status["mountpoint"], status["shares"]) == (None, ["data"])
        odxfs_ok("umount", pool)
        assert process.wait(60) == 0
    fails(ExitCode.NOT_FOUND, "not mounted or served", "umount", pool)


def test_a_very_long_path_still_has_a_control_socket(tmp_path: Path, mountpoint: Path) -> None:
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.parent.mkdir()
    odxfs_ok("mount", directory, mountpoint, "--create")
    assert odxfs_ok("status", directory, "--json").json["state"] == "served"
    odxfs_ok("umount", mountpoint)


def test_paths_with_blanks_and_commas(tmp_path: Path) -> None:
    mountpoint = tmp_path / "a mount, point"
    mountpoint.mkdir()
    try:
        odxfs_ok("mount", tmp_path / "a pool, with\\backslash", mountpoint, "--create")
        (mountpoint / "file").write_text("there")
        odxfs_ok("umount", mountpoint)
        assert list(mountpoint.iterdir()) == []
    finally:
        clear(mountpoint)


def test_the_control_socket_is_the_owners_alone(pool: Path, mountpoint: Path) -> None:
    odxfs_ok("mount", pool, mountpoint)
    assert (pool / "control").stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(pool / "control"))
        connection.sendall(b"nonsense\n")
        assert json.loads(connection.recv(4096))["ok"] is False
        with suppress(ConnectionError):
            connection.sendall(b"x" * 1_000_000)  # past the longest line: the other end hangs up
            assert connection.recv(4096) == b""
    odxfs_ok("status", pool)
    odxfs_ok("umount", mountpoint)
    assert not (pool / "control").exists()
