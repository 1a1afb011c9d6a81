"""Search for bytes that break a parser, led by which lines of the code they reach (atheris, libFuzzer for Python).

Each target of `tests/fuzzing/targets.py` runs in a process of its own, begins with its committed seeds, ends after `--seconds`.
What breaks one is left in the directory `--found` with the traceback on the terminal: fix the parser, and add the bytes to the
target's seeds in `tests/fuzzing/seeds/` as a line of hexadecimal digits, so that CI tries them from then on.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST_INPUT_BYTES = 4096
"""What one input has at most: every bound of the parsers that depends on length but those of whole frames lies below."""


def main() -> None:
    arguments = _arguments()
    if arguments.inside:
        _search(arguments.inside, arguments.seconds, arguments.found)
        return
    from tests.fuzzing.targets import TARGETS

    names = arguments.targets or list(TARGETS)
    unknown = set(names) - TARGETS.keys()
    if unknown:
        sys.exit(f"fuzz: there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    arguments.found.mkdir(parents=True, exist_ok=True)
    broken = [name for name in names if not _run(name, arguments.seconds, arguments.found)]
    for name in names:
        print(f"{name}: {'BROKEN' if name in broken else 'holds'}")
    sys.exit(1 if broken else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", help="all of them when none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where breaking inputs go")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(name: str, seconds: int, found: Path) -> bool:
    """Search one target in another process, which the search ends itself; whether nothing broke it."""
    command = [sys.executable, __file__, "--inside", name, "--seconds", str(seconds), "--found", str(found)]
    return subprocess.run(command, check=False).returncode == 0


def _search(name: str, seconds: int, found: Path) -> None:
    import atheris

    logging.disable()
    with atheris.instrument_imports(include=["odxfs"]):
        from tests.fuzzing.targets import TARGETS, seeds

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [
            sys.argv[0],
            corpus,
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST_INPUT_BYTES}",
            f"-artifact_prefix={found}/{name}-",
            "-rss_limit_mb=1024",
            "-timeout=10",
            "-print_final_stats=1",
        ]
        atheris.Setup(options, TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
