"""`odxfs svm` and the process that is asked to go by the edited file: in the end both say the same."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from odxfs.cli.main import main
from odxfs.control import client
from odxfs.control.arguments import Arguments
from odxfs.control.server import ControlServer
from odxfs.errors import ExitCode, UserError
from odxfs.volume import create_pool

BEFORE = """\
[svm.default]
listen = "127.0.0.1:0"

[svm.array]
listen = "127.0.0.1:0"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration of a pool, with two SVMs."""
    create_pool(tmp_path / "pool")
    (tmp_path / "pool" / "odxfs.toml").write_text(BEFORE)
    return tmp_path / "pool" / "odxfs.toml"


async def _delete_array(file: Path, reload: Callable[[], Awaitable[None]]) -> int:
    """The exit code of `svm del` at a process that is in the middle of `reload`."""

    async def config(_: Arguments) -> dict[str, Any]:
        return {"toml": BEFORE, "file": str(file)}

    async def answer(_: Arguments) -> dict[str, Any]:
        await reload()
        return {"changes": []}

    async with trio.open_nursery() as nursery:
        await nursery.start(ControlServer(file.parent, {"config": config, "reload": answer}).serve)
        with trio.fail_after(60):
            words = ["svm", "del", str(file.parent), "array"]
            code = await trio.to_thread.run_sync(main, words)
        nursery.cancel_scope.cancel()
    return code


async def test_a_reload_that_takes_its_time_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.ask.__kwdefaults__, "timeout", 0.2)

    async def take_long() -> None:
        await trio.sleep(0.5)

    assert await _delete_array(file, take_long) == ExitCode.OK
    assert "array" not in file.read_text()


async def test_a_link_to_the_file_stays_one(file: Path, tmp_path: Path) -> None:
    async def accept() -> None:
        await trio.lowlevel.checkpoint()

    file.rename(tmp_path / "real.toml")
    file.symlink_to(tmp_path / "real.toml")
    assert await _delete_array(file, accept) == ExitCode.OK
    assert file.is_symlink()
    assert "array" not in (tmp_path / "real.toml").read_text()


async def test_a_file_that_is_no_text_any_more_is_refused_in_words(file: Path) -> None:
    async def never() -> None:
        raise AssertionError("nothing was changed")

    file.write_bytes(BEFORE.encode() + b"# \xff\n")
    assert await _delete_array(file, never) == ExitCode.CONFIG


async def test_what_a_reload_refuses_is_not_kept(file: Path) -> None:
    async def refuse() -> None:
        raise UserError("not now", ExitCode.BUSY)

    assert await _delete_array(file, refuse) == ExitCode.BUSY
    assert file.read_text() == BEFORE


def test_an_interrupted_change_is_taken_back_in_the_file_and_by_who_goes_by_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_force: list[str] = []

    def ask(_: Path, command: str, **__: Any) -> dict[str, Any]:
        if command == "config":
            return {"toml": BEFORE, "file": str(file)}
        in_force.append(file.read_text())
        if len(in_force) == 1:
            raise KeyboardInterrupt
        return {"changes": []}

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr("odxfs.cli.configurations.ask", ask)
    assert main(["svm", "del", str(file.parent), "array"]) == ExitCode.INTERRUPTED
    assert file.read_text() == BEFORE
    assert ["array" in text for text in in_force] == [False, True]


def test_a_process_that_goes_before_it_answers_has_not_accepted_the_change(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: Path, command: str, **__: Any) -> dict[str, Any]:
        if command == "config":
            return {"toml": BEFORE, "file": str(file)}
        raise client.Unanswered("gone", ExitCode.NEEDS_FSCK)

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr("odxfs.cli.configurations.ask", ask)
    assert main(["svm", "del", str(file.parent), "array"]) == ExitCode.NEEDS_FSCK
    assert file.read_text() == BEFORE


@pytest.mark.parametrize("reads", ["odxfs.toml", "link.toml", "other.toml"])
def test_a_change_of_a_file_that_the_process_does_not_read_is_told_as_such(
    file: Path, reads: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def ask(_: Path, command: str, **__: Any) -> dict[str, Any]:
        asked.append(command)
        return {"toml": BEFORE, "file": str(file.with_name(reads)), "changes": []}

    file.with_name("link.toml").symlink_to(file)
    monkeypatch.setattr(client, "ask", ask)
    assert main(["svm", "del", str(file.parent), "array", "--config", str(file)]) == ExitCode.OK
    assert "array" not in file.read_text()
    is_read = reads != "other.toml"
    assert ("reload" in asked) == is_read
    assert ("goes by " in capsys.readouterr().out) == (not is_read)


@pytest.mark.parametrize("name", ["array", "default"])
def test_no_other_svm_comes_when_the_last_one_goes(
    file: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text := f'[svm.{name}]\nlisten = "127.0.0.1:0"\n')
    assert main(["svm", "del", str(file.parent), name]) == ExitCode.REFUSED
    assert "the last SVM" in capsys.readouterr().err
    assert file.read_text() == text


def test_the_last_svm_of_a_mount_without_shares_may_go(file: Path) -> None:
    file.write_text(f'[mounts]\nmain = "{file.parent.parent}/mnt"\n\n[svm.array]\nlisten = "127.0.0.1:0"\n')
    assert main(["svm", "del", str(file.parent), "array"]) == ExitCode.OK
    assert "[svm" not in file.read_text()
