"""Locations as people write them."""

from pathlib import Path

import pytest

from odxfs.client.url import SmbUrl, parse_location
from odxfs.errors import ExitCode, UserError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("smb://ann@nas/vm/a.vhdx", SmbUrl("ann", "nas", 445, "vm", "a.vhdx")),
        ("SMB://ann@nas:4450/vm/dir/a.vhdx", SmbUrl("ann", "nas", 4450, "vm", "dir\\a.vhdx")),
        ("smb://nas/vm", SmbUrl("", "nas", 445, "vm", "")),
        ("smb://nas/vm/dir/", SmbUrl("", "nas", 445, "vm", "dir", trailing_slash=True)),
        ("smb://LAB;ann@nas/vm//x", SmbUrl("LAB;ann", "nas", 445, "vm", "x")),
        ("smb://ann@[::1]:46000/vm/x", SmbUrl("ann", "::1", 46000, "vm", "x")),
        ("smb://a%40b@nas/my%20vm/50%25%20%c3%a9?x#y", SmbUrl("a@b", "nas", 445, "my vm", "50% \u00e9?x#y")),
    ],
)
def test_smb_urls_are_understood(text: str, url: SmbUrl) -> None:
    assert parse_location(text) == url


@pytest.mark.parametrize("text", ["disk.vhdx", "/srv/disk.vhdx", "smb", "smb:/x/y"])
def test_everything_else_is_a_local_path(text: str) -> None:
    assert parse_location(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("smb://nas", "share is missing"),
        ("smb://nas/", "share is missing"),
        ("smb:///vm/x", "host is missing"),
        ("smb://ann:secret@nas/vm/x", "password"),
        ("smb://nas:99999/vm/x", "port"),
        ("smb://nas:x/vm/x", "port"),
        ("smb://[::1/vm/x", "bracket"),
        ("smb://nas/vm/../other/x", "'..'"),
        ("smb://nas/vm/a%2fb", "slash"),
        ("smb://nas/vm/a\\b", "backslash"),
        ("smb://nas/vm/%ff", "UTF-8"),
        ("smb://nas/vm/x\udcff", "UTF-8"),
        ("smb://al\udcffice@nas/vm/x", "UTF-8"),
        ("smb://h\udcff/vm/x", "host"),
        ("smb://a..b/vm/x", "host"),
        (f"smb://{'a' * 64}.org/vm/x", "host"),
        (f"smb://nas/{'a' * 81}/x", "81 letters"),
    ],
)
def test_what_is_wrong_with_a_location_is_told(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        parse_location(text)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "secret" not in str(caught.value)


def test_a_previous_version_is_called_as_the_file() -> None:
    for path in ("@GMT-2024.05.17-03.00.00/a.vhdx", "a.vhdx/@GMT-2024.05.17-03.00.00"):
        url = parse_location(f"smb://ann@nas/vm/{path}")
        assert isinstance(url, SmbUrl)
        assert url.name == "a.vhdx"
        assert str(url) == f"smb://ann@nas/vm/{path}"


def test_a_copy_into_a_folder_keeps_the_name() -> None:
    folder = parse_location("smb://ann@nas:4450/vm/new folder/")
    assert isinstance(folder, SmbUrl)
    assert str(folder.inside("a.vhdx")) == "smb://ann@nas:4450/vm/new folder/a.vhdx"
    root = parse_location("smb://ann@nas/vm")
    assert isinstance(root, SmbUrl)
    assert str(root.inside("a.vhdx")) == "smb://ann@nas/vm/a.vhdx"
