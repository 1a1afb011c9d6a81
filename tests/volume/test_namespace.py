"""Names, links, renames and attributes as a POSIX program and a Windows client meet them."""

import errno
import gc
import stat
import tracemalloc
from collections.abc import Awaitable
from pathlib import Path

import pytest

from odxfs.errors import (
    AlreadyExists,
    AttributeTooLarge,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NoAttribute,
    NotADirectory,
    NotEmpty,
    NotFound,
    NotPermitted,
    TooManyLinks,
    VolumeError,
)
from odxfs.types import InodeNumber
from odxfs.volume import (
    AttributeChange,
    Change,
    EntryAdded,
    EntryRemoved,
    EntryRenamed,
    Inode,
    RenameFlags,
    Volume,
    create_pool,
    open_pool,
)
from odxfs.volume.tree.namespace import MAX_LINKS
from tests.volume.copying import copy_pool
from tests.volume.ticking import Ticking

FILE = stat.S_IFREG | 0o644
DIRECTORY = stat.S_IFDIR | 0o755
LINK = stat.S_IFLNK | 0o777


async def make(volume: Volume, path: str, mode: int = FILE, **more: object) -> Inode:
    *above, name = path.split("/")
    parent = volume.root
    for each in above:
        parent = (await volume.lookup(parent, each.encode())).number
    return await volume.create(parent, name.encode(), mode, 1000, 100, **more)  # type: ignore[arg-type]


async def names(volume: Volume, directory: InodeNumber) -> list[str]:
    return sorted(entry.name.decode() for entry in await volume.list_directory(directory))


async def refused(operation: Awaitable[object]) -> type[VolumeError]:
    with pytest.raises(VolumeError) as caught:
        await operation
    return caught.type


async def test_every_kind_of_inode_can_be_made_and_is_there_after_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    async with open_pool(directory, owner="first") as pool:
        volume = pool.volume("main")
        await make(volume, "file", FILE, dos_attributes=0x22)
        await make(volume, "directory", DIRECTORY)
        await make(volume, "link", LINK, target=b"directory/../file")
        await make(volume, "fifo", stat.S_IFIFO | 0o600)
        await make(volume, "socket", stat.S_IFSOCK | 0o600)
        await make(volume, "disk", stat.S_IFBLK | 0o600, rdev=0x801)
        await make(volume, "terminal", stat.S_IFCHR | 0o600, rdev=0x501)
    async with open_pool(directory, owner="second") as pool:
        volume = pool.volume("main")
        found = {entry.name.decode(): entry for entry in await volume.list_directory(volume.root)}
        inodes = {name: await volume.inode(entry.number) for name, entry in found.items()}
        assert {name: inode.kind for name, inode in inodes.items()} == {
            "file": stat.S_IFREG, "directory": stat.S_IFDIR, "link": stat.S_IFLNK, "fifo": stat.S_IFIFO,
            "socket": stat.S_IFSOCK, "disk": stat.S_IFBLK, "terminal": stat.S_IFCHR,
        }  # fmt: skip
        assert all(found[name].kind == inode.kind for name, inode in inodes.items())
        assert inodes["link"].target == b"directory/../file"
        assert inodes["link"].size == 17
        assert inodes["disk"].rdev == 0x801
        assert inodes["file"].dos_attributes == 0x22
        assert (inodes["file"].uid, inodes["file"].gid, stat.S_IMODE(inodes["file"].mode)) == (
            1000,
            100,
            0o644,
        )
        assert await pool.check() == []


async def test_names_that_cannot_be(volume: Volume) -> None:
    for name, why in (
        (b"", InvalidArgument),
        (b".", InvalidArgument),
        (b"..", InvalidArgument),
        (b"a/b", InvalidArgument),
        (b"a\0b", InvalidArgument),
        (b"x" * 256, NameTooLong),
    ):
        assert await refused(volume.create(volume.root, name, FILE, 0, 0)) is why
    await volume.create(volume.root, b"x" * 255, FILE, 0, 0)
    assert await refused(volume.lookup(volume.root, b"x" * 256)) is NameTooLong
    assert await refused(volume.create(volume.root, b"l", LINK, 0, 0)) is InvalidArgument
    assert await refused(volume.create(volume.root, b"l", LINK, 0, 0, target=b"t" * 4096)) is NameTooLong
    assert await refused(volume.create(volume.root, b"odd", 0o050000, 0, 0)) is InvalidArgument


async def test_a_name_is_taken_once(volume: Volume) -> None:
    file = await make(volume, "a")
    assert await refused(make(volume, "a", DIRECTORY)) is AlreadyExists
    assert await volume.lookup(volume.root, b"a") is file
    assert await refused(volume.lookup(volume.root, b"b")) is NotFound
    assert await refused(volume.lookup(file.number, b"b")) is NotADirectory
    assert await refused(volume.create(file.number, b"b", FILE, 0, 0)) is NotADirectory


async def test_case_is_ignored_for_those_who_ask(volume: Volume) -> None:
    for name in ("Readme.TXT", "\u00dcbung", "lower"):
        await make(volume, name)
    for asked, stored in (
        ("README.txt", "Readme.TXT"),
        ("Readme.TXT", "Readme.TXT"),
        ("\u00fcBUNG", "\u00dcbung"),
        ("LOWER", "lower"),
    ):
        assert (await volume.lookup_ignoring_case(volume.root, asked))[0] == stored.encode()
    exact = await make(volume, "LOWER")
    assert (await volume.lookup_ignoring_case(volume.root, "LOWER"))[1] is exact
    await volume.unlink(volume.root, b"LOWER")
    await volume.rename(volume.root, b"Readme.TXT", volume.root, b"other")
    with pytest.raises(NotFound):
        await volume.lookup_ignoring_case(volume.root, "readme.txt")
    assert (await volume.lookup_ignoring_case(volume.root, "LOWER"))[0] == b"lower"


async def test_of_two_names_of_one_file_a_merging_rename_leaves_the_new_one(volume: Volume) -> None:
    file = await make(volume, "a")
    await volume.link(file, volume.root, b"b")
    await volume.rename(volume.root, b"a", volume.root, b"b")
    assert file.nlink == 2
    await volume.rename(volume.root, b"a", volume.root, b"a", RenameFlags.MERGE)
    assert file.nlink == 2
    await volume.rename(volume.root, b"a", volume.root, b"b", RenameFlags.MERGE)
    assert [entry.name for entry in await volume.list_directory(volume.root)] == [b"b"]
    assert file.nlink == 1
    assert await volume.pool.check() == []


async def test_names_that_differ_in_case_only_stand_in_the_way_of_those_who_ask(volume: Volume) -> None:
    file, other = await make(volume, "File"), await make(volume, "other")
    for name in (b"File", b"FILE", b"file"):
        assert (
            await refused(volume.create(volume.root, name, FILE, 0, 0, ignoring_case=True)) is AlreadyExists
        )
        assert await refused(volume.link(other, volume.root, name, ignoring_case=True)) is AlreadyExists
        renaming = volume.rename(
            volume.root, b"other", volume.root, name, RenameFlags.NOREPLACE, ignoring_case=True
        )
        assert await refused(renaming) is AlreadyExists
    await volume.link(other, volume.root, b"file", b"File", ignoring_case=True)
    assert [entry.name for entry in await volume.list_directory(volume.root)] == [b"other", b"file"]
    assert file.nlink == 0
    await make(volume, "FILE")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("stra\N{LATIN SMALL LETTER SHARP S}e", "strasse"),
        ("\N{LATIN SMALL LIGATURE FI}le", "file"),
        ("note\N{LATIN SMALL LETTER LONG S}", "notes"),
        ("t\N{LATIN SMALL LETTER DOTLESS I}p", "tip"),
        ("\N{KELVIN SIGN}", "k"),
        ("\N{DESERET SMALL LETTER LONG I}", "\N{DESERET CAPITAL LETTER LONG I}"),
    ],
    ids=ascii,
)
async def test_names_that_only_full_folding_makes_equal_are_two(
    volume: Volume, name: str, other: str
) -> None:
    first, second = await make(volume, name), await make(volume, other)
    await volume.create_stream(first, name.encode())
    await volume.create_stream(first, other.encode())
    assert (await volume.lookup_ignoring_case(volume.root, name))[1] is first
    assert (await volume.lookup_ignoring_case(volume.root, other.upper()))[1] is second
    assert len(await volume.list_streams(first)) == 2
    assert await volume.pool.check() == []


@pytest.mark.parametrize(
    ("name", "other"),
    [
        (
            "\N{GREEK SMALL LETTER ALPHA WITH YPOGEGRAMMENI}",
            "\N{GREEK CAPITAL LETTER ALPHA WITH PROSGEGRAMMENI}",
        ),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK CAPITAL LETTER SIGMA}"),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"),
        ("\N{LATIN SMALL LETTER Y WITH DIAERESIS}", "\N{LATIN CAPITAL LETTER Y WITH DIAERESIS}"),
        ("\N{SMALL ROMAN NUMERAL ONE}", "\N{ROMAN NUMERAL ONE}"),
        ("\N{FULLWIDTH LATIN SMALL LETTER Z}", "\N{FULLWIDTH LATIN CAPITAL LETTER Z}"),
    ],
    ids=ascii,
)
async def test_names_of_one_upper_case_are_one(volume: Volume, name: str, other: str) -> None:
    file = await make(volume, name)
    assert (await volume.lookup_ignoring_case(volume.root, other))[1] is file
    await volume.unlink(volume.root, name.encode())
    file = await make(volume, other)
    assert (await volume.lookup_ignoring_case(volume.root, name))[1] is file


async def test_names_that_are_not_unicode_are_kept_as_they_are(volume: Volume) -> None:
    await volume.create(volume.root, b"caf\xe9 \xff", FILE, 0, 0)
    assert (await volume.list_directory(volume.root))[0].name == b"caf\xe9 \xff"
    assert (await volume.lookup_ignoring_case(volume.root, "CAF\udce9 \udcff"))[0] == b"caf\xe9 \xff"


async def test_a_listing_in_pages_meets_what_stays_exactly_once(volume: Volume) -> None:
    for number in range(100):
        await make(volume, f"old{number}")
    seen: list[bytes] = []
    after = 0
    while page := await volume.list_directory(volume.root, after, 7):
        seen += [entry.name for entry in page]
        assert [entry.cookie for entry in page] == sorted(entry.cookie for entry in page)
        after = page[-1].cookie
        await volume.unlink(volume.root, page[0].name)
        await make(volume, f"new{len(seen)}")
        if len(seen) == 7:
            await volume.pool.commit()
        if len(seen) > 300:
            break
    old = [name for name in seen if name.startswith(b"old")]
    assert len(old) == len(set(old)) == 100
    assert len(seen) == len(set(seen))


async def test_directories_that_were_listed_and_removed_leave_nothing_in_memory(volume: Volume) -> None:
    async def come_and_go(first: int) -> None:
        for number in range(first, first + 1000):
            folder = await volume.create(volume.root, b"%d" % number, DIRECTORY, 0, 0)
            assert await volume.list_directory(folder.number, 0, 100) == []
            await volume.rmdir(volume.root, b"%d" % number)
        await volume.pool.commit()

    await come_and_go(0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await come_and_go(1000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000  # bytes: 1,000 pages kept would be half a million


async def test_link_counts_and_the_end_of_a_file(volume: Volume) -> None:
    file = await make(volume, "a")
    await make(volume, "d", DIRECTORY)
    d = await volume.lookup(volume.root, b"d")
    await volume.link(file, d.number, b"b")
    assert file.nlink == 2
    assert sorted(await volume.names_of(file.number)) == sorted([(volume.root, b"a"), (d.number, b"b")])
    assert await refused(volume.link(d, volume.root, b"e")) is NotPermitted
    assert await refused(volume.link(file, d.number, b"b")) is AlreadyExists
    assert await refused(volume.unlink(volume.root, b"d")) is IsADirectory
    await volume.unlink(volume.root, b"a")
    assert await volume.inode(file.number) is file
    await volume.unlink(d.number, b"b")
    assert await refused(volume.inode(file.number)) is NotFound
    assert await refused(volume.link(file, volume.root, b"again")) is NotFound
    file = await make(volume, "many")
    file.nlink = MAX_LINKS
    assert await refused(volume.link(file, volume.root, b"one more")) is TooManyLinks
    file.nlink = 1


async def test_a_link_instead_of_another_name(volume: Volume) -> None:
    file, other = await make(volume, "file"), await make(volume, "Other")
    await make(volume, "taken")
    file.nlink = MAX_LINKS
    assert await refused(volume.link(file, volume.root, b"other", b"Other")) is TooManyLinks
    file.nlink = 1
    assert await refused(volume.link(file, volume.root, b"taken", b"Other")) is AlreadyExists
    assert await volume.lookup(volume.root, b"Other") is other

    def refuse(found: Inode) -> None:
        assert found is other
        raise NotPermitted("no")

    assert await refused(volume.link(file, volume.root, b"other", b"Other", refuse)) is NotPermitted
    await volume.link(file, volume.root, b"other", b"Other")
    assert await volume.lookup(volume.root, b"other") is file
    assert await refused(volume.lookup(volume.root, b"Other")) is NotFound
    assert await refused(volume.inode(other.number)) is NotFound
    await volume.link(file, volume.root, b"OTHER", b"other")  # which names it already: nothing is done
    assert file.nlink == 2
    assert await volume.pool.check() == []
    file.nlink = 1


async def test_a_file_without_a_name_lives_as_long_as_it_is_held(volume: Volume) -> None:
    file = await make(volume, "a")
    await volume.write(file, 0, b"still here")
    volume.hold(file)
    volume.hold(file)
    await volume.unlink(volume.root, b"a")
    await volume.pool.commit()
    await volume.release(file)
    assert await volume.inode(file.number) is file
    assert bytes(await volume.read(file, 0, 100)) == b"still here"
    assert await volume.pool.check() == []
    await volume.release(file)
    assert await refused(volume.inode(file.number)) is NotFound
    assert await volume.pool.check() == []


async def test_what_a_crash_leaves_without_a_name_is_gone_after_the_next_open(tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    create_pool(directory)
    crashed = tmp_path / "crashed"
    async with open_pool(directory, owner="first") as pool:
        volume = pool.volume("main")
        file = await make(volume, "a")
        await volume.write(file, 0, bytes(range(256)) * 256)
        await volume.set_xattr(file, b"user.x", b"1")
        volume.hold(file)
        await volume.unlink(volume.root, b"a")
        await pool.commit()
        used = pool.statistics().allocated_bytes
        assert used > 0
        copy_pool(directory, crashed)
        await volume.release(file)
    async with open_pool(crashed, owner="second") as pool:
        volume = pool.volume("main")
        await pool.settle()
        await volume.create(volume.root, b"b", FILE, 0, 0)
        await pool.commit()
        assert await refused(volume.inode(file.number)) is NotFound
        assert await pool.check() == []
        assert pool.statistics().allocated_bytes < used


async def test_directories_count_their_directories_and_go_only_when_empty(volume: Volume) -> None:
    root = await volume.inode(volume.root)
    before = root.nlink
    d = await make(volume, "d", DIRECTORY)
    assert (d.nlink, root.nlink) == (2, before + 1)
    await make(volume, "d/e", DIRECTORY)
    await make(volume, "d/f")
    assert d.nlink == 3
    assert await refused(volume.rmdir(volume.root, b"d")) is NotEmpty
    assert await refused(volume.rmdir(d.number, b"f")) is NotADirectory
    await volume.unlink(d.number, b"f")
    await volume.rmdir(d.number, b"e")
    assert d.nlink == 2
    assert d.size == 0
    volume.hold(d)
    await volume.rmdir(volume.root, b"d")
    assert root.nlink == before
    assert await refused(volume.create(d.number, b"late", FILE, 0, 0)) is NotFound
    assert await volume.list_directory(d.number) == []
    await volume.release(d)


async def test_setgid_directories_hand_their_group_down(volume: Volume) -> None:
    await volume.create(volume.root, b"d", stat.S_IFDIR | 0o2775, 0, 777)
    d = await volume.lookup(volume.root, b"d")
    file = await volume.create(d.number, b"f", FILE, 5, 6)
    below = await volume.create(d.number, b"e", DIRECTORY, 5, 6)
    assert (file.gid, file.mode & stat.S_ISGID) == (777, 0)
    assert (below.gid, below.mode & stat.S_ISGID) == (777, stat.S_ISGID)


async def test_rename_moves_replaces_and_keeps_counts(volume: Volume) -> None:
    a, d = await make(volume, "a"), await make(volume, "d", DIRECTORY)
    e, target = await make(volume, "d/e", DIRECTORY), await make(volume, "d/t")
    await volume.rename(volume.root, b"a", d.number, b"t")
    assert await volume.lookup(d.number, b"t") is a
    assert await refused(volume.inode(target.number)) is NotFound
    assert await names(volume, volume.root) == ["d"]
    root = await volume.inode(volume.root)
    links = root.nlink
    await volume.rename(d.number, b"e", volume.root, b"e")
    assert (root.nlink, d.nlink, e.parent) == (links + 1, 2, volume.root)
    assert await volume.parent_of(e.number) == volume.root
    await volume.rename(volume.root, b"e", volume.root, b"f")
    assert await names(volume, volume.root) == ["d", "f"]
    await volume.unlink(d.number, b"t")
    await volume.rename(volume.root, b"f", volume.root, b"d")
    assert await volume.lookup(volume.root, b"d") is e
    assert root.nlink == links
    assert await volume.pool.check() == []


async def test_rename_refuses_what_posix_refuses(volume: Volume) -> None:
    a, d = await make(volume, "a"), await make(volume, "d", DIRECTORY)
    e = await make(volume, "d/e", DIRECTORY)
    rename, root = volume.rename, volume.root
    assert await refused(rename(root, b"x", root, b"y")) is NotFound
    assert await refused(rename(root, b"a", root, b"d")) is IsADirectory
    assert await refused(rename(root, b"d", root, b"a")) is NotADirectory
    assert await refused(rename(root, b"d", d.number, b"x")) is InvalidArgument
    assert await refused(rename(root, b"d", e.number, b"x")) is InvalidArgument
    assert await refused(rename(d.number, b"e", root, b"d")) is NotEmpty
    assert await refused(rename(root, b"a", a.number, b"x")) is NotADirectory
    assert await refused(rename(root, b"a", root, b"d", RenameFlags.NOREPLACE)) is AlreadyExists
    assert await refused(rename(root, b"a", root, b"z", RenameFlags.EXCHANGE)) is NotFound
    assert await refused(rename(root, b"d", e.number, b"x", RenameFlags.EXCHANGE)) is InvalidArgument
    both = RenameFlags.EXCHANGE | RenameFlags.NOREPLACE
    assert await refused(rename(root, b"a", root, b"d", both)) is InvalidArgument
    assert await names(volume, root) == ["a", "d"]
    await volume.link(a, d.number, b"same")
    await rename(root, b"a", d.number, b"same")
    assert a.nlink == 2
    assert await names(volume, root) == ["a", "d"]


async def test_exchange_swaps_names_and_parents(volume: Volume) -> None:
    a, d = await make(volume, "a"), await make(volume, "d", DIRECTORY)
    sub = await make(volume, "d/sub", DIRECTORY)
    root = await volume.inode(volume.root)
    links = root.nlink
    await volume.rename(volume.root, b"a", d.number, b"sub", RenameFlags.EXCHANGE)
    assert await volume.lookup(volume.root, b"a") is sub
    assert await volume.lookup(d.number, b"sub") is a
    assert (sub.parent, d.nlink, root.nlink) == (volume.root, 2, links + 1)
    await volume.rename(volume.root, b"a", volume.root, b"d", RenameFlags.EXCHANGE)
    assert await volume.lookup(volume.root, b"d") is sub
    assert await volume.pool.check() == []


async def test_times_follow_what_was_done(volume: Volume, ticking: Ticking) -> None:
    root = await volume.inode(volume.root)
    file = await make(volume, "a")
    born = ticking.last
    assert {file.atime_ns, file.mtime_ns, file.ctime_ns, file.btime_ns, root.mtime_ns, root.ctime_ns} == {
        born
    }
    await volume.link(file, volume.root, b"b")
    assert file.ctime_ns == root.mtime_ns == root.ctime_ns == ticking.last > born == file.mtime_ns
    await volume.set_attributes(file, AttributeChange(mode=0o600))
    assert file.ctime_ns == ticking.last > root.mtime_ns
    assert file.mode == stat.S_IFREG | 0o600
    await volume.rename(volume.root, b"b", volume.root, b"c")
    assert file.ctime_ns == root.ctime_ns == ticking.last
    await volume.unlink(volume.root, b"c")
    assert file.ctime_ns == root.mtime_ns == ticking.last
    await volume.set_attributes(
        file, AttributeChange(mtime_ns=-5, ctime_ns=7, btime_ns=3, atime_ns=4, uid=8, gid=9)
    )
    assert (file.mtime_ns, file.ctime_ns, file.btime_ns, file.atime_ns) == (-5, 7, 3, 4)
    assert (file.uid, file.gid) == (8, 9)
    assert await refused(volume.set_attributes(file, AttributeChange(mtime_ns=2**80))) is InvalidArgument
    volume.touch(file, accessed=True)
    first = file.atime_ns
    volume.touch(file, accessed=True)
    assert file.atime_ns == first > 4
    volume.touch(file, modified=True)
    assert file.mtime_ns == file.ctime_ns == ticking.last


async def test_extended_attributes(volume: Volume) -> None:
    file = await make(volume, "a")
    assert await refused(volume.get_xattr(file, b"user.x")) is NoAttribute
    await volume.set_xattr(file, b"user.x", b"one", create=True)
    await volume.set_xattr(file, b"user.b", b"")
    assert await refused(volume.set_xattr(file, b"user.x", b"two", create=True)) is AlreadyExists
    assert await refused(volume.set_xattr(file, b"user.y", b"two", replace=True)) is NoAttribute
    await volume.set_xattr(file, b"user.x", b"\0" * 65536, replace=True)
    assert await refused(volume.set_xattr(file, b"user.x", b"\0" * 65537)) is AttributeTooLarge
    assert await refused(volume.set_xattr(file, b"x" * 256, b"")) is NameTooLong
    assert await refused(volume.set_xattr(file, b"", b"")) is InvalidArgument
    assert await volume.list_xattrs(file) == [b"user.b", b"user.x"]
    await volume.remove_xattr(file, b"user.b")
    assert await refused(volume.remove_xattr(file, b"user.b")) is NoAttribute
    for number in range(14):
        await volume.set_xattr(file, b"user.%d" % number, b"\1" * 65536)
    with pytest.raises(AttributeTooLarge) as caught:
        await volume.set_xattr(file, b"user.last", b"\1" * 65536)
    assert caught.value.errno == errno.ENOSPC


async def test_observers_are_told_with_the_origin(volume: Volume) -> None:
    pool = volume.pool
    told: list[Change] = []
    pool.add_observer(told.append)
    shared = pool.volume("main", origin="smb")
    file = await shared.create(volume.root, b"a", FILE, 0, 0)
    other = await make(volume, "b")
    await shared.rename(volume.root, b"a", volume.root, b"b")
    await volume.unlink(volume.root, b"b")
    pool.remove_observer(told.append)
    await make(volume, "silent")
    at, root = volume.id, volume.root
    assert [each for each in told if isinstance(each, EntryAdded | EntryRemoved | EntryRenamed)] == [
        EntryAdded(at, "smb", root, b"a", file.number, False),
        EntryAdded(at, "", root, b"b", other.number, False),
        EntryRenamed(at, "smb", root, b"a", root, b"b", file.number, False, other.number),
        EntryRemoved(at, "", root, b"b", file.number, False),
    ]


async def test_statfs_counts_inodes_and_leaves_room(volume: Volume) -> None:
    pool = volume.pool
    before = volume.statfs()
    await make(volume, "a")
    after = volume.statfs()
    assert pool.statistics().inodes == 2
    assert after.blocks >= after.free_blocks > 0
    assert (before.block_bytes, before.max_name_bytes) == (4096, 255)


async def test_an_unknown_volume_or_inode_is_not_found(volume: Volume) -> None:
    pool = volume.pool
    assert pool.volume_names == ["main"]
    with pytest.raises(NotFound):
        pool.volume("other")
    assert await refused(volume.inode(InodeNumber(10**9))) is NotFound
