"""Samba's client against the server: every dialect, signing algorithm and cipher, and what it is refused."""

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from odxfs.smb.settings import Encryption, ServerSettings
from odxfs.smb.shares import Share
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

CONTENT = bytes(range(256)) * 700


class Client:
    """smbclient with fixed options; `run` is its output and whether it succeeded."""

    def __init__(self, served: Served, directory: Path) -> None:
        self.served = served
        self.directory = directory

    async def run(
        self, commands: str, *options: str, user: str = f"{USER}%{PASSWORD}", share: str = SHARE
    ) -> tuple[bool, str]:
        word: Sequence[str] = (
            "smbclient",
            f"//127.0.0.1/{share}",
            f"--port={self.served.port}",
            f"--user={user}",
            "--configfile=/dev/null",
            *options,
            f"--command={commands}",
        )
        call = partial(subprocess.run, word, capture_output=True, text=True, check=False, cwd=self.directory)
        done = await trio.to_thread.run_sync(call)
        return done.returncode == 0, done.stdout + done.stderr

    async def round_trip(self, *options: str) -> None:
        """A file there and back, its bytes the same."""
        (self.directory / "there").write_bytes(CONTENT)
        worked, output = await self.run("put there file; get file back; del file", *options)
        assert worked, output
        assert (self.directory / "back").read_bytes() == CONTENT


@asynccontextmanager
async def samba_client(
    directory: Path, settings: ServerSettings | None = None, shares: Sequence[Share] = ()
) -> AsyncIterator[Client]:
    pool, work = directory / "pool", directory / "work"
    pool.mkdir()
    work.mkdir()
    async with serve(pool, settings, shares) as served:
        yield Client(served, work)


@pytest.mark.parametrize("protection", ["sign", "encrypt"])
async def test_every_dialect_carries_files(tmp_path: Path, protection: str) -> None:
    dialects = ["SMB3_00", "SMB3_02", "SMB3_11"] + (["SMB2_10"] if protection == "sign" else [])
    async with samba_client(tmp_path) as client:
        for dialect in dialects:
            await client.round_trip(f"--max-protocol={dialect}", f"--client-protection={protection}")


async def test_every_cipher_and_signing_algorithm_of_3_1_1_carries_files(tmp_path: Path) -> None:
    async with samba_client(tmp_path) as client:
        for cipher in ("AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM"):
            option = f"--option=client smb3 encryption algorithms={cipher}"
            await client.round_trip("--client-protection=encrypt", option)
        for algorithm in ("AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256"):
            option = f"--option=client smb3 signing algorithms={algorithm}"
            await client.round_trip("--client-protection=sign", option)


async def test_a_server_that_demands_encryption_serves_3_x_and_refuses_2_1(tmp_path: Path) -> None:
    async with samba_client(tmp_path, ServerSettings(encryption=Encryption.REQUIRED)) as client:
        await client.round_trip("--client-protection=sign")
        worked, output = await client.run("ls", "--max-protocol=SMB2_10")
        assert not worked
        assert "NT_STATUS_ACCESS_DENIED" in output


async def test_a_share_that_demands_encryption_gets_it_from_a_client_that_would_only_sign(
    tmp_path: Path,
) -> None:
    async with samba_client(tmp_path, shares=(Share("sealed", encrypt_required=True),)) as client:
        worked, output = await client.run("ls", "--client-protection=sign", share="sealed")
        assert worked, output
        worked, output = await client.run("ls", "--max-protocol=SMB2_10", share="sealed")
        assert not worked
        assert "NT_STATUS_ACCESS_DENIED" in output


async def test_a_server_without_encryption_still_signs(tmp_path: Path) -> None:
    async with samba_client(tmp_path, ServerSettings(encryption=Encryption.OFF)) as client:
        await client.round_trip("--client-protection=sign")
        worked, _ = await client.run("ls", "--client-protection=encrypt")
        assert not worked


async def test_a_client_that_speaks_2_0_2_alone_is_told_so(tmp_path: Path) -> None:
    async with samba_client(tmp_path) as client:
        worked, output = await client.run("ls", "--max-protocol=SMB2_02")
        assert not worked
        assert "NT_STATUS_NOT_SUPPORTED" in output


@pytest.mark.parametrize("user", [f"{USER}%wrong", "nobody%pw", "%"])
async def test_wrong_unknown_and_anonymous_logins_fail_alike(tmp_path: Path, user: str) -> None:
    async with samba_client(tmp_path) as client:
        worked, output = await client.run("ls", user=user)
        assert not worked
        assert "NT_STATUS_LOGON_FAILURE" in output


async def test_domain_and_case_of_the_user_do_not_matter(tmp_path: Path) -> None:
    async with samba_client(tmp_path) as client:
        worked, output = await client.run("ls", user=f"ELSEWHERE\\{USER.upper()}%{PASSWORD}")
        assert worked, output
