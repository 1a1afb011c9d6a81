"""Previous versions as Samba's programs see them: smbclient lists and fetches them, smbtorture's own tests pass."""

import subprocess
from pathlib import Path

import pytest
import trio

from odxfs.client.client import connect
from odxfs.client.copy import copy_file
from odxfs.client.local import LocalPlace
from odxfs.client.places import SmbPlace
from odxfs.client.plan import Wish
from odxfs.smb.shares import Share
from odxfs.wire.gmt_token import format_gmt_token
from tests.interop.samba import run_samba
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve
from tests.support.smbclient import Smbclient

SECOND = 1_000_000_000
TORTURE = ["smb2.twrp.write", "smb2.twrp.openroot", "smb2.ioctl.shadow_copy"]
"""Not smb2.twrp.listdir, which separates names by a slash (tests/server has what it asks), nor stream: there are no streams."""


async def _versions(served: Served, count: int) -> list[str]:
    """Make `subdir/file` in `count` versions, a snapshot of each, and a last one; returns the tokens, oldest first."""
    volume = served.volume
    folder = await volume.create(volume.root, b"subdir", 0o040755, 0, 0)
    file = await volume.create(folder.number, b"hardlink", 0o100644, 0, 0)
    tokens = []
    for index in range(count + 1):
        await volume.truncate(file, 0)
        await volume.write(file, 0, f"version {index}\n".encode() * 40_000)
        if index < count:
            made = await served.pool.snapshots.create("main", f"snapshot {index}")
            tokens.append(format_gmt_token(made.created_ns // SECOND))
    return tokens


@pytest.mark.parametrize("dialect", ["SMB2_10", "SMB3_11"])
async def test_smbclient_lists_and_fetches_them(tmp_path: Path, dialect: str) -> None:
    async with serve(tmp_path / "pool", shares=[Share("part", path="subdir")]) as served:
        tokens = await _versions(served, 3)
        client = Smbclient(served, tmp_path)
        options = ("-m", dialect, f"--option=client min protocol={dialect}")
        for share, name in ((SHARE, "subdir\\hardlink"), ("part", "hardlink")):
            told = await client.share([f"allinfo {name}"], *options, share=share)
            assert [line for line in told.splitlines() if line.startswith("@GMT-")] == tokens[::-1]
            for index, token in enumerate(tokens):
                back = tmp_path / "back"
                await client.share([f'get "{token}\\{name}" {back}'], *options, share=share)
                assert back.read_bytes() == f"version {index}\n".encode() * 40_000
        listed = await client.share([f"cd {tokens[0]}\\subdir", "ls"], *options)
        assert "hardlink" in listed


async def test_smbclient_cannot_change_them(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        (token,) = await _versions(served, 1)
        client = Smbclient(served, tmp_path)
        (tmp_path / "new").write_bytes(b"new")
        commands = [
            f'put {tmp_path}/new "{token}\\subdir\\new"',
            f'put {tmp_path}/new "{token}\\subdir\\hardlink"',
            f'del "{token}\\subdir\\hardlink"',
            f'mkdir "{token}\\folder"',
            f'rmdir "{token}\\subdir"',
        ]
        for command in commands:
            done = await client.run(f"//127.0.0.1/{SHARE}", "-c", command)
            assert b"NT_STATUS_MEDIA_WRITE_PROTECTED" in done.stdout, (command, done.stdout)
        await client.share([f'get "{token}\\subdir\\hardlink" {tmp_path}/back'])
        assert (tmp_path / "back").read_bytes() == b"version 0\n" * 40_000


async def test_our_client_copies_one_by_token(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        (token,) = await _versions(served, 1)
        async with connect("127.0.0.1", served.port, USER, PASSWORD) as client:
            tree = await client.tree(SHARE)
            source, target = SmbPlace(tree, f"{token}\\subdir\\hardlink"), SmbPlace(tree, "restored")
            result = await copy_file(source, target, Wish.REQUIRED)
        assert (result.mechanism, result.offloaded_bytes) == ("token", 400_000)
        restored = await served.volume.lookup(served.volume.root, b"restored")
        assert bytes(await served.volume.read(restored, 0, 800_000)) == b"version 0\n" * 40_000


async def test_our_client_fetches_one_from_samba(tmp_path: Path) -> None:
    """Samba takes the moment from a TWrp context only."""
    token = format_gmt_token(1_700_000_000)
    base = tmp_path / "samba"
    base.mkdir()
    snapshots = f"vfs objects = shadow_copy2\n    shadow:mountpoint = {base}/data"
    with run_samba(base, share_extra=snapshots) as samba:
        then = samba.data / ".snapshots" / token
        then.mkdir(parents=True)
        (then / "disk").write_bytes(b"then" * 100_000)
        (samba.data / "disk").write_bytes(b"now." * 100_000)
        back = tmp_path / "back"
        async with connect("127.0.0.1", samba.port, samba.user, samba.password) as client:
            tree = await client.tree("data")
            assert await tree.is_directory(token)
            assert not await tree.is_directory(f"{token}\\disk")
            assert not await tree.is_directory(f"{format_gmt_token(1)}\\disk")
            await copy_file(SmbPlace(tree, f"{token}\\disk"), LocalPlace(back))
    assert back.read_bytes() == b"then" * 100_000


async def test_smbclient_sees_no_previous_versions_where_there_are_none(tmp_path: Path) -> None:
    async with serve(tmp_path / "pool") as served:
        await _versions(served, 0)
        told = await Smbclient(served, tmp_path).share(["allinfo subdir\\hardlink"])
        assert "@GMT" not in told
        assert "stream: [::$DATA], 400000 bytes" in told


@pytest.mark.parametrize("test", TORTURE)
async def test_smbtorture(tmp_path: Path, test: str) -> None:
    async with serve(tmp_path / "pool") as served:
        (token,) = await _versions(served, 1)
        command = [
            "smbtorture",
            f"//127.0.0.1/{SHARE}",
            "-p",
            str(served.port),
            "-U",
            f"{USER}%{PASSWORD}",
            "--option=torture:twrp_file=subdir\\hardlink",
            f"--option=torture:twrp_snapshot={token}",
            test,
        ]
        done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT, check=False)
        text = done.stdout.decode()
        assert done.returncode == 0, text
        assert f"success: {test.rpartition('.')[2]}" in text
