"""Tokens of a served pool: across SVMs and volumes, cancelled by command, and after the server was started again."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from odxfs.errors import ExitCode
from odxfs.ntstatus import Status
from odxfs.wire.create import CreateDisposition
from odxfs.wire.fscc.file_information import FileDispositionInformation, FileEndOfFileInformation
from tests.mount.command import in_foreground, odxfs, odxfs_ok
from tests.serving.running import ALICE, BOB, PASSWORD, Running, make_pool, serving
from tests.support.peer import Peer, Refused, logged_in
from tests.support.tokens import read_token, set_information, write_token

SIZE = 65536


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path) as served:
        yield served


@asynccontextmanager
async def on_first(running: Running) -> AsyncIterator[Peer]:
    """alice on the default SVM, whose share is of the volume main."""
    async with logged_in(running.port("default"), ALICE, PASSWORD, "first") as peer:
        yield peer


@asynccontextmanager
async def on_second(running: Running) -> AsyncIterator[Peer]:
    """bob on the SVM b, whose share is of the volume db."""
    async with logged_in(running.port("b"), BOB, PASSWORD, "second") as peer:
        yield peer


async def new_token(peer: Peer, name: str, content: bytes) -> bytes:
    """A token of a new file, which is closed."""
    source = await peer.open(name, CreateDisposition.OVERWRITE_IF)
    await peer.write(source, 0, content)
    token = await read_token(peer, source, len(content))
    await peer.close(source)
    return token


async def delete(peer: Peer, name: str) -> None:
    fid = await peer.open(name)
    await set_information(peer, fid, FileDispositionInformation(delete_pending=True))
    await peer.close(fid)


async def written(peer: Peer, token: bytes) -> bytes:
    """What is in a new file that the token was written to."""
    target = await peer.open("target", CreateDisposition.OVERWRITE_IF)
    try:
        await set_information(peer, target, FileEndOfFileInformation(SIZE))
        assert await write_token(peer, target, token, SIZE) == SIZE
        return bytes(await peer.read(target, 0, SIZE))
    finally:
        await peer.close(target)


async def refusal(peer: Peer, token: bytes) -> int:
    with pytest.raises(Refused) as refused:
        await written(peer, token)
    return refused.value.status


async def ask(*words: str | Path) -> object:
    """Run an odxfs command while connections are served here."""
    return (await trio.to_thread.run_sync(lambda: odxfs_ok(*words, "--json"))).json


async def test_a_token_outlives_its_files_end_and_its_session_on_another_svm(running: Running) -> None:
    content = os.urandom(SIZE)
    async with on_first(running) as peer:
        token = await new_token(peer, "source", content)
        await delete(peer, "source")
    async with on_second(running) as peer:
        assert await written(peer, token) == content
    (told,) = await ask("tokens", running.directory)  # type: ignore[misc]
    assert (told["svm"], told["share"], told["volume"], told["path"], told["uses"]) == (
        "default", "first", "main", "source", 1,
    )  # fmt: skip


async def test_tokens_are_cancelled_by_label_volume_svm_and_all(running: Running) -> None:
    content = os.urandom(SIZE)
    async with on_first(running) as first, on_second(running) as second:
        tokens = [await new_token(first, name, content) for name in ("one", "two")]
        others = [await new_token(second, name, content) for name in ("three", "four")]
        label = tokens[0][32:48].hex()[:12]
        assert await ask("tokens", "cancel", running.directory, label) == {"cancelled": 1}
        assert await refusal(second, tokens[0]) == Status.INVALID_TOKEN
        assert await written(second, tokens[1]) == content
        assert await ask("tokens", "cancel", running.directory, "--volume", "main") == {"cancelled": 1}
        assert await refusal(second, tokens[1]) == Status.INVALID_TOKEN
        assert await ask("tokens", "cancel", running.directory, "--svm", "default") == {"cancelled": 0}
        assert await written(first, others[0]) == content
        assert await ask("tokens", "cancel", running.directory, "--client", "127.0.0.1") == {"cancelled": 2}
        assert await refusal(first, others[1]) == Status.INVALID_TOKEN
        assert await ask("tokens", "cancel", running.directory, "--all") == {"cancelled": 0}
        assert await ask("tokens", running.directory) == []
    status = running.status()
    assert status["offload"]["refusals"] == {"cancelled_token": 3}


def test_what_is_to_be_cancelled_must_be_said(running: Running) -> None:
    assert odxfs("tokens", "cancel", running.directory).code == ExitCode.USAGE
    assert odxfs("tokens", running.directory, "abc").code == ExitCode.USAGE
    unknown = odxfs("tokens", "cancel", running.directory, "0123456789ab")
    assert (unknown.code, unknown.err) == (
        ExitCode.NOT_FOUND,
        "odxfs: there is no live token '0123456789ab'\n",
    )


async def test_after_a_restart_a_token_is_refused_for_the_moment_and_a_forged_one_for_good(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "pool"
    make_pool(directory)
    with in_foreground("serve", str(directory)) as process:
        async with on_first(Running(directory, process)) as peer:
            token = await new_token(peer, "source", os.urandom(SIZE))
        assert (directory / "token.key").stat().st_mode & 0o777 == 0o600
    with in_foreground("serve", str(directory)) as process:  # the first was killed
        async with on_first(Running(directory, process)) as peer:
            assert await refusal(peer, token) == Status.INSUFFICIENT_RESOURCES
            assert await refusal(peer, token[:-1] + bytes([token[-1] ^ 1])) == Status.INVALID_TOKEN
            assert await written(peer, await new_token(peer, "source", b"n" * SIZE)) == b"n" * SIZE
        await trio.to_thread.run_sync(odxfs_ok, "umount", directory)
        assert process.wait(60) == 0


async def test_a_share_is_set_up_for_faults_and_back_while_it_is_served(running: Running) -> None:
    content = os.urandom(SIZE)
    async with on_first(running) as peer:
        token = await new_token(peer, "source", content)
        words = ("share", "set", running.directory, "first", "--offload-policy")
        await trio.to_thread.run_sync(odxfs_ok, *words, "refuse:DEVICE_UNREACHABLE")
        assert await refusal(peer, token) == Status.DEVICE_UNREACHABLE
        await trio.to_thread.run_sync(odxfs_ok, *words, "pin")
        assert await written(peer, token) == content
    refused = odxfs(*words, "explode")
    assert refused.code == ExitCode.USAGE
    assert "'explode' is no offload policy" in refused.err
    odxfs_ok("share", "add", running.directory, "lab", "--offload-policy", "fail:2,delay:0.1")
    shares = {share["name"]: share for share in odxfs_ok("share", "list", running.directory, "--json").json}
    assert shares["lab"]["offload_policy"] == "fail:2,delay:0.1"
    assert odxfs("share", "set", running.directory, "lab").code == ExitCode.USAGE
    assert odxfs("share", "set", running.directory, "none", "--no-copy-offload").code == ExitCode.NOT_FOUND


def test_the_guide_has_a_page() -> None:
    page = odxfs_ok("help", "offload-policies").out
    for word in ("pin", "invalidate", "refuse:STATUS", "fail:N", "delay:SECONDS", "expire:SECONDS"):
        assert word in page
