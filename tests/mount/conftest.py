"""One mounted pool for all tests of a module; each test gets a directory of its own on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.command import MountedPool, mounted_pool


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MountedPool]:
    """A pool mounted by `odxfs mount`; when the module is done it must be clean."""
    with mounted_pool(tmp_path_factory.mktemp("mounted")) as mounted:
        yield mounted


@pytest.fixture
def folder(pool: MountedPool, request: pytest.FixtureRequest) -> Path:
    """An empty directory on the mount, that others may search."""
    directory: Path = pool.mountpoint / request.node.name.replace("/", "-")
    directory.mkdir()
    directory.chmod(0o755)
    return directory
