"""The file of shares: what is in it survives, and what somebody else changes is seen."""

import json
from pathlib import Path

import pytest

from odxfs.errors import ExitCode, UserError
from odxfs.smb.shares import IPC_SHARE, TOKENS_SHARE, DeclaredShares, Share, ShareStore


def test_shares_survive_and_are_found_whatever_the_case(tmp_path: Path) -> None:
    share = Share(
        "Backup", "main", "sub/folder", "nightly", read_only=True, copy_offload=False, encrypt_required=True
    )
    ShareStore(tmp_path).add(share)
    store = ShareStore(tmp_path)
    assert store.find("bACKUP") == share
    assert store.list() == [share]
    assert store.find("ipc$") is IPC_SHARE
    assert store.find("other") is None
    assert [path.name for path in tmp_path.iterdir()] == ["shares.json"]


def test_declared_shares_are_those_and_the_ones_that_every_server_has() -> None:
    shares = DeclaredShares([Share("b"), Share("A")])
    assert [share.name for share in shares.list()] == ["A", "b"]
    assert shares.find("a") == Share("A")
    assert shares.find("ipc$") is IPC_SHARE
    assert shares.find("Tokens$") is TOKENS_SHARE
    assert shares.find("c") is None


def test_another_process_adds_and_deletes_shares(tmp_path: Path) -> None:
    ours, theirs = ShareStore(tmp_path), ShareStore(tmp_path)
    assert ours.list() == []
    theirs.add(Share("new"))
    assert ours.find("new") == Share("new")
    theirs.delete("NEW")
    assert ours.find("new") is None


def test_mistakes_are_told(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    store.add(Share("taken"))
    for name, code in (
        ("TAKEN", ExitCode.EXISTS),
        ("IPC$", ExitCode.EXISTS),
        ("a/b", ExitCode.USAGE),
        ("", ExitCode.USAGE),
    ):
        with pytest.raises(UserError) as refused:
            store.add(Share(name))
        assert refused.value.exit_code == code
    for comment in ("two\nlines", "c\udcff", "x" * 256):
        with pytest.raises(UserError, match="cannot be the comment"):
            store.add(Share("new", comment=comment))
    with pytest.raises(UserError, match="no share"):
        store.delete("missing")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 1, "shares": [{"nome": "x"}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "shares.json").write_text(text)
    with pytest.raises(UserError, match=r"shares\.json"):
        ShareStore(tmp_path).list()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shares.json").write_text(json.dumps({"version": 2, "shares": []}))
    with pytest.raises(UserError) as refused:
        ShareStore(tmp_path).list()
    assert refused.value.exit_code == ExitCode.FORMAT
