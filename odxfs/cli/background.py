"""Staying behind as a daemon: the command returns when the work is live, or with the reason why it is not."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from odxfs.errors import ExitCode, OdxfsError, UserError
from odxfs.file_owner import open_or_create
from odxfs.observe.logging import configure_logging

log = logging.getLogger("odxfs.serving")

Work = Callable[[Callable[[dict[str, Any]], None]], None]
"""Called with `ready`, which it calls once with what there is to say; returns when all is over."""


def run_in_background(work: Work, log_file: Path) -> dict[str, Any]:
    """Run `work` in a child that outlives this process; returns what it was ready with.

    Must be called before any thread or event loop exists. Raises the UserError that `work` raised before it was ready, and
    OSError when there can be no log.
    """
    os.close(open_or_create(log_file, os.O_WRONLY | os.O_APPEND))
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_daemon(work, log_file, writing)
    os.close(writing)
    try:
        message = _read_message(reading)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        raise
    return _judge(message, child, log_file)


def _be_daemon(work: Work, log_file: Path, writing: int) -> NoReturn:
    """The child: a session of its own, no terminal, stdout and stderr in the log. Never returns."""
    code = int(ExitCode.BUG)
    try:
        os.setsid()
        _redirect(log_file)
        configure_logging(log_file)
        code = _work(work, log_file, writing)
    finally:
        logging.shutdown()
        os._exit(code)


def _work(work: Work, log_file: Path, writing: int) -> int:
    told = False

    def tell(message: dict[str, Any]) -> None:
        nonlocal told
        if not told:
            told = True
            with suppress(BrokenPipeError):  # who asked for it has been killed, and did not take it back
                os.write(writing, json.dumps(message).encode() + b"\n")
            os.close(writing)

    try:
        work(lambda live: tell({"live": live}))
    except OdxfsError as error:
        exit_code = error.exit_code if isinstance(error, UserError) else ExitCode.CORRUPT
        log.error("event=stopped error=%r", str(error))
        tell({"error": str(error), "exit_code": int(exit_code)})
        return exit_code
    except BaseException as error:
        log.exception("event=stopped error=%r", str(error))
        tell(
            {"error": f"a defect ended the server: {error!r}; see {log_file}", "exit_code": int(ExitCode.BUG)}
        )
        return ExitCode.BUG
    return ExitCode.OK


def _redirect(log_file: Path) -> None:
    """What C libraries print (libfuse does) belongs in the log; a daemon must not hold its caller's pipes."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)


def _read_message(reading: int) -> bytes:
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read()


def _judge(message: bytes, child: int, log_file: Path) -> dict[str, Any]:
    if not message:
        _, status = os.waitpid(child, 0)
        ended = os.waitstatus_to_exitcode(status)
        raise UserError(
            f"the server process ended with {ended} before it was ready; see {log_file}", ExitCode.BUG
        )
    answer = json.loads(message)
    if "error" in answer:
        os.waitpid(child, 0)
        raise UserError(answer["error"], ExitCode(answer["exit_code"]))
    live: dict[str, Any] = answer["live"]
    return live
