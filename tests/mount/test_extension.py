"""The extension under other versions of libfuse than the one that is here, whose entry points a small library stands for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LIBRARY = """
#include <string.h>
void *entries[64];
static void *keep(const void *table, size_t size) { return memcpy(memset(entries, 0, sizeof entries), table, size); }
void *new_318(void *args, const void *table, size_t size, void *version, void *data) { return keep(table, size); }
void *new_317(void *args, const void *table, size_t size, void *version, void *data) { return keep(table, size); }
void *new_30(void *args, const void *table, size_t size, void *data) { return keep(table, size); }
int fuse_reply_err(void *request, int number) { return 0; }
int fuse_reply_write(void *request, size_t count) { return 0; }
int fuse_reply_lseek(void *request, long offset) { return 0; }
int fuse_reply_lock(void *request, const void *lock) { return 0; }
void fuse_req_interrupt_func(void *request, void *function, void *data) { }
__asm__(".symver new_318, fuse_session_new_versioned@@FUSE_3.18");
__asm__(".symver new_317, _fuse_session_new_317@@FUSE_3.18");
__asm__(".symver new_30, fuse_session_new@FUSE_3.0");
"""
"""As libfuse 3.17.1 and later: the old name is there for old binaries only (libfuse's issue 1196)."""

VERSIONS = """
FUSE_3.0 { global: entries; fuse_reply_*; fuse_req_interrupt_func; local: new_*; };
FUSE_3.18 { global: fuse_session_new_versioned; _fuse_session_new_317; } FUSE_3.0;
"""

CALLER = """
#include <stddef.h>
void *fuse_session_new_versioned(void *, const void *, size_t, void *, void *);
void *_fuse_session_new_317(void *, const void *, size_t, void *, void *);
void *old_session_new(void *, const void *, size_t, void *) __asm__("fuse_session_new");
__asm__(".symver fuse_session_new, fuse_session_new@FUSE_3.0");
static void *table[64];
void set(int at) { table[at] = table; }
void *by_3_18(size_t size) { return fuse_session_new_versioned(0, table, size, table, 0); }
void *by_3_17(size_t size) { return _fuse_session_new_317(0, table, size, table, 0); }
void *by_3_0(size_t size) { return old_session_new(0, table, size, 0); }
"""
"""As pyfuse3, compiled with either; its table of operations is empty but for what is `set`."""

PROGRAM = """
import ctypes, json, sys
import odxfs_mount
extension = odxfs_mount.extension.module
caller, library = ctypes.CDLL(sys.argv[1]), ctypes.CDLL(sys.argv[2])
function = getattr(caller, sys.argv[3])
function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
for at in sys.argv[6:]:
    caller.set(int(at))
class KeepingLocks:
    def setlk(self): ...
if sys.argv[5] != "idle":
    extension.arm(KeepingLocks() if sys.argv[5] == "armed" else object())
made = function(int(sys.argv[4]))
entries = (ctypes.c_void_p * 64).in_dll(library, "entries")
print(json.dumps([made is not None, extension.is_filled(), [at for at, entry in enumerate(entries) if entry]]))
"""

FLUSH, GETLK, SETLK, FLOCK, FALLOCATE, COPY_FILE_RANGE, LSEEK = 17, 31, 32, 39, 40, 42, 43
"""Where the entries stand in struct fuse_lowlevel_ops; it only ever grows at its end."""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The caller and the stand-in for libfuse, compiled."""
    base = tmp_path_factory.mktemp("libfuse")
    for name, text in (("library.c", LIBRARY), ("versions", VERSIONS), ("caller.c", CALLER)):
        (base / name).write_text(text)
    shared = ["gcc", "-shared", "-fPIC", "-w"]
    script = f"-Wl,--version-script={base}/versions,-soname,libstand.so"
    subprocess.run([*shared, script, "-o", base / "libstand.so", base / "library.c"], check=True)
    linked = [f"-L{base}", "-lstand", f"-Wl,-rpath,{base}"]
    subprocess.run([*shared, "-o", base / "caller.so", base / "caller.c", *linked], check=True)
    return base / "caller.so", base / "libstand.so"


def made_by(libraries: tuple[Path, Path], name: str, entries: int, state: str = "armed", *there: int) -> Any:
    """[whether a session was made, whether it was filled, which entries it has]; `there` are those that the caller set."""
    words = [*map(str, libraries), name, str(entries * 8), state, *map(str, there)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["by_3_18", "by_3_17", "by_3_0"])
@pytest.mark.parametrize("entries", [LSEEK + 1, LSEEK + 8])
def test_every_entry_point_is_stood_in_for(libraries: tuple[Path, Path], name: str, entries: int) -> None:
    assert made_by(libraries, name, entries) == [True, True, [FALLOCATE, COPY_FILE_RANGE, LSEEK]]


@pytest.mark.parametrize("name", ["by_3_18", "by_3_17", "by_3_0"])
def test_a_table_too_short_for_the_operations_is_passed_on_as_it_is(
    libraries: tuple[Path, Path], name: str
) -> None:
    assert made_by(libraries, name, LSEEK) == [True, False, []]


def test_locks_are_offered_where_close_is_heard_of(libraries: tuple[Path, Path]) -> None:
    locks = [FLUSH, GETLK, SETLK, FLOCK]
    found = made_by(libraries, "by_3_18", LSEEK + 1, "armed", FLUSH)
    assert found == [True, True, sorted([*locks, FALLOCATE, COPY_FILE_RANGE, LSEEK])]


def test_locks_stay_with_the_kernel_where_nobody_keeps_them(libraries: tuple[Path, Path]) -> None:
    found = made_by(libraries, "by_3_18", LSEEK + 1, "keeping none", FLUSH)
    assert found == [True, True, sorted([FLUSH, FALLOCATE, COPY_FILE_RANGE, LSEEK])]


def test_locks_of_a_later_pyfuse3_are_left_to_it(libraries: tuple[Path, Path]) -> None:
    found = made_by(libraries, "by_3_18", LSEEK + 1, "armed", FLUSH, GETLK)
    assert found == [True, True, sorted([FLUSH, GETLK, FALLOCATE, COPY_FILE_RANGE, LSEEK])]


def test_a_session_of_somebody_else_is_left_alone(libraries: tuple[Path, Path]) -> None:
    assert made_by(libraries, "by_3_18", LSEEK + 1, "idle") == [True, False, []]
