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
from hypothesis import HealthCheck, settings

from tests.support.slowness import is_of_this_machine

LONGEST = (
    "tests/mount/test_full_disk.py",
    "tests/crash/test_every_error.py",
    "tests/peers/test_processes.py",
    "tests/mount/test_faulty_device.py",
    "tests/crash/test_power_cut.py",
    "tests/mount/test_kill.py",
    "tests/volume/test_model.py",
    "tests/interop/test_copy_trees.py",
    "tests/mount/test_checks.py",
    "tests/serving/test_reload.py",
    "tests/mount/test_like_tmpfs.py",
    "tests/codec/test_round_trip.py",
    "tests/interop/test_copy_refusals.py",
    "tests/serving/test_moments.py",
    "tests/mount/test_cli.py",
    "tests/mount/test_cli_snapshots.py",
    "tests/serving/test_svms.py",
    "tests/interop/test_copy_kill.py",
    "tests/offload/test_hostile.py",
    "tests/interop/test_smbclient.py",
    "tests/mount/test_programs.py",
    "tests/serving/test_tokens.py",
    "tests/volume/test_repair.py",
    "tests/peers/test_refusals.py",
    "tests/mount/test_local_copies.py",
    "tests/volume/test_reclaim.py",
    "tests/mount/test_permissions.py",
)
"""Files that take more than ten seconds, the longest first."""

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: one that were begun last would keep one process busy and the others idle."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


class LogCollector(logging.Handler):
    """Keeps `lines` of WARNING and worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self.expected: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def unexpected(self) -> list[str]:
        return [line for line in self.lines if not (is_of_this_machine(line) or self._is_expected(line))]

    def _is_expected(self, line: str) -> bool:
        return any(part in line for part in self.expected)


@pytest.fixture(autouse=True)
def clean_log() -> Iterator[LogCollector]:
    """Fail the test when odxfs logs a warning or worse that it did not announce with `expect_log`."""
    collector = LogCollector()
    logger = logging.getLogger("odxfs")
    logger.addHandler(collector)
    yield collector
    logger.removeHandler(collector)
    if collector.unexpected():
        pytest.fail("unexpected in the log: " + "; ".join(collector.unexpected()))


@pytest.fixture
def expect_log(clean_log: LogCollector) -> Callable[[str], None]:
    """`expect_log(part)` says that log lines containing `part` are part of this test."""
    return clean_log.expected.append
