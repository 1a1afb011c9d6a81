"""Our client against Samba: the protocol with an independent server, and every way in which a copy can go plainly."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from odxfs.client.client import connect
from odxfs.client.copy import copy_file
from odxfs.client.errors import LogonFailed
from odxfs.client.explain import Cause
from odxfs.client.local import LocalPlace
from odxfs.client.places import SmbPlace
from odxfs.client.plan import Wish
from odxfs.errors import ExitCode
from odxfs.wire.negotiate import Dialect
from odxfs.wire.negotiate_contexts import SigningAlgorithm
from tests.interop.samba import Samba, run_samba
from tests.support.cp import COMMAND, cp, variables

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with run_samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


@pytest.mark.parametrize(
    ("dialect", "encrypt"),
    [
        (Dialect.SMB_2_1, False),
        (Dialect.SMB_3_0, False),
        (Dialect.SMB_3_0, True),
        (Dialect.SMB_3_0_2, False),
        (Dialect.SMB_3_1_1, False),
        (Dialect.SMB_3_1_1, True),
    ],
)
async def test_a_file_is_copied_on_the_server_in_every_dialect(
    samba: Samba, dialect: Dialect, encrypt: bool
) -> None:
    content = os.urandom(5 * MIB + 123)
    (samba.data / "source.bin").write_bytes(content)
    (samba.data / "copy.bin").write_bytes(b"an older and shorter file")
    async with connect(
        "127.0.0.1", samba.port, samba.user, samba.password, dialects=(dialect,), encrypt=encrypt
    ) as client:
        tree = await client.tree("data")
        result = await copy_file(SmbPlace(tree, "source.bin"), SmbPlace(tree, "copy.bin"))
    assert (samba.data / "copy.bin").read_bytes() == content
    assert result.mechanism == "copychunk"
    assert result.chunk_cause is None
    old = dialect < Dialect.SMB_3_0
    assert result.cause is (Cause.DIALECT_TOO_OLD if old else Cause.SOURCE_HAS_NO_OFFLOAD)
    assert result.wire_sent_bytes < 10_000
    assert result.wire_received_bytes < 10_000


@pytest.mark.parametrize(
    "algorithm", [SigningAlgorithm.AES_GMAC, SigningAlgorithm.AES_CMAC, SigningAlgorithm.HMAC_SHA256]
)
async def test_every_signing_algorithm_works(
    samba: Samba, algorithm: SigningAlgorithm, tmp_path: Path
) -> None:
    source, back = tmp_path / "source.bin", tmp_path / "back.bin"
    source.write_bytes(os.urandom(2 * MIB + 7))
    async with connect(
        "127.0.0.1", samba.port, samba.user, samba.password, signing_algorithms=(algorithm,)
    ) as client:
        assert client.connection.wire.signing_algorithm == algorithm
        tree = await client.tree("data")
        await copy_file(LocalPlace(source), SmbPlace(tree, "up.bin"), Wish.AUTO)
        result = await copy_file(SmbPlace(tree, "up.bin"), LocalPlace(back), Wish.AUTO)
    assert back.read_bytes() == source.read_bytes()
    assert result.cause is Cause.LOCAL_FILE


async def test_a_wrong_password_is_refused(samba: Samba) -> None:
    with pytest.raises(LogonFailed, match="password is wrong"):
        async with connect("127.0.0.1", samba.port, samba.user, "wrong"):
            pass


def test_the_command_puts_and_gets(samba: Samba, tmp_path: Path) -> None:
    source = tmp_path / "with a space %.bin"
    source.write_bytes(os.urandom(3 * MIB + 1))
    secret = tmp_path / "password"
    secret.write_text(f"{samba.password}\n", encoding="ascii")
    (samba.data / "folder").mkdir()
    put = cp("--json", "--password-file", secret, source, samba.url("folder/"))
    assert put.returncode == 0, put.stderr
    assert json.loads(put.stdout)["wire_sent_bytes"] > 3 * MIB
    assert (samba.data / "folder" / source.name).read_bytes() == source.read_bytes()
    get = cp(samba.url("folder/with%20a%20space%20%25.bin"), tmp_path / "back", password=samba.password)
    assert get.returncode == 0, get.stderr
    assert "mechanism plain" in get.stdout
    assert "one side is a local file" in get.stdout
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_between_local_paths(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "folder").mkdir()
    assert cp("--quiet", tmp_path / "a", tmp_path / "folder").stdout == ""
    assert (tmp_path / "folder" / "a").read_bytes() == b"x" * 100_000
    assert cp(tmp_path / "a", f"{tmp_path}/nowhere/").returncode == ExitCode.NOT_FOUND
    same = cp(tmp_path / "a", tmp_path / "folder" / ".." / "a")
    assert "are the same file" in same.stderr
    assert (tmp_path / "a").stat().st_size == 100_000
    directory = cp(tmp_path / "folder", tmp_path / "b")
    assert directory.returncode != 0
    assert "directory" in directory.stderr
    assert not (tmp_path / "b").exists()


def test_an_empty_file_is_copied(samba: Samba, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (samba.data / "empty").write_bytes(b"not yet")
    assert cp(tmp_path / "empty", samba.url("empty"), password=samba.password).returncode == 0
    assert (samba.data / "empty").read_bytes() == b""


def test_required_offload_is_refused_before_anything_changes(samba: Samba) -> None:
    (samba.data / "big.bin").write_bytes(b"y" * MIB)
    (samba.data / "kept.bin").write_bytes(b"precious")
    for target in ("kept.bin", "new.bin"):
        answer = cp("--require-offload", samba.url("big.bin"), samba.url(target), password=samba.password)
        assert answer.returncode == ExitCode.NOT_OFFLOADED
        assert "does no copy offload" in answer.stderr
        assert answer.stderr.count("\n") == 1
    assert (samba.data / "kept.bin").read_bytes() == b"precious"
    assert not (samba.data / "new.bin").exists()


def test_one_file_under_two_names_is_not_overwritten_by_itself(samba: Samba) -> None:
    (samba.data / "one.bin").write_bytes(b"z" * MIB)
    for target in (samba.url("ONE.bin"), samba.url("one.bin", share="other")):
        answer = cp(samba.url("one.bin"), target, password=samba.password)
        assert "are the same file" in answer.stderr
    here = samba.data / "one.bin"
    for pair in ((here, samba.url("one.bin")), (samba.url("one.bin"), here)):
        assert "are the same file" in cp(*pair, password=samba.password).stderr
    assert here.read_bytes() == b"z" * MIB


@pytest.mark.parametrize(
    ("path", "share", "password", "code"),
    [
        ("missing.bin", "data", "throw-away", ExitCode.NOT_FOUND),
        ("no/such/folder.bin", "data", "throw-away", ExitCode.NOT_FOUND),
        ("x", "noshare", "throw-away", ExitCode.NOT_FOUND),
        ("x", "data", "wrong", ExitCode.AUTHENTICATION),
        ("", "data", "throw-away", ExitCode.REFUSED),
    ],
)
def test_failures_have_their_exit_codes(
    samba: Samba, tmp_path: Path, path: str, share: str, password: str, code: ExitCode
) -> None:
    answer = cp(samba.url(path, share=share), tmp_path / "out", password=password)
    assert answer.returncode == code
    assert answer.stderr.startswith("odxfs: ")
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nobody_listening_is_a_network_error(tmp_path: Path) -> None:
    answer = cp("smb://ann@127.0.0.1:1/data/x", tmp_path / "out", password="x")
    assert answer.returncode == ExitCode.NETWORK
    assert "refused" in answer.stderr


def test_ctrl_c_removes_the_partial_destination(samba: Samba, tmp_path: Path) -> None:
    long, target = tmp_path / "long.bin", samba.data / "partial.bin"
    with long.open("wb") as stream:
        for _ in range(96):
            stream.write(b"x" * 8 * MIB)
    process = subprocess.Popen(
        [*COMMAND, str(long), samba.url("partial.bin")],
        env=variables(samba.password),
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while not (target.exists() and target.stat().st_blocks):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in complaint
    assert not target.exists()
