"""A scrub beside everything else that a process serves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from odxfs.control.arguments import Arguments
from odxfs.scrubbing import Scrubbing
from odxfs.volume.checking.scrub import Scrub
from tests.support.serving import serve


async def ended(scrubbing: Scrubbing) -> tuple[str, str]:
    """State and error of the scrub that was started."""
    with trio.fail_after(60):
        while (told := await scrubbing.commands["scrub-status"](Arguments({})))["is_running"]:
            await trio.sleep(0.01)
    return told["progress"]["state"], told["progress"]["error"]


async def test_a_scrub_that_fails_unforeseen_ends_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expect_log: Callable[[str], None]
) -> None:
    expect_log("a scrub failed unforeseen")

    async def stumble(*_: object) -> None:
        raise ValueError("over a row")

    async with serve(tmp_path) as served, trio.open_nursery() as nursery:
        scrubbing = Scrubbing()
        await nursery.start(scrubbing.run, served.pool)
        with monkeypatch.context() as patch:
            patch.setattr(Scrub, "_walk", stumble)
            await scrubbing.commands["scrub-start"](Arguments({}))
            state, error = await ended(scrubbing)
        assert (state, "over a row" in error) == ("failed", True)
        await scrubbing.commands["scrub-start"](Arguments({}))
        assert await ended(scrubbing) == ("complete", "")
        nursery.cancel_scope.cancel()
