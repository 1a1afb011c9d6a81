"""What a serving process does with signals."""

import os
import signal
from collections.abc import Callable
from typing import NoReturn

import trio
from trio.testing import wait_all_tasks_blocked

from odxfs.serving.signals import Signals


async def test_a_reload_that_fails_unforeseen_leaves_the_process_to_the_next_signals(
    expect_log: Callable[[str], None],
) -> None:
    expect_log("signal=SIGHUP reload=failed")
    reloads = 0
    stopping, reloaded = trio.Event(), trio.Event()

    async def reload() -> None:
        nonlocal reloads
        reloads += 1
        reloaded.set()
        raise RecursionError("in something that was read")

    def never() -> NoReturn:
        raise AssertionError("only one signal asks for the end")

    signals = Signals(stop=stopping.set, stop_now=never, reload=reload)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.obey)
            await wait_all_tasks_blocked()
            for count in (1, 2):
                os.kill(os.getpid(), signal.SIGHUP)
                await reloaded.wait()
                reloaded = trio.Event()
                assert reloads == count
            os.kill(os.getpid(), signal.SIGTERM)
            await stopping.wait()
            nursery.cancel_scope.cancel()
