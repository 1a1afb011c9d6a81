"""Whether a file that is appended to still has its name: people move logs away, or remove them to begin anew."""

import os
from pathlib import Path


def has_moved(descriptor: int, path: Path) -> bool:
    """Whether `path` is another file by now, or none. Raises OSError."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return True
