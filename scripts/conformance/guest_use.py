"""The guest's part that a shell cannot do: run as `python3 guest_use.py DIALECT` in a folder of the share.

Prints "ok" at the end, or what was not as it has to be. A line "HOST ..." asks the host, which has the same volume mounted,
and the answer is the next line of input. In 2.1 the kernel's client neither punches holes nor clones, and says so.
"""

import errno
import fcntl
import hashlib
import os
import subprocess
import sys

MIB = 1024 * 1024
FICLONE = 0x40049409
DATA = os.urandom(MIB)
WITHOUT_HOLES_AND_CLONES = "2.1"


def main() -> None:
    dialect = sys.argv[1]
    try:
        use_locks()
        use_copies(dialect)
        use_holes(dialect)
        use_attributes()
        share_with_the_host()
    except (AssertionError, OSError, EOFError) as error:
        where = error.__traceback__.tb_next  # of these functions
        print(f"{where.tb_frame.f_code.co_name} line {where.tb_lineno}: {error!r}")
    else:
        print("ok")


def ask(*words: object) -> str:
    print("HOST", *words, file=sys.stderr, flush=True)
    return input().strip()


def put(name: str, data: bytes = DATA) -> int:
    """A new file with that content, open."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    assert os.write(fd, data) == len(data)
    return fd


def use_locks() -> None:
    """A range that is locked here is locked for another process and for programs on the host, and is free afterwards."""
    fd = put("locked")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 50)
    child = os.fork()
    if child == 0:
        try:
            fcntl.lockf(os.open("locked", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 60)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "another process has locked it, too"
    assert ask("lock", "locked", 60, 1) == "refused", "the host has locked it, too"
    assert ask("lock", "locked", 200, 10) == "taken", "the host cannot lock what is free"
    fcntl.lockf(fd, fcntl.LOCK_UN, 100, 50)
    assert ask("lock", "locked", 60, 1) == "taken", "the host cannot lock what is free again"
    os.close(fd)


def use_copies(dialect: str) -> None:
    """copy_file_range and FICLONE are done by the server."""
    source, target = put("source"), put("target", b"")
    os.fsync(source)
    before = int(ask("copied", "copychunk"))
    done = 0
    while done < MIB:
        done += os.copy_file_range(source, target, MIB - done, done, done)
    assert int(ask("copied", "copychunk")) - before >= MIB, "the client has copied by itself"
    assert os.pread(target, MIB + 1, 0) == DATA
    clone = put("clone", b"")
    try:
        fcntl.ioctl(clone, FICLONE, source)
    except OSError as error:
        if dialect != WITHOUT_HOLES_AND_CLONES or error.errno != errno.EOPNOTSUPP:
            raise
    else:
        assert os.pread(clone, MIB + 1, 0) == DATA
    for fd in (source, target, clone):
        os.close(fd)


def use_holes(dialect: str) -> None:
    """A punched hole reads as zeros and frees blocks."""
    os.close(put("holed"))
    before = int(ask("blocks", "holed"))
    words = ["fallocate", "--punch-hole", "--offset", "262144", "--length", "524288", "holed"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        assert dialect == WITHOUT_HOLES_AND_CLONES, done.stderr
        assert "supported" in done.stderr, done.stderr
        return
    with open("holed", "rb") as file:
        assert file.read() == DATA[:262144] + bytes(524288) + DATA[786432:], (
            "the hole is not where it has to be"
        )
    assert before - int(ask("blocks", "holed")) >= 1024, "the hole has freed no blocks"


def use_attributes() -> None:
    """Extended attributes: set, read, listed, removed."""
    os.close(put("attributed"))
    os.setxattr("attributed", "user.colour", b"blue")
    os.setxattr("attributed", "user.size", b"x" * 1000)
    assert os.getxattr("attributed", "user.colour") == b"blue"
    assert {name.lower() for name in os.listxattr("attributed")} >= {"user.colour", "user.size"}
    os.removexattr("attributed", "user.colour")
    assert "user.colour" not in {name.lower() for name in os.listxattr("attributed")}
    assert os.getxattr("attributed", "user.size") == b"x" * 1000


def share_with_the_host() -> None:
    """What one writes the other reads, though the guest caches the file: a program on the host breaks the guest's lease."""
    fd = put("shared")
    for number in range(3):
        mine = f"guest {number}".encode() * 1000
        assert os.pwrite(fd, mine, 0) == len(mine)  # in the guest's page cache, as long as it has the lease
        now = mine + DATA[len(mine) :]
        assert ask("hash", "shared") == hashlib.sha256(now).hexdigest(), (
            "the host has not read what was written here"
        )
        assert ask("write", "shared", 9000, f"host-{number}") == "done"
        assert os.pread(fd, 6, 9000) == f"host-{number}".encode(), (
            "what the host has written is not read here"
        )
        os.pwrite(fd, DATA[9000:9006], 9000)
    os.close(fd)


main()
