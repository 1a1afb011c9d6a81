"""fcntl(2), OFD and flock(2) locks between local programs, and what the share sees of them, on a real mount and share."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from odxfs.ntstatus import Status
from odxfs.wire.header import Command
from odxfs.wire.lock import LockElement, LockFlags, LockRequest
from odxfs.wire.read import ReadRequest
from odxfs.wire.write import WriteRequest
from tests.mount.command import mounted_pool, run
from tests.mount.inside import on
from tests.mount.locking import EXCLUSIVE, SHARED, Both, Program, mounted_and_shared
from tests.support.peer import Refused

DONE = "None"


def refused(status: Status) -> "pytest.RaisesExc[Refused]":
    return pytest.raises(Refused, check=lambda error: error.status == status)


async def read_status(both: Both, offset: int) -> Status:
    return Status((await both.peer.answer(Command.READ, ReadRequest(both.fid, offset, 10, 0))).header.status)


async def write_status(both: Both, offset: int) -> Status:
    answer = await both.peer.answer(Command.WRITE, WriteRequest(both.fid, offset, b"0123456789", 0))
    return Status(answer.header.status)


async def test_two_programs_meet_in_ranges(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK, 100, 100)") == DONE
        assert await two.do("lock(fd, F_RDLCK, 199, 1)") == "EAGAIN"
        assert await two.do("lock(fd, F_WRLCK, 200, 100)") == DONE
        assert await one.do("lock(fd, F_RDLCK, 100, 50)") == DONE
        assert await two.do("lock(fd, F_RDLCK, 100, 50)") == DONE
        assert await two.do("lock(fd, F_WRLCK, 100, 50)") == "EAGAIN"
        assert await one.do("lock(fd, F_UNLCK, 0, 0)") == DONE
        assert await two.do("lock(fd, F_WRLCK, 0, 0)") == DONE
        assert both.opens.count_locks() == 1, "ranges of one kind that touch are one"


async def test_f_getlk_names_the_holder(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK, 100, 20), lock(fd, F_RDLCK, 200)") == "(None, None)"
        assert await two.do("ask(fd, F_RDLCK, 0, 0)") == f"('exclusive', 100, 20, {one.pid})"
        assert await two.do("ask(fd, F_WRLCK, 150, 0)") == f"('shared', 200, 0, {one.pid})"
        assert (await two.do("ask(fd, F_RDLCK, 150, 0)")).startswith("('free', 150, 0")
        assert (await one.do("ask(fd, F_WRLCK, 0, 0)")).startswith("('free'")
        await both.lock(150, 10)
        assert await two.do("ask(fd, F_RDLCK, 155, 1)") == "('exclusive', 150, 10, 0)"


async def test_a_program_loses_its_locks_with_any_descriptor_of_the_file(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK)") == DONE
        assert await two.do("lock(fd, F_WRLCK)") == "EAGAIN"
        assert await one.do("os.close(os.open(sys.argv[1], os.O_RDONLY))") == DONE
        assert await two.do("lock(fd, F_WRLCK)") == DONE


async def test_a_child_inherits_flock_and_no_fcntl_lock(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK), fcntl.flock(fd, LOCK_EX)") == "(None, None)"
        assert await one.do("os.waitstatus_to_exitcode(os.waitpid(os.fork() or os._exit(7), 0)[1])") == "7"
        assert await two.do("lock(fd, F_RDLCK)") == "EAGAIN"
        assert await two.do("fcntl.flock(fd, LOCK_SH | LOCK_NB)") == "EAGAIN"


async def test_ofd_locks_belong_to_the_open(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK, 0, 10, ofd=True)") == DONE
        assert await one.do("globals().update(other=os.open(sys.argv[1], os.O_RDWR))") == DONE
        assert await one.do("lock(other, F_WRLCK, 5, 10, ofd=True)") == "EAGAIN"
        assert await one.do("lock(fd, F_WRLCK, 5, 10)") == "EAGAIN", (
            "a process is another owner than its open"
        )
        assert await one.do("os.close(other)") == DONE
        assert await two.do("lock(fd, F_RDLCK, 0, 1)") == "EAGAIN", "closing another open does not unlock"
        assert await one.do("os.close(fd)") == DONE
        await both.until_free()
        assert await two.do("lock(fd, F_RDLCK, 0, 1)") == DONE


async def test_flock_is_shared_or_exclusive_and_knows_no_fcntl(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("fcntl.flock(fd, LOCK_SH)") == DONE
        assert await two.do("fcntl.flock(fd, LOCK_SH | LOCK_NB)") == DONE
        assert await two.do("lock(fd, F_WRLCK)") == DONE
        assert await one.do("fcntl.flock(fd, LOCK_EX | LOCK_NB)") == "EAGAIN"
        assert await two.do("fcntl.flock(fd, LOCK_EX | LOCK_NB)") == DONE, (
            "a change that fails gives up the lock"
        )
        assert await one.do("fcntl.flock(fd, LOCK_SH | LOCK_NB)") == "EAGAIN"
        assert await two.do("fcntl.flock(fd, LOCK_UN)") == DONE
        assert await one.do("fcntl.flock(fd, LOCK_EX | LOCK_NB)") == DONE


@pytest.mark.parametrize("waiting", ["wait(fd, F_WRLCK, 0, 10)", "wait(fd, F_WRLCK, 0, 10, ofd=True)"])
@pytest.mark.parametrize("end", ["unlock", "downgrade", "close", "exit", "kill"])
async def test_who_waits_is_woken(tmp_path: Path, waiting: str, end: str) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK, 5, 10)") == DONE
        await on(two.say, waiting if end != "downgrade" else waiting.replace("F_WRLCK", "F_RDLCK"))
        await both.until_somebody_waits()
        if end == "exit":
            await on(one.end)
        elif end == "kill":
            await on(one.kill)
        else:
            steps = {"unlock": "lock(fd, F_UNLCK)", "downgrade": "lock(fd, F_RDLCK)", "close": "os.close(fd)"}
            assert await one.do(steps[end]) == DONE
        assert await on(two.hear) == DONE


@pytest.mark.parametrize("end", ["unlock", "exit", "kill"])
async def test_who_waits_in_flock_is_woken(tmp_path: Path, end: str) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("fcntl.flock(fd, LOCK_EX)") == DONE
        await on(two.say, "fcntl.flock(fd, LOCK_SH)")
        await both.until_somebody_waits()
        if end == "unlock":
            assert await one.do("fcntl.flock(fd, LOCK_UN)") == DONE
        else:
            await on(one.end if end == "exit" else one.kill)
        assert await on(two.hear) == DONE


@pytest.mark.parametrize("waiting", ["wait(fd, F_WRLCK)", "fcntl.flock(fd, LOCK_EX)"])
async def test_a_signal_ends_the_waiting(tmp_path: Path, waiting: str) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two, three = await both.program(), await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK), fcntl.flock(fd, LOCK_EX)") == "(None, None)"
        await on(two.say, waiting)
        await on(three.say, waiting)
        await both.until_somebody_waits(2)
        os.kill(two.pid, signal.SIGUSR1)
        assert await on(two.hear) == "EINTR"
        await on(three.kill)
        await on(one.end)
        await both.until_free()
        assert await two.do(waiting) == DONE


async def test_locks_of_the_share_stand_in_the_way_of_programs(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        await both.lock(100, 10)
        assert await program.do("lock(fd, F_RDLCK, 109, 1)") == "EAGAIN"
        assert await program.do("lock(fd, F_RDLCK, 110, 1)") == DONE
        assert await program.do("fcntl.flock(fd, LOCK_SH | LOCK_NB)") == "EAGAIN"
        assert await program.do("os.pread(fd, 1, 100)") == "EAGAIN", "the share's locks are mandatory"
        await both.unlock(100, 10)
        await both.lock(100, 10, SHARED)
        assert await program.do("lock(fd, F_RDLCK, 100, 1)") == DONE
        assert await program.do("lock(fd, F_WRLCK, 100, 1)") == "EAGAIN"
        assert await program.do("fcntl.flock(fd, LOCK_SH | LOCK_NB)") == DONE
        await on(program.say, "wait(fd, F_WRLCK, 100, 1)")
        await both.until_somebody_waits()
        await both.unlock(100, 10)
        assert await on(program.hear) == DONE


async def test_the_share_keeps_what_it_has_locked_from_being_truncated(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        await both.lock(100, 10)
        assert await program.do("os.open(sys.argv[1], os.O_RDWR | os.O_TRUNC)") == "EAGAIN"
        assert await program.do("os.truncate(sys.argv[1], 105)") == "EAGAIN"
        assert await program.do("os.truncate(fd, 110), os.fstat(fd).st_size") == "(None, 110)"
        await both.unlock(100, 10)
        assert await program.do("os.close(os.open(sys.argv[1], os.O_RDWR | os.O_TRUNC))") == DONE
        assert await program.do("os.fstat(fd).st_size") == "0"


async def test_locks_of_programs_stand_in_the_way_of_the_share(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        assert await program.do("lock(fd, F_WRLCK, 100, 10), lock(fd, F_RDLCK, 200, 10)") == "(None, None)"
        with refused(Status.LOCK_NOT_GRANTED):
            await both.lock(100, 1, SHARED)
        with refused(Status.LOCK_NOT_GRANTED):
            await both.lock(209, 10)
        await both.lock(209, 10, SHARED)
        request = LockRequest(both.fid, (LockElement(90, 20, LockFlags.EXCLUSIVE_LOCK),))
        message = await both.peer.send(Command.LOCK, request)
        assert (await both.peer.next_response(message)).interim
        assert await program.do("lock(fd, F_UNLCK, 100, 10)") == DONE
        assert (await both.peer.final(message)).header.status == Status.SUCCESS


async def test_reads_and_writes_of_the_share_meet_the_locks_of_programs(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        assert await program.do("lock(fd, F_WRLCK, 100, 10), lock(fd, F_RDLCK, 200, 10)") == "(None, None)"
        assert await read_status(both, 95) == await write_status(both, 95) == Status.FILE_LOCK_CONFLICT
        assert await read_status(both, 205) == Status.SUCCESS
        assert await write_status(both, 205) == Status.FILE_LOCK_CONFLICT
        assert await read_status(both, 110) == await write_status(both, 90) == Status.SUCCESS
        assert await program.do("lock(fd, F_UNLCK)") == DONE
        assert await write_status(both, 100) == Status.SUCCESS


async def test_a_flock_is_a_lock_of_the_whole_file_to_the_share(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        assert await program.do("fcntl.flock(fd, LOCK_SH)") == DONE
        assert await read_status(both, 0) == Status.SUCCESS
        assert await write_status(both, 10_000) == Status.FILE_LOCK_CONFLICT
        await both.lock(0, 10, SHARED)
        with refused(Status.LOCK_NOT_GRANTED):
            await both.lock(2**62, 1)
        await both.unlock(0, 10)
        assert await program.do("fcntl.flock(fd, LOCK_EX)") == DONE
        assert await read_status(both, 0) == Status.FILE_LOCK_CONFLICT
        await both.lock(2**63, 1, EXCLUSIVE)


async def test_programs_read_and_write_what_others_of_them_have_locked(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK), fcntl.flock(fd, LOCK_EX)") == "(None, None)"
        assert await two.do("os.pwrite(fd, b'new', 0), os.pread(fd, 3, 0)") == "(3, b'new')"
        assert await two.do("os.truncate(fd, 3), os.fstat(fd).st_size") == "(None, 3)"


async def test_the_mount_ends_while_somebody_waits(tmp_path: Path) -> None:
    async with mounted_and_shared(tmp_path) as both:
        one, two = await both.program(), await both.program()
        assert await one.do("lock(fd, F_WRLCK)") == DONE
        await on(two.say, "wait(fd, F_WRLCK)")
        await both.until_somebody_waits()
        both.mounted.cancel()
        with trio.CancelScope(shield=True):
            assert await on(two.hear) == "EIO"


async def test_a_file_has_a_bound_of_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odxfs.opens.advisory_locks.MAX_ADVISORY_LOCKS_PER_FILE", 2)
    async with mounted_and_shared(tmp_path) as both:
        program = await both.program()
        assert await program.do("lock(fd, F_WRLCK, 0, 10), lock(fd, F_WRLCK, 20, 10)") == "(None, None)"
        assert await program.do("lock(fd, F_WRLCK, 40, 10)") == "ENOLCK"
        assert await program.do("lock(fd, F_UNLCK, 2, 2)") == "ENOLCK"
        assert await program.do("lock(fd, F_WRLCK, 0, 30)") == DONE


def test_without_the_extension_locks_of_programs_are_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODXFS_MOUNT_EXTENSION", "0")
    with mounted_pool(tmp_path) as plain:
        assert (
            "locks of local programs are not seen by the share" in (plain.directory / "odxfs.log").read_text()
        )
        path = plain.mountpoint / "file"
        path.touch()
        one, two = Program(path), Program(path)
        answers = []
        for program in (one, two):
            program.say("lock(fd, F_WRLCK, 0, 10) or fcntl.flock(fd, LOCK_EX | LOCK_NB)")
            answers.append(program.hear())
        one.end()
        two.end()
        assert answers == [DONE, "EAGAIN"]


MAKE = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(f"pragma journal_mode={sys.argv[2]}")
database.execute("create table counter (value)")
database.execute("insert into counter values (0)")
database.commit()
"""

COUNT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
for _ in range(40):
    database.execute("begin immediate")
    database.execute("update counter set value = value + 1")
    database.execute("commit")
"""

SHOW = """
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("select value from counter").fetchone())
"""


@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_two_processes_count_in_one_sqlite_database(tmp_path: Path, journal: str) -> None:
    async with mounted_and_shared(tmp_path) as both:
        words = (str(both.path.parent / "database"), journal)
        await on(run, sys.executable, "-c", MAKE, *words)
        counting = [sys.executable, "-c", COUNT, *words]
        processes = [await on(subprocess.Popen, counting) for _ in range(2)]
        assert [await on(process.wait) for process in processes] == [0, 0]
        assert await on(run, sys.executable, "-c", SHOW, *words) == b"80\n"
