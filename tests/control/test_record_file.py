"""Small files that commands write and servers read: users, shares, peers."""

import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from odxfs.errors import ExitCode, UserError
from odxfs.file_owner import open_or_create
from odxfs.peers import PeerStore
from odxfs.record_file import RecordFile, replace_durably


class Names:
    """A list of names, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.names: list[str] = []
        self.loads = 0
        self.file = RecordFile(path, self._load, lambda: {"version": 1, "names": self.names})

    def _load(self, content: dict[str, Any] | None) -> None:
        self.loads += 1
        if content is not None:
            self.file.require_format(content, 1)
        self.names = [] if content is None else [str(name) for name in content["names"]]

    def add(self, name: str) -> None:
        with self.file.changing():
            self.names.append(name)

    def read(self) -> list[str]:
        self.file.refresh()
        return self.names


def test_another_reader_sees_a_change_and_reads_no_more_than_that(tmp_path: Path) -> None:
    writer, reader = Names(tmp_path / "names"), Names(tmp_path / "names")
    assert reader.read() == []
    writer.add("a")
    assert reader.read() == ["a"]
    loads = reader.loads
    assert reader.read() == ["a"]
    assert reader.loads == loads
    assert stat.S_IMODE((tmp_path / "names").stat().st_mode) == 0o600


def test_writers_at_a_time_do_not_undo_each_other(tmp_path: Path) -> None:
    def add(number: int) -> None:
        Names(tmp_path / "names").add(str(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert sorted(map(int, Names(tmp_path / "names").read())) == list(range(40))


def test_a_change_that_fails_leaves_the_file(tmp_path: Path) -> None:
    names = Names(tmp_path / "names")
    names.add("a")

    def fail() -> None:
        with names.file.changing():
            names.names.append("b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names.read() == ["a"]


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_durably(tmp_path / "names", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as failed:
        replace_durably(tmp_path / "names", b"new")
    assert failed.value.filename == str(tmp_path / "names")
    assert (tmp_path / "names").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["names"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", ExitCode.CONFIG),
        ("[]", ExitCode.CONFIG),
        pytest.param("[" * 100_000, ExitCode.CONFIG, id="nested without end"),
        (json.dumps({"version": 1}), ExitCode.CONFIG),
        (json.dumps({"version": 2, "names": []}), ExitCode.FORMAT),
    ],
)
def test_what_makes_no_sense_is_told_and_kept(tmp_path: Path, content: str, code: ExitCode) -> None:
    (tmp_path / "names").write_text(content)
    actions: list[Callable[[Names], object]] = [Names.read, lambda names: names.add("a")]
    for action in actions:
        with pytest.raises(UserError, match=str(tmp_path / "names")) as caught:
            action(Names(tmp_path / "names"))
        assert caught.value.exit_code == code
    assert (tmp_path / "names").read_text() == content


def test_a_number_without_end_is_damage_like_any_other(tmp_path: Path) -> None:
    entry = {"name": "a", "address": "b", "port": float("inf")}
    (tmp_path / "peers.json").write_text(json.dumps({"version": 1, "peers": [entry]}))
    with pytest.raises(UserError, match="is damaged") as caught:
        PeerStore(tmp_path).list()
    assert caught.value.exit_code == ExitCode.CONFIG


@pytest.mark.parametrize(
    ("of_directory", "of_replaced", "expected"),
    [
        (0, None, 0),
        (4711, None, 4711),
        (4711, 0, 4711),
        (0, 4712, 4712),
        (4711, 4712, 4712),
    ],
)
def test_what_root_writes_is_whose_it_was_or_the_directorys(
    tmp_path: Path, of_directory: int, of_replaced: int | None, expected: int
) -> None:
    os.chown(tmp_path, of_directory, of_directory)
    path = tmp_path / "names"
    if of_replaced is not None:
        path.touch()
        os.chown(path, of_replaced, 4713)
    replace_durably(path, b"new")
    found = path.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (expected, 0o600)
    assert found.st_gid == (4711 if expected == 4711 else 4713 if of_replaced is not None else 0)


def test_root_gives_away_what_it_made_and_nothing_that_it_was_led_to(tmp_path: Path) -> None:
    theirs, roots = tmp_path / "theirs", tmp_path / "roots"
    theirs.mkdir()
    os.chown(theirs, 4711, 4711)
    roots.touch()
    (theirs / "link").symlink_to(roots)
    (theirs / "dangling").symlink_to(tmp_path / "made by root")
    (theirs / "other").hardlink_to(roots)
    for name in ("made", "link", "dangling", "other"):
        os.close(open_or_create(theirs / name, os.O_WRONLY))
    owners = {name: (theirs / name).stat().st_uid for name in ("made", "link", "dangling", "other")}
    assert owners == {"made": 4711, "link": 0, "dangling": 0, "other": 0}
