"""Programs that people run on a file system every day."""

import hashlib
import os
from pathlib import Path

from tests.mount.command import run

DOCUMENTS = Path("/usr/share/doc")


def digests(directory: Path) -> dict[str, str]:
    """Relative path -> sha256 of every regular file."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def some_documents(base: Path) -> Path:
    """Half a thousand real files and links, with their owners and times."""
    source = base / "documents"
    source.mkdir()
    chosen = sorted(DOCUMENTS.iterdir())[:150]
    run("cp", "-a", *chosen, source)
    return source


def test_cp_keeps_everything(folder: Path, tmp_path: Path) -> None:
    source = some_documents(tmp_path)
    run("cp", "-a", source, folder / "copy")
    run("diff", "-r", "--no-dereference", source, folder / "copy")
    times = ["find", ".", "-printf", "%p %y %m %U %G %T@ %l\n"]
    listed = [sorted(run("env", "-C", place, *times).splitlines()) for place in (source, folder / "copy")]
    assert listed[0] == listed[1]


def test_tar_packs_and_unpacks(folder: Path, tmp_path: Path) -> None:
    source = some_documents(tmp_path)
    run("tar", "-C", source, "-cf", folder / "archive.tar", ".")
    (folder / "unpacked").mkdir()
    run("tar", "-C", folder / "unpacked", "-xf", folder / "archive.tar")
    assert digests(folder / "unpacked") == digests(source)
    run("rm", "-r", folder / "unpacked")
    assert not (folder / "unpacked").exists()


def test_git_clones_and_commits(folder: Path, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    run("git", "init", "-q", "-b", "main", origin)
    for number in range(200):
        (origin / f"file-{number}").write_bytes(os.urandom(2_000))
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0"]
    run("git", "-C", origin, *identity, "add", ".")
    run("git", "-C", origin, *identity, "commit", "-qm", "one")
    run("git", "clone", "-q", "--no-hardlinks", origin, folder / "clone")
    (folder / "clone" / "file-7").write_bytes(b"changed")
    status = run("git", "-C", folder / "clone", "status", "--porcelain")
    assert status == b" M file-7\n"
    run("git", "-C", folder / "clone", *identity, "commit", "-qam", "two")
    run("git", "-C", folder / "clone", *identity, "gc", "-q")
    run("git", "-C", folder / "clone", "fsck", "--full", "--strict")
    assert (folder / "clone" / "file-8").read_bytes() == (origin / "file-8").read_bytes()


def test_fio_verifies_what_it_wrote(folder: Path) -> None:
    common = [
        "--verify=crc32c",
        "--verify_state_save=0",
        "--verify_fatal=1",
        "--do_verify=1",
        f"--directory={folder}",
        "--size=16m",
    ]
    run("fio", "--name=random", "--rw=randwrite", "--bs=4k", "--ioengine=psync", "--fsync=512", *common)
    run("fio", "--name=mixed", "--rw=randwrite", "--bsrange=512-64k", "--ioengine=psync", *common)
    run("fio", "--name=mapped", "--rw=randwrite", "--bs=4k", "--ioengine=mmap", *common)


def test_sqlite_keeps_a_database(folder: Path) -> None:
    database = folder / "numbers.db"
    script = (
        "PRAGMA journal_mode=WAL; CREATE TABLE n(x INTEGER PRIMARY KEY, y TEXT);"
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<5000)"
        " INSERT INTO n SELECT i, hex(randomblob(40)) FROM c;"
        "UPDATE n SET y='even' WHERE x%2=0; DELETE FROM n WHERE x%5=0;"
    )
    run("sqlite3", database, stdin=script.encode())
    answer = run("sqlite3", database, "PRAGMA integrity_check; SELECT count(*), sum(x) FROM n;")
    assert answer.decode().split() == ["ok", "4000|10000000"]
    run("sqlite3", database, "PRAGMA journal_mode=DELETE; VACUUM;")
    assert run("sqlite3", database, "SELECT count(*) FROM n WHERE y='even';") == b"2000\n"
