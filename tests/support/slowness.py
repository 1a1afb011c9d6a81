"""What the log says of the machine that tests run on, which is no fault of what they test."""

SLOW_DISK = ("the disk does not answer", "the disk answers again")
"""Parts of lines that are true when a sync takes seconds, as it may where others write to the same disk."""


def is_of_this_machine(line: str) -> bool:
    """Whether a line of the log says only how slow it is here."""
    return any(part in line for part in SLOW_DISK)
