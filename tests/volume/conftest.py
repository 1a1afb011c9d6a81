"""A fresh pool for each test that asks for `volume`; `volume.pool` is the pool."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from odxfs.volume import Volume, create_pool, open_pool
from tests.volume.ticking import Ticking


@pytest.fixture
def ticking() -> Ticking:
    """The clock of `volume`."""
    return Ticking()


@pytest.fixture
def volume(tmp_path: Path, ticking: Ticking) -> AbstractAsyncContextManager[Volume]:
    """The volume "main" of a new pool, open during the test."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Volume]:
        directory = tmp_path / "fresh-pool"
        create_pool(directory, clock=ticking)
        async with open_pool(directory, owner="test", clock=ticking) as pool:
            yield pool.volume("main")

    return opened()
