"""Pools that earlier versions left: this one opens them, brings them up to date and finds everything."""

import json
import subprocess
from pathlib import Path

import pytest

from odxfs.volume import check_directory, open_pool
from tests.volume.images.describe import describe_pool

IMAGES = Path(__file__).parent / "images"


def images() -> list[Path]:
    return sorted(IMAGES.glob("format-*.tar.xz"))


def test_there_are_images() -> None:
    assert (IMAGES / "format-1.tar.xz") in images()


@pytest.mark.parametrize("image", images(), ids=lambda image: image.name.partition(".")[0])
async def test_an_image_is_opened_and_whole(tmp_path: Path, image: Path) -> None:
    subprocess.run(["tar", "--extract", "--file", image, "--directory", tmp_path], check=True)
    expected = json.loads(image.with_suffix("").with_suffix(".json").read_text())
    async with open_pool(tmp_path / "pool", owner="next") as pool:
        volume = pool.volume("main")
        found = await describe_pool(pool)
        assert found == (expected if "main" in expected else {"main": expected})  # the first had one volume
        runs = await volume.lookup(volume.root, b"runs")
        await volume.write(runs, 0, b"goes on")
        assert await pool.check(read_data=True) == []
        await pool.commit()
        assert pool.statistics().pins == 0
    assert await check_directory(tmp_path / "pool", read_data=True) == []
