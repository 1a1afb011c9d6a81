"""What follows when a user or a share is removed while a process serves the pool."""

from pathlib import Path

from odxfs.cli.output import say
from odxfs.control.client import NotServed, ask, understood


def end_withdrawn(directory: Path) -> None:
    """Have the serving process, if there is one, end what clients still have of it, and say what that was.

    Raises UserError when it does not.
    """
    try:
        ended = ask(directory, "end_withdrawn", timeout=None)
    except NotServed:
        return
    with understood(directory):
        counts = {"session": ended.get("sessions", 0), "tree connect": ended.get("trees", 0)}
        lines = [
            f"{count} {noun}{'s have' if count > 1 else ' has'} ended"
            for noun, count in counts.items()
            if count
        ]
    for line in lines:
        say(line)
