"""impacket's client, an independent implementation, against a real server. It blocks, so it runs in a thread."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from impacket.smb3structs import SMB2_DIALECT_21, SMB2_DIALECT_30, SMB2_DIALECT_311
from impacket.smbconnection import SessionError, SMBConnection

from tests.support.serving import PASSWORD, SHARE, USER, serve

CONTENT = bytes(range(256)) * 2000


@contextmanager
def _connect(port: int, dialect: int) -> Iterator[SMBConnection]:
    connection = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=port, preferredDialect=dialect, timeout=60)
    try:
        yield connection
    finally:
        connection.getSMBServer().close_session()


def _use(port: int, dialect: int) -> None:
    with _connect(port, dialect) as connection:
        connection.login(USER, PASSWORD)
        _use_files(connection)
        connection.logoff()


def _use_files(connection: SMBConnection) -> None:
    assert SHARE in [share["shi1_netname"].rstrip("\0") for share in connection.listShares()]
    connection.createDirectory(SHARE, "folder")
    connection.putFile(SHARE, "folder\\file", io.BytesIO(CONTENT).read)
    connection.rename(SHARE, "folder\\file", "folder\\renamed")
    found = {entry.get_longname(): entry for entry in connection.listPath(SHARE, "folder\\*")}
    assert set(found) == {".", "..", "renamed"}
    assert found["renamed"].get_filesize() == len(CONTENT)
    back = io.BytesIO()
    connection.getFile(SHARE, "folder\\renamed", back.write)
    assert back.getvalue() == CONTENT
    tree = connection.connectTree(SHARE)
    handle = connection.openFile(tree, "folder\\renamed")
    connection.writeFile(tree, handle, b"changed", 100)
    assert connection.readFile(tree, handle, 98, 10) == CONTENT[98:100] + b"changed" + CONTENT[107:108]
    connection.closeFile(tree, handle)
    connection.deleteFile(SHARE, "folder\\renamed")
    with pytest.raises(SessionError, match="STATUS_OBJECT_NAME_NOT_FOUND"):
        connection.getFile(SHARE, "folder\\renamed", back.write)
    connection.deleteDirectory(SHARE, "folder")


@pytest.mark.parametrize("dialect", [SMB2_DIALECT_21, SMB2_DIALECT_30, SMB2_DIALECT_311])
async def test_files_and_folders(tmp_path: Path, dialect: int) -> None:
    async with serve(tmp_path) as served:
        await trio.to_thread.run_sync(_use, served.port, dialect)
        assert await served.volume.list_directory(served.volume.root) == []


def _break_in(port: int) -> None:
    with _connect(port, SMB2_DIALECT_311) as wrong, pytest.raises(SessionError, match="STATUS_LOGON_FAILURE"):
        wrong.login(USER, "wrong")
    with _connect(port, SMB2_DIALECT_21) as anonymous:
        with pytest.raises(SessionError):
            anonymous.login("", "")
        with pytest.raises(SessionError):
            anonymous.connectTree(SHARE)


async def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await trio.to_thread.run_sync(_break_in, served.port)
        assert not served.server.sessions
        assert len(served.server.registry) == 0
