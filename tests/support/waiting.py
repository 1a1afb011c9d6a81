"""Waiting for what others do, in a test."""

from collections.abc import Callable

import trio


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until it holds; a test that never gets there is ended."""
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.005)
