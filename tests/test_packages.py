"""What `pip install` takes along: every folder with code, since the list of packages is kept by hand."""

import tomllib
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_an_installed_odxfs_has_every_package() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = [file.parent.relative_to(PROJECT) for file in (PROJECT / "odxfs").rglob("__init__.py")]
    assert set(settings["packages"]) == {".".join(folder.parts) for folder in folders} | {"odxfs_mount"}
