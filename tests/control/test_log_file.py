"""The log file outlasts every line that it is given."""

import logging
from pathlib import Path

from odxfs.observe.log_file import LogFile


def test_a_line_with_a_byte_that_is_no_text_is_written_and_so_is_the_next(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "log")
    for message in ("mountpoint=/mnt/\udcffq", "stopping=yes"):
        handler.emit(logging.LogRecord("odxfs", logging.INFO, __file__, 1, message, None, None))
    handler.close()
    assert (tmp_path / "log").read_text() == "mountpoint=/mnt/\\udcffq\nstopping=yes\n"
