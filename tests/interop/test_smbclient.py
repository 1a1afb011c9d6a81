"""Samba's smbclient against a real server: every dialect, signed and encrypted."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import trio

from odxfs.smb.shares import Share
from tests.support.peer import logged_in
from tests.support.serving import SHARE, USER, serve
from tests.support.smbclient import Smbclient

MIB = 1024 * 1024
DISK_BYTES = (1024 if os.environ.get("ODXFS_LONG") else 192) * MIB
PAYLOAD_BYTES = 24 * 1024 * 1024 + 12345
DIALECTS = ["SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"]


def _payload(path: Path) -> str:
    """A file of many different blocks; returns its sha256."""
    block = b"".join(hashlib.sha512(bytes([index])).digest() for index in range(256))
    content = b"".join(index.to_bytes(8, "big") + block for index in range(PAYLOAD_BYTES // len(block)))
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("protection", ["sign", "encrypt"])
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_files_go_there_and_come_back(tmp_path: Path, dialect: str, protection: str) -> None:
    if (dialect, protection) == ("SMB2_10", "encrypt"):
        protection = "off"
    digest = _payload(tmp_path / "payload")
    async with serve(tmp_path / "pool") as served:
        client = Smbclient(served, tmp_path)
        options = (
            "-m",
            dialect,
            f"--option=client min protocol={dialect}",
            f"--client-protection={protection}",
        )
        await client.share(
            [
                "mkdir folder",
                f"put {tmp_path}/payload folder\\payload",
                "rename folder\\payload folder\\renamed",
                f"get folder\\renamed {tmp_path}/back",
            ],
            *options,
        )
        assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == digest
        listed = await client.share(["ls folder\\*"], *options)
        assert "renamed" in listed
        assert str((tmp_path / "payload").stat().st_size) in listed
        await client.share(["del folder\\renamed", "rmdir folder"], *options)
        assert await served.volume.list_directory(served.volume.root) == []


@pytest.mark.parametrize("protection", ["sign", "encrypt"])
async def test_a_disk_goes_there_and_comes_back(tmp_path: Path, protection: str) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    with source.open("wb") as file:
        for _ in range(DISK_BYTES // MIB):
            file.write(os.urandom(MIB))
    async with serve(tmp_path / "pool") as served:
        client = Smbclient(served, tmp_path)
        await client.share([f"put {source} disk", f"get disk {back}"], f"--client-protection={protection}")
    assert back.stat().st_size == DISK_BYTES
    assert _sha256(back) == _sha256(source)


async def test_the_shares_are_listed(tmp_path: Path) -> None:
    shares = [Share("backup", comment="nightly", read_only=True)]
    async with serve(tmp_path / "pool", shares=shares) as served:
        done = await Smbclient(served, tmp_path).run("-L", "//127.0.0.1")
        text = done.stdout.decode()
        assert done.returncode == 0, text
        for words in ((SHARE, "Disk"), ("backup", "Disk", "nightly"), ("IPC$", "IPC")):
            assert any(all(word in line.split() for word in words) for line in text.splitlines()), text


async def test_a_wrong_password_and_no_password_are_refused(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        client = Smbclient(served, tmp_path)
        wrong = tmp_path / "wrong"
        wrong.write_text(f"username = {USER}\npassword = incorrect\n")
        done = await client.run(f"//127.0.0.1/{SHARE}", "-c", "ls", login=wrong)
        assert done.returncode != 0
        assert b"NT_STATUS_LOGON_FAILURE" in done.stdout
        anonymous = ["smbclient", f"//127.0.0.1/{SHARE}", "-N", "-U", "%", "-p", str(served.port), "-c", "ls"]
        refused = await trio.run_process(
            anonymous, capture_stdout=True, stderr=subprocess.STDOUT, check=False
        )
        assert refused.returncode != 0
        assert not served.server.sessions


async def test_a_read_only_share_is_read_only(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool", shares=[Share("fixed", read_only=True)]) as served:
        client = Smbclient(served, tmp_path)
        (tmp_path / "small").write_bytes(b"small")
        await client.share([f"put {tmp_path}/small small"])
        await client.share([f"get small {tmp_path}/again"], share="fixed")
        assert (tmp_path / "again").read_bytes() == b"small"
        done = await client.run("//127.0.0.1/fixed", "-c", f"put {tmp_path}/small other; del small")
        assert done.stdout.count(b"NT_STATUS_ACCESS_DENIED") == 2


async def test_what_the_mount_side_does_is_seen_at_once(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        client, volume = Smbclient(served, tmp_path), served.volume
        inode = await volume.create(volume.root, b"from the mount", 0o100644, 0, 0)
        await volume.write(inode, 0, b"written there")
        await client.share([f'get "from the mount" {tmp_path}/seen'])
        assert (tmp_path / "seen").read_bytes() == b"written there"
        await client.share([f"put {tmp_path}/seen from_smb"])
        found = await volume.lookup(volume.root, b"from_smb")
        assert bytes(await volume.read(found, 0, 100)) == b"written there"


async def test_a_whole_tree_goes_there_and_comes_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for index in range(60):
        folder = source / f"folder {index % 6}" / "inner"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{index}.bin").write_bytes(bytes([index]) * index * 100)
    target.mkdir()
    async with serve(tmp_path / "pool") as served:
        client = Smbclient(served, tmp_path)
        await client.share(["recurse", "prompt", f"lcd {source}", "mput *"])
        await client.share(["recurse", "prompt", f"lcd {target}", "mget *"])
        assert {path.relative_to(target): path.read_bytes() for path in target.rglob("*.bin")} == {
            path.relative_to(source): path.read_bytes() for path in source.rglob("*.bin")
        }
        await client.share(['deltree "folder *"'])
        assert await served.volume.list_directory(served.volume.root) == []
        assert await served.pool.check() == []


@pytest.mark.parametrize("name", ["\u0131ş\u0131k", "ștefan", "weiß", "юзер", "µ"])
async def test_names_beyond_ascii_log_in(tmp_path: Path, name: str) -> None:
    """smbclient and the client of this package make different upper cases of them."""
    async with serve(tmp_path / "pool") as served:
        served.server.users.add(name, "secret", 1000, 1000)
        login = tmp_path / "another"
        login.write_text(f"username = {name}\npassword = secret\n")
        done = await Smbclient(served, tmp_path).run(f"//127.0.0.1/{SHARE}", "-c", "ls", login=login)
        assert done.returncode == 0, done.stdout.decode()
        async with logged_in(served.port, name, "secret", SHARE):
            pass
