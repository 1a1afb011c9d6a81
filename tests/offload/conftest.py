"""A scene for every test of this folder that asks for one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from odxfs.volume import create_pool, open_pool
from tests.offload.scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> AbstractAsyncContextManager[Scene]:
    """A scene on a fresh pool, which must be undamaged and without pins at the end."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Scene]:
        create_pool(tmp_path / "pool")
        async with open_pool(tmp_path / "pool", owner="test") as pool:
            scene = Scene(pool.volume("main"))
            yield scene
            scene.engine.close()
            await pool.commit()
            assert pool.statistics().pinned_only_bytes == 0
            assert await pool.check() == []

    return opened()
