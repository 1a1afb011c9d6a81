"""smbprotocol, a second independent client (AES-GMAC signing, compounds, its own NTLM), against a real server."""

from pathlib import Path

import pytest
import trio
from smbprotocol.exceptions import LogonFailure, SMBOSError

from tests.support.serving import PASSWORD, SHARE, USER, serve
from tests.support.smbprotocol_client import shutil, smbclient

CONTENT = bytes(range(256)) * 3000


def _use(port: int, encrypt: bool) -> None:
    cache: dict[str, object] = {}
    options = {"port": port, "connection_cache": cache}
    smbclient.register_session(
        "127.0.0.1", username=USER, password=PASSWORD, encrypt=encrypt, connection_timeout=60, **options
    )
    root = rf"\\127.0.0.1\{SHARE}"
    try:
        smbclient.makedirs(rf"{root}\a\b", **options)
        with smbclient.open_file(rf"{root}\a\b\file", mode="wb", **options) as file:
            file.write(CONTENT)
        with smbclient.open_file(rf"{root}\a\b\file", mode="rb", **options) as file:
            assert file.read() == CONTENT
        assert smbclient.stat(rf"{root}\a\b\file", **options).st_size == len(CONTENT)
        smbclient.rename(rf"{root}\a\b\file", rf"{root}\a\moved", **options)
        assert sorted(smbclient.listdir(rf"{root}\a", **options)) == ["b", "moved"]
        smbclient.utime(rf"{root}\a\moved", times=(1_000_000_000, 1_100_000_000), **options)
        assert smbclient.stat(rf"{root}\a\moved", **options).st_mtime == 1_100_000_000
        shutil.copyfile(rf"{root}\a\moved", rf"{root}\a\copied", **options)
        with smbclient.open_file(rf"{root}\a\copied", mode="rb", **options) as file:
            assert file.read() == CONTENT
        smbclient.truncate(rf"{root}\a\copied", 100, **options)
        assert smbclient.stat(rf"{root}\a\copied", **options).st_size == 100
        with pytest.raises(SMBOSError, match="0xc0000034"):
            smbclient.stat(rf"{root}\a\missing", **options)
        shutil.rmtree(rf"{root}\a", **options)
        assert smbclient.listdir(root, **options) == []
    finally:
        smbclient.reset_connection_cache(connection_cache=cache)


@pytest.mark.parametrize("encrypt", [False, True])
async def test_files_and_folders(tmp_path: Path, encrypt: bool) -> None:
    async with serve(tmp_path) as served:
        await trio.to_thread.run_sync(_use, served.port, encrypt)
        assert await served.volume.list_directory(served.volume.root) == []


def _wrong_password(port: int) -> None:
    with pytest.raises(LogonFailure):
        smbclient.register_session(
            "127.0.0.1",
            username=USER,
            password="wrong",
            port=port,
            connection_cache={},
            connection_timeout=60,
        )


async def test_a_wrong_password_is_refused(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await trio.to_thread.run_sync(_wrong_password, served.port)
        assert not served.server.sessions
