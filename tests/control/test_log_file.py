"""A log outlasts every line that it is given, and whoever reads it."""

import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from odxfs.observe.log_file import LogFile, LogStream


def emit(handler: logging.Handler, *messages: str) -> None:
    for message in messages:
        handler.emit(logging.LogRecord("odxfs", logging.INFO, __file__, 1, message, None, None))


def test_a_line_with_a_byte_that_is_no_text_is_written_and_so_is_the_next(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "log")
    emit(handler, "mountpoint=/mnt/\udcffq", "stopping=yes")
    handler.close()
    assert (tmp_path / "log").read_text() == "mountpoint=/mnt/\\udcffq\nstopping=yes\n"


def test_a_log_is_bounded_and_begins_again(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "log", largest_bytes=1000)
    messages = [f"line {number:03}" for number in range(500)]
    emit(handler, *messages)
    handler.close()
    parts = [tmp_path / "log.1", tmp_path / "log"]
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]
    assert all(part.stat().st_size <= 1000 and stat.S_IMODE(part.stat().st_mode) == 0o600 for part in parts)
    kept = "".join(part.read_text() for part in parts).splitlines()
    assert len(kept) > 100
    assert kept == messages[-len(kept) :]


@pytest.mark.parametrize("move", [lambda log: log.rename(f"{log}.old"), Path.unlink])
def test_a_log_that_is_moved_away_is_made_anew(tmp_path: Path, move: Callable[[Path], object]) -> None:
    handler = LogFile(tmp_path / "log")
    emit(handler, "before")
    move(tmp_path / "log")
    emit(handler, "after")
    handler.close()
    assert (tmp_path / "log").read_text() == "after\n"


def test_nobody_waits_for_who_does_not_read_the_log(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    handler = LogStream(writing)
    messages = [f"{number:04} {'x' * 1000}" for number in range(500)]  # a pipe holds 64 KiB
    logging_all = threading.Thread(target=emit, args=(handler, *messages), daemon=True)
    logging_all.start()
    logging_all.join(60)
    assert not logging_all.is_alive()
    with os.fdopen(reading) as pipe:
        assert [pipe.readline() for _ in messages] == [f"{message}\n" for message in messages]
    handler.close()
    os.close(writing)
