"""Files of the server's state that it cannot read, as when an administrator has made them as another user."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.errors import ExitCode, UserError
from odxfs.peers import PeerStore
from odxfs.smb.auth.users import UserStore
from odxfs.smb.shares import ShareStore

Store = Callable[[Path], PeerStore | UserStore | ShareStore]


@pytest.mark.parametrize(
    ("name", "store"), [("peers.json", PeerStore), ("users.json", UserStore), ("shares.json", ShareStore)]
)
def test_what_cannot_be_read_is_an_error_that_says_so(tmp_path: Path, name: str, store: Store) -> None:
    (tmp_path / name).mkdir()  # no permission would stop root
    with pytest.raises(UserError, match=f"{name} cannot be read") as refused:
        store(tmp_path).list()
    assert refused.value.exit_code is ExitCode.CONFIG


@pytest.mark.parametrize("share", [{"name": 5}, {"name": "a", "offload_policy": 5}, 5])
def test_a_share_of_another_shape_is_an_error_that_says_so(tmp_path: Path, share: object) -> None:
    (tmp_path / "shares.json").write_text(json.dumps({"version": 1, "shares": [share]}))
    with pytest.raises(UserError, match="is damaged"):
        ShareStore(tmp_path).list()
