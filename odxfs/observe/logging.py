"""The log of a running odxfs: one line an event, key=value pairs, times in UTC."""

import logging
import sys
import time
from pathlib import Path

from odxfs.observe.log_file import LogFile, LogStream


class KeyValueFormatter(logging.Formatter):
    """`time=... level=... logger=... event="..."`; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback if there is one."""
        moment = self.formatTime(record)
        message = record.getMessage().replace("\n", " ")
        line = f"time={moment} level={record.levelname.lower()} logger={record.name} {_as_pairs(message)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Milliseconds and a Z behind the seconds."""
        seconds = time.strftime(datefmt or "%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"


def _as_pairs(message: str) -> str:
    """Messages written as key=value stay as they are, plain sentences become `event="..."`."""
    first = message.split(" ", 1)[0]
    if "=" in first:
        return message
    escaped = message.replace('"', "'")
    return f'event="{escaped}"'


def configure_logging(file: Path | None = None, *, level: int = logging.INFO) -> None:
    """Send the log of this process to `file`, appended and readable by its owner only, or to stderr."""
    handler: logging.Handler = LogStream(sys.stderr.fileno()) if file is None else LogFile(file)
    handler.setFormatter(KeyValueFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("odxfs").setLevel(level)
