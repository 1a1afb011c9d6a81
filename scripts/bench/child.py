"""Measuring in a process of its own: its memory is the measurement's alone, and it can be killed."""

import multiprocessing
from collections.abc import Awaitable, Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar, cast

import trio

T = TypeVar("T")
Report = Callable[[object], None]


def in_child(work: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """What the async function returns, run by trio in a fresh process."""
    return cast(T, _run(work, arguments, kill=False))


def killed_after_report(work: Callable[..., Awaitable[None]], *arguments: object) -> dict[str, float]:
    """What the function hands to `report`, its first argument; it goes on until it is killed (SIGKILL) a moment later."""
    return cast(dict[str, float], _run(work, arguments, kill=True))


def _run(work: Callable[..., Awaitable[object]], arguments: tuple[object, ...], *, kill: bool) -> object:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_main, args=(there, work, arguments, kill))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise SystemExit(f"{work.__name__} ended without a result") from None
    finally:
        if kill:
            process.kill()
        process.join()


def _main(
    there: Connection, work: Callable[..., Awaitable[object]], arguments: tuple[object, ...], kill: bool
) -> None:
    if kill:
        trio.run(partial(work, there.send, *arguments))
    else:
        there.send(trio.run(partial(work, *arguments)))


def peak_mib() -> float:
    """The most memory that was resident since `forget_peak`, in MiB."""
    return _status("VmHWM")


def resident_mib(pid: int) -> float:
    """Resident memory of a process at this moment, in MiB."""
    return _status("VmRSS", pid)


def forget_peak() -> None:
    """Let `peak_mib` begin anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str, pid: int | str = "self") -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
