"""What every test gets: trio under `async def` tests, a clean log, and fixtures for a fresh pool."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test under trio; with the mark `mock_clock` on a clock that jumps when every task waits.

    A fixture whose value is an async context manager is entered around the test, which gets what it yields.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    clock = None
    if pyfuncitem.get_closest_marker("mock_clock") is not None:
        clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(functools.partial(_run_entered, pyfuncitem.obj, arguments), clock=clock)
    return True


async def _run_entered(test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        for name, value in arguments.items():
            if isinstance(value, AbstractAsyncContextManager):
                arguments[name] = await stack.enter_async_context(value)
        await test(**arguments)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.expected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def unexpected(self) -> list[str]:
        return [line for line in self.lines if not any(part in line for part in self.expected)]


@pytest.fixture(autouse=True)
def clean_log() -> Iterator[_Collector]:
    """Fail the test when odxfs logs a warning or worse that it did not announce with `expect_log`."""
    collector = _Collector()
    logger = logging.getLogger("odxfs")
    logger.addHandler(collector)
    yield collector
    logger.removeHandler(collector)
    if collector.unexpected():
        pytest.fail("unexpected in the log: " + "; ".join(collector.unexpected()))


@pytest.fixture
def expect_log(clean_log: _Collector) -> Callable[[str], None]:
    """`expect_log(part)` says that log lines containing `part` are part of this test."""
    return clean_log.expected.append
