"""One client of the soak in a process of its own: takes turns, and rests after each for as long as its share of time asks.

client.py NAME WORK PORT SHARE_OF_TIME
"""

import importlib
import shutil
import sys
import time
from pathlib import Path

from place import Place

LONGEST_REST_SECONDS = 20.0


def main() -> None:
    """Work until killed or wrong."""
    name, work, port, part = sys.argv[1:]
    place = Place(Path(work), int(port), name)
    shutil.rmtree(place.scratch)
    place.scratch.mkdir()
    place.folder.mkdir(exist_ok=True)
    began = time.monotonic()
    for _ in importlib.import_module(f"by_{place.kind}").turns(place):
        spent = time.monotonic() - began
        time.sleep(min(LONGEST_REST_SECONDS, spent * (1 - float(part)) / float(part)))
        began = time.monotonic()


if __name__ == "__main__":
    main()
