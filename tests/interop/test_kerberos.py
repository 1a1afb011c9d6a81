"""Tickets of an MIT key distribution centre, brought by Samba's smbclient."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from odxfs.errors import UserError
from odxfs.smb.auth.kerberos import check_keytab
from odxfs.smb.settings import ServerSettings
from tests.support.kdc import OTHER_REALM, REALM, SERVER_NAME, Kdc, run_kdc
from tests.support.serving import PASSWORD, SHARE, USER, Served, serve

STRANGER = "mallory"
"""Has a ticket and is no user of the server."""


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    with run_kdc(tmp_path_factory.mktemp("kdc"), (USER, STRANGER)) as kdc:
        yield kdc


@pytest.fixture
def kdc(centre: Kdc, monkeypatch: pytest.MonkeyPatch) -> Kdc:
    for name, value in centre.environment.items():
        monkeypatch.setenv(name, value)
    return centre


def _settings(kdc: Kdc) -> ServerSettings:
    return ServerSettings(failed_login_seconds=0.0, keytab=kdc.keytab)


async def _smbclient(served: Served, *words: str) -> subprocess.CompletedProcess[bytes]:
    where = [f"//{SERVER_NAME}/{SHARE}", "-I", "127.0.0.1", "-p", str(served.port)]
    command = ["smbclient", *where, *words]
    return await trio.run_process(
        command, capture_stdout=True, stderr=subprocess.STDOUT, check=False, env=dict(os.environ)
    )


async def _log_in_with_a_ticket(served: Served, *words: str) -> str:
    done = await _smbclient(served, "--use-kerberos=required", *words)
    return done.stdout.decode()


@pytest.mark.parametrize("protection", ["sign", "encrypt"])
async def test_a_ticket_logs_in_for_as_long_as_it_is_good(tmp_path: Path, kdc: Kdc, protection: str) -> None:
    payload, back = tmp_path / "payload", tmp_path / "back"
    payload.write_bytes(os.urandom(300_000))
    kdc.login(f"{USER}@{REALM}", "2h")
    async with serve(tmp_path / "pool", _settings(kdc)) as served:
        renewals: list[float] = []
        renew = served.server.expiry.renew

        def watch(session: object, expires_at: float) -> None:
            renewals.append(expires_at - trio.current_time())
            renew(session, expires_at)  # type: ignore[arg-type]

        served.server.expiry.renew = watch  # type: ignore[method-assign]
        said = await _log_in_with_a_ticket(
            served, f"--client-protection={protection}", "-c", f"put {payload} file; get file {back}"
        )
        assert "NT_STATUS" not in said
    assert back.read_bytes() == payload.read_bytes()
    (seconds,) = renewals
    # MIT's acceptor adds the clock skew that it forgives, 5 minutes.
    assert 7000 < seconds <= 7200 + 300


async def test_a_password_is_taken_beside_tickets(tmp_path: Path, kdc: Kdc) -> None:
    async with serve(tmp_path / "pool", _settings(kdc)) as served:
        done = await _smbclient(
            served, "--use-kerberos=off", "-U", f"{USER}%{PASSWORD}", "-c", "mkdir folder; ls"
        )
        assert "folder" in done.stdout.decode()
        wrong = await _smbclient(served, "--use-kerberos=off", "-U", f"{USER}%wrong", "-c", "ls")
        assert "NT_STATUS_LOGON_FAILURE" in wrong.stdout.decode()


@pytest.mark.parametrize(
    ("principal", "reason"),
    [
        (f"{STRANGER}@{REALM}", "who is no user here"),
        (f"{USER}@{OTHER_REALM}", "is of another realm than this server"),
    ],
)
async def test_a_ticket_of_nobody_here_is_refused(
    tmp_path: Path, kdc: Kdc, caplog: pytest.LogCaptureFixture, principal: str, reason: str
) -> None:
    """A trusted realm's alice is somebody else than the server's."""
    caplog.set_level(logging.INFO, "odxfs.smb.logins")
    kdc.login(principal)
    async with serve(tmp_path / "pool", _settings(kdc)) as served:
        assert "NT_STATUS_LOGON_FAILURE" in await _log_in_with_a_ticket(served, "-c", "ls")
        assert not served.server.sessions
    assert reason in caplog.text


async def test_without_a_keytab_tickets_are_not_offered(tmp_path: Path, kdc: Kdc) -> None:
    kdc.login(f"{USER}@{REALM}")
    async with serve(tmp_path / "pool") as served:
        said = await _log_in_with_a_ticket(served, "-c", "ls")
        assert "session setup failed" in said
        done = await _smbclient(
            served, "--use-kerberos=desired", "-U", f"{USER}%{PASSWORD}", "-c", "mkdir folder; ls"
        )
        assert "folder" in done.stdout.decode()


def test_a_keytab_that_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_keytab(kdc.keytab)
    (tmp_path / "junk").write_bytes(b"not a keytab")
    for file, reason in ((tmp_path / "junk", "is not a keytab"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(UserError, match=reason):
            check_keytab(file)
    monkeypatch.setitem(sys.modules, "gssapi", None)  # as where it is not installed
    with pytest.raises(UserError, match="needs the Python package gssapi") as refused:
        check_keytab(kdc.keytab)
    assert "\n" not in str(refused.value)
