"""Two SVMs of one real process: each a server of its own, and a token that crosses."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from odxfs.errors import ExitCode
from tests.mount.command import clear, in_foreground, odxfs, odxfs_ok
from tests.serving.running import ALICE, BOB, PASSWORD, Running, make_pool, serving

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The two SVMs, for all tests that change neither."""
    with serving(tmp_path_factory.mktemp("svms")) as served:
        yield served


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    file = tmp_path / "payload"
    file.write_bytes(os.urandom(20 * MIB + 777))
    return file


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_each_svm_has_its_users_shares_and_volumes(running: Running, payload: Path) -> None:
    running.smbclient_ok("default", ALICE, "first", f"put {payload} mine")
    running.smbclient_ok("b", BOB, "second", f"put {payload} theirs")
    listing = running.smbclient_ok("default", ALICE, "first", "ls")
    assert ("mine" in listing, "theirs" in listing) == (True, False)
    listing = running.smbclient_ok("b", BOB, "second", "ls")
    assert ("mine" in listing, "theirs" in listing) == (False, True)
    for svm, user in (("default", BOB), ("b", ALICE)):
        assert "LOGON_FAILURE" in running.smbclient(svm, user, "first", "ls").out
    assert "BAD_NETWORK_NAME" in running.smbclient("b", BOB, "first", "ls").out
    assert "BAD_NETWORK_NAME" in running.smbclient("default", ALICE, "second", "ls").out


def test_each_svm_says_its_own_name_and_shares(running: Running) -> None:
    words = ["smbclient", "-L", "127.0.0.1", "-p", str(running.port("b")), "-U", f"{BOB}%{PASSWORD}"]
    listing = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
    assert "second" in listing
    assert "first" not in listing
    status = running.status()
    assert [svm["name"] for svm in status["svms"]] == ["default", "b"]
    assert [svm["server_name"] for svm in status["svms"]] == ["ODXFS", "SECOND"]
    assert [svm["volumes"] for svm in status["svms"]] == [["main"], ["db"]]
    assert status["shares"] == ["first"]
    said = odxfs_ok("status", running.directory).out
    assert "SVM b\tSECOND on 127.0.0.1:" in said


def test_a_share_of_another_svms_volume_is_served_by_nobody(running: Running) -> None:
    refused = odxfs("share", "add", running.directory, "stolen", "--volume", "db")
    assert refused.code == ExitCode.USAGE
    assert "volume 'db' belongs to SVM 'b'" in refused.err
    shares = running.directory / "shares.json"
    text = shares.read_text()
    try:
        shares.write_text(text.replace('"main"', '"db"'))
        assert "BAD_NETWORK_NAME" in running.smbclient("default", ALICE, "first", "ls").out
    finally:
        shares.write_text(text)
    running.smbclient_ok("default", ALICE, "first", "ls")


def test_a_token_of_one_svm_is_written_on_another(running: Running, payload: Path, tmp_path: Path) -> None:
    running.smbclient_ok("default", ALICE, "first", f"put {payload} disk")
    before = running.status()["pool"]["allocated_bytes"]
    copied = odxfs(
        "cp",
        "--require-offload",
        "--json",
        running.url("default", ALICE, "first", "disk"),
        running.url("b", BOB, "second", "disk"),
        env={"ODXFS_PASSWORD": PASSWORD},
    )
    assert copied.code == 0, copied.err
    assert running.status()["pool"]["allocated_bytes"] - before < MIB
    running.smbclient_ok("b", BOB, "second", f"get disk {tmp_path / 'back'}")
    assert sha256(tmp_path / "back") == sha256(payload)
    tokens = odxfs_ok("tokens", running.directory, "--json").json
    assert {token["volume"] for token in tokens} == {"main"}


def test_users_and_shares_of_an_unknown_svm_cannot_be_made(running: Running) -> None:
    for words in (
        ("user", "list", running.directory, "--svm", "c"),
        ("share", "add", running.directory, "x", "--svm", "c"),
    ):
        refused = odxfs(*words)
        assert refused.code == ExitCode.NOT_FOUND
        assert "there is no SVM 'c'" in refused.err
    assert not (running.directory / "svms" / "c").exists()
    users = odxfs_ok("user", "list", running.directory, "--svm", "b", "--json").json
    assert [user["name"] for user in users] == [BOB]


def test_an_svm_with_rules_of_its_own(tmp_path: Path) -> None:
    """Dialects are each SVM's own, and shares that are declared are changed by no command."""
    configuration = """
        [svm.default]
        listen = "127.0.0.1:0"
        [svm.b]
        listen = ["127.0.0.1:0", "127.0.0.2:0"]
        volumes = "db"
        min-dialect = "3.1.1"
        [svm.b.share.declared]
        comment = "said in the file"
    """
    directory = tmp_path / "pool"
    odxfs_ok("mkfs", directory)
    odxfs_ok("volume", "create", directory, "db")
    (directory / "odxfs.toml").write_text(configuration)
    for svm, user in (("default", ALICE), ("b", BOB)):
        odxfs_ok("user", "add", directory, user, "--svm", svm, "--password-stdin", stdin=PASSWORD)
    odxfs_ok("share", "add", directory, "first")
    for words in (("add", directory, "x"), ("del", directory, "declared")):
        refused = odxfs("share", *words, "--svm", "b")
        assert refused.code == ExitCode.REFUSED
        assert f"the shares of SVM b are declared in {directory / 'odxfs.toml'}" in refused.err
    declared = odxfs_ok("share", "list", directory, "--svm", "b", "--json").json
    assert [(share["name"], share["volume"]) for share in declared] == [("declared", "db")]
    with in_foreground("serve", str(directory)) as process:
        running = Running(directory, process)
        running.smbclient_ok("default", ALICE, "first", "ls", "-m", "SMB2_10")
        running.smbclient_ok("b", BOB, "declared", "ls")
        assert running.smbclient("b", BOB, "declared", "ls", "-m", "SMB3_02").code != 0
        assert len(running.svm("b")["listen"]) == 2
        odxfs_ok("umount", directory)


def test_one_file_mounts_and_serves(tmp_path: Path) -> None:
    directory, mountpoint = tmp_path / "pool", tmp_path / "mnt"
    mountpoint.mkdir()
    make_pool(directory)
    file = tmp_path / "elsewhere.toml"
    text = (directory / "odxfs.toml").read_text()
    (directory / "odxfs.toml").unlink()
    file.write_text(f'pool = "{directory}"\n{text}\n[mounts]\ndb = "{mountpoint}"\n')
    assert odxfs("user", "list", directory, "--svm", "b").code == ExitCode.NOT_FOUND
    users = odxfs_ok("user", "list", directory, "--svm", "b", "--config", file, "--json").json
    assert [user["name"] for user in users] == [BOB]
    try:
        said = odxfs_ok("mount", "--config", file).out
        assert f"mounted on {mountpoint}" in said
        assert "sharing second on 127.0.0.1:" in said
        running = Running(directory, None)  # type: ignore[arg-type]
        (mountpoint / "file").write_text("there")
        assert "file" in running.smbclient_ok("b", BOB, "second", "ls")
        odxfs_ok("svm", "set", directory, "b", "profile=ontap")
        assert 'profile = "ontap"' in file.read_text()
        odxfs_ok("umount", mountpoint)
    finally:
        clear(mountpoint)


def test_what_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    make_pool(directory)
    file = directory / "odxfs.toml"

    def fails(code: ExitCode, said: str, *words: str | Path) -> None:
        refused = odxfs(*words)
        assert (refused.code, said in refused.err, refused.err.count("\n")) == (code, True, 1), refused.err

    fails(ExitCode.USAGE, "--smb-listen cannot be given beside", "serve", directory, "--smb-listen", "1")
    fails(ExitCode.USAGE, "give a MOUNTPOINT, or [mounts]", "mount", directory)
    fails(ExitCode.USAGE, "give the pool's DIR, or --config FILE", "serve")
    fails(ExitCode.CONFIG, "No such file", "serve", "--config", tmp_path / "missing")
    odxfs_ok("mkfs", tmp_path / "other")
    fails(ExitCode.CONFIG, "the configuration is for", "serve", tmp_path / "other", "--config", file)
    file.write_text(file.read_text().replace('"db"', '"nowhere"'))
    fails(ExitCode.NOT_FOUND, "has no volume 'nowhere'", "serve", directory)
    file.write_text("[svm.default]\nsining = 'x'\n[svm.b]\n")
    fails(ExitCode.CONFIG, f"{file}:2: [svm.default] there is no key 'sining'", "serve", directory)
    checked = odxfs("config", "check", file)
    assert (checked.code, checked.err.count("\n")) == (ExitCode.CONFIG, 1)
    assert odxfs_ok("fsck", directory, "--json").json["clean"]
