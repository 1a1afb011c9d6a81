"""Small files as programs make them: a git repository that grows, is packed, cloned, checked and thrown away."""

import os
import shutil

from place import Place, Turns, run

COMMITS = 6
FILES = 40


def turns(place: Place) -> Turns:
    """One repository after another."""
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        variables |= {f"GIT_{role}_NAME": "soak", f"GIT_{role}_EMAIL": "soak@example"}
    while True:
        for name in ("repository", "clone"):
            shutil.rmtree(place.folder / name, ignore_errors=True)
        repository, clone = place.folder / "repository", place.folder / "clone"
        run("git", "init", "-q", repository, environment=variables)
        yield
        for commit in range(COMMITS):
            written = sum(_write_file(place, commit, number) for number in range(FILES))
            run("git", "-C", repository, "add", "-A", environment=variables)
            run("git", "-C", repository, "commit", "-q", "-m", f"{commit}", environment=variables)
            place.count(written=written)
            yield
        run("git", "-C", repository, "gc", "-q", environment=variables)
        yield
        run("git", "-C", repository, "fsck", "--full", environment=variables)
        yield
        run("git", "clone", "-q", "--no-hardlinks", repository, clone, environment=variables)
        _compare(place)
        yield


def _write_file(place: Place, commit: int, number: int) -> int:
    path = place.folder / "repository" / f"folder-{number % 5}" / f"file-{number}.txt"
    path.parent.mkdir(exist_ok=True)
    return path.write_text(f"commit {commit}, file {number}\n" * place.choice.randint(1, 400))


def _compare(place: Place) -> None:
    repository, clone = place.folder / "repository", place.folder / "clone"
    names = [path.relative_to(repository) for path in repository.rglob("*.txt")]
    for name in names:
        if (repository / name).read_bytes() != (clone / name).read_bytes():
            raise ValueError(f"{name} differs in a clone")
    if len(names) != FILES:
        raise ValueError(f"{len(names)} of {FILES} files are there")
    place.count(verified=sum((clone / name).stat().st_size for name in names))
