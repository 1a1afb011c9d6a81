"""QUERY_INFO: what files, directories, pipes and volumes look like to a client."""

import stat
import struct
from pathlib import Path

from odxfs.ntstatus import Status
from odxfs.types import InodeNumber
from odxfs.wire.create import CreateOptions
from odxfs.wire.fscc import file_information as info
from odxfs.wire.fscc import file_names as names
from odxfs.wire.fscc import file_system_information as fs
from odxfs.wire.fscc.classes import FileAttributes, ReparseTag
from odxfs.wire.fscc.classes import FileInformationClass as Class
from odxfs.wire.fscc.classes import FileSystemInformationClass as FsClass
from odxfs.wire.fscc.ea import ExtendedAttribute, pack_full_ea, pack_get_ea, unpack_full_ea
from odxfs.wire.fscc.filetime import to_ns
from odxfs.wire.fscc.security_descriptor import Ace, SecurityDescriptor
from odxfs.wire.fscc.sid import EVERYONE, unix_group
from odxfs.wire.header import Command
from odxfs.wire.query_info import InfoType, QueryInfoRequest, QueryInfoResponse
from tests.support.remote import DIRECTORY, remote, served
from tests.support.serving import serve

FIXED = {
    Class.BASIC: 40,
    Class.STANDARD: 24,
    Class.INTERNAL: 8,
    Class.EA: 4,
    Class.ACCESS: 4,
    Class.POSITION: 8,
    Class.MODE: 4,
    Class.ALIGNMENT: 4,
    Class.COMPRESSION: 16,
    Class.NETWORK_OPEN: 56,
    Class.ATTRIBUTE_TAG: 8,
    Class.STANDARD_LINK: 12,
    Class.ID: 24,
}


async def test_every_fixed_class_has_its_size_and_refuses_less_room(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f", b"x" * 5000)
        for info_class, size in FIXED.items():
            assert await client.query(fid, info_class, room=size - 1) == (Status.INFO_LENGTH_MISMATCH, b"")
            status, data = await client.query(fid, info_class, room=size)
            assert (status, len(data)) == (Status.SUCCESS, size)


async def test_sizes_times_and_names_of_a_file(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.make_directory("Folder")
        fid = await client.make_file("folder\\File.txt", b"x" * 5000)
        _, data = await client.query(fid, Class.ALL)
        everything = names.FileAllInformation.unpack(data)
        inode = await share.volume.inode(InodeNumber(everything.internal.index_number))
        assert everything.standard == info.FileStandardInformation(8192, 5000, 1, False, False)
        assert everything.name.file_name == "\\Folder\\File.txt"
        assert everything.basic.file_attributes == FileAttributes.ARCHIVE
        assert to_ns(everything.basic.last_write_time) == inode.mtime_ns // 100 * 100
        _, data = await client.query(fid, Class.NORMALIZED_NAME)
        assert names.FileNormalizedNameInformation.unpack(data).file_name == "Folder\\File.txt"
        _, data = await client.query(fid, Class.STREAM)
        assert names.unpack_streams(data) == (names.FileStreamInformation("::$DATA", 5000, 8192),)


async def test_the_mode_is_what_the_file_was_opened_with(tmp_path: Path) -> None:
    wanted = CreateOptions.WRITE_THROUGH | CreateOptions.SEQUENTIAL_ONLY
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.create("f", options=CreateOptions.NON_DIRECTORY_FILE | wanted)
        _, data = await client.query(fid, Class.MODE)
        assert info.FileModeInformation.unpack(data).mode == wanted
        _, data = await client.query(fid, Class.ALL)
        assert names.FileAllInformation.unpack(data).mode.mode == wanted


async def test_a_volume_has_been_made_at_the_same_moment_after_every_start(tmp_path: Path) -> None:
    for _ in range(2):
        async with serve(tmp_path / "pool") as share, remote(share) as client:
            fid = await client.create("", options=DIRECTORY)
            _, data = await client.query(fid, FsClass.VOLUME, InfoType.FILESYSTEM)
            root = await share.volume.inode(share.volume.root)
            told = fs.FileFsVolumeInformation.unpack(data).volume_creation_time
            assert to_ns(told) == root.btime_ns // 100 * 100


async def test_a_name_that_does_not_fit_is_cut(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("a-rather-long-name.txt")
        whole = names.FileNameInformation("\\a-rather-long-name.txt").pack()
        assert await client.query(fid, Class.NAME, room=20) == (Status.BUFFER_OVERFLOW, whole[:20])
        assert await client.query(fid, Class.NAME, room=7) == (Status.INFO_LENGTH_MISMATCH, b"")


async def test_a_plain_file_with_holes_is_not_sparse(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("disk.vhdx")
        await client.write(fid, 100 * 1024 * 1024, b"end")
        _, data = await client.query(fid, Class.NETWORK_OPEN)
        network = info.FileNetworkOpenInformation.unpack(data)
        assert not network.file_attributes & FileAttributes.SPARSE_FILE
        assert network.allocation_size >= network.end_of_file


async def test_a_symbolic_link_is_a_reparse_point(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        root = share.volume.root
        await share.volume.create(root, b"link", stat.S_IFLNK | 0o777, 0, 0, target=b"a/b")
        fid = await client.create("link", options=CreateOptions.OPEN_REPARSE_POINT, access=0x80)
        _, data = await client.query(fid, Class.ATTRIBUTE_TAG)
        tag = info.FileAttributeTagInformation.unpack(data)
        assert tag.file_attributes & FileAttributes.REPARSE_POINT
        assert tag.reparse_tag == ReparseTag.SYMLINK


async def test_rights_decide_what_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        await client.close(await client.make_file("f"))
        fid = await client.create("f", access=0x1)
        assert await client.query(fid, Class.BASIC) == (Status.ACCESS_DENIED, b"")
        assert await client.query(fid, Class.FULL_EA) == (Status.ACCESS_DENIED, b"")
        assert (await client.query(fid, Class.STANDARD))[0] is Status.SUCCESS
        assert (await client.query(fid, 0, InfoType.SECURITY, parts=7))[0] is Status.ACCESS_DENIED


async def test_unknown_classes_and_types(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert (await client.query(fid, 200))[0] is Status.INVALID_INFO_CLASS
        assert (await client.query(fid, Class.BOTH_DIRECTORY))[0] is Status.INVALID_INFO_CLASS
        assert (await client.query(fid, Class.HARD_LINK))[0] is Status.NOT_SUPPORTED
        assert (await client.query(fid, 0, InfoType.QUOTA))[0] is Status.NOT_SUPPORTED
        assert (await client.query(fid, 77, InfoType.FILESYSTEM))[0] is Status.INVALID_INFO_CLASS
        assert (await client.query(fid, 1, 9))[0] is Status.INVALID_PARAMETER


async def test_the_volume_says_what_it_can(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share, "read") as reader:
        fid = await client.create("", options=DIRECTORY)
        _, data = await client.query(fid, FsClass.ATTRIBUTE, InfoType.FILESYSTEM)
        attributes = fs.FileFsAttributeInformation.unpack(data)
        wanted = fs.FileSystemAttributes
        assert attributes.file_system_name == "NTFS"
        assert attributes.file_system_attributes & wanted.SUPPORTS_BLOCK_REFCOUNTING
        assert attributes.file_system_attributes & wanted.NAMED_STREAMS
        assert attributes.file_system_attributes & wanted.PERSISTENT_ACLS
        _, data = await client.query(fid, FsClass.SECTOR_SIZE, InfoType.FILESYSTEM)
        sectors = fs.FileFsSectorSizeInformation.unpack(data)
        assert (sectors.logical_bytes_per_sector, sectors.physical_bytes_per_sector_for_atomicity) == (
            512,
            4096,
        )
        _, data = await client.query(fid, FsClass.FULL_SIZE, InfoType.FILESYSTEM)
        size = fs.FileFsFullSizeInformation.unpack(data)
        assert size.sectors_per_allocation_unit * size.bytes_per_sector == 4096
        assert 0 < size.caller_available_allocation_units <= size.total_allocation_units
        _, data = await client.query(fid, FsClass.VOLUME, InfoType.FILESYSTEM)
        assert fs.FileFsVolumeInformation.unpack(data).volume_label == "vol"
        other = await reader.create("", options=DIRECTORY, access=0x81, disposition=1)
        _, data = await reader.query(other, FsClass.ATTRIBUTE, InfoType.FILESYSTEM)
        attributes = fs.FileFsAttributeInformation.unpack(data)
        assert attributes.file_system_attributes & wanted.READ_ONLY_VOLUME


async def test_the_security_descriptor_follows_the_mode(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        volume = share.volume
        await volume.create(volume.root, b"f", stat.S_IFREG | 0o640, 5001, 6001)
        fid = await client.create("f")
        _, data = await client.query(fid, 0, InfoType.SECURITY, parts=7)
        descriptor = SecurityDescriptor.unpack(data)
        assert str(descriptor.owner) == "S-1-22-1-5001"
        assert descriptor.group == unix_group(6001)
        assert descriptor.dacl is not None
        masks = {ace.sid: ace.mask for ace in descriptor.dacl.aces if isinstance(ace, Ace)}
        assert masks[unix_group(6001)] & 0x3 == 0x1
        assert masks[EVERYONE] & 0x3 == 0
        response = await client.query(fid, 0, InfoType.SECURITY, room=8, parts=7)
        assert response[0] is Status.BUFFER_TOO_SMALL


async def test_extended_attributes_are_the_mounts_user_xattrs(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert (await client.query(fid, Class.FULL_EA))[0] is Status.NO_EAS_ON_FILE
        wanted = [ExtendedAttribute(b"Colour", b"blue"), ExtendedAttribute(b"Shape", b"round")]
        assert await client.set(fid, Class.FULL_EA, pack_full_ea(wanted)) is Status.SUCCESS
        _, data = await client.query(fid, Class.INTERNAL)
        inode = await share.volume.inode(struct.unpack("<Q", data)[0])
        assert await share.volume.get_xattr(inode, b"user.Colour") == b"blue"
        _, data = await client.query(fid, Class.FULL_EA, given=pack_get_ea([b"COLOUR"]))
        assert [ea.value for ea in unpack_full_ea(data)] == [b"blue"]
        assert await client.set(fid, Class.FULL_EA, pack_full_ea([ExtendedAttribute(b"COLOUR", b"")])) == 0
        _, data = await client.query(fid, Class.FULL_EA)
        assert [ea.name for ea in unpack_full_ea(data)] == [b"Shape"]
        bad = pack_full_ea([ExtendedAttribute(b"a:b", b"x")])
        assert await client.set(fid, Class.FULL_EA, bad) is Status.INVALID_EA_NAME


async def test_a_pipe_answers_the_questions_of_windows(tmp_path: Path) -> None:
    async with served(tmp_path) as share, remote(share, "IPC$") as client:
        fid = await client.create("srvsvc", access=0x12019F)
        status, data = await client.query(fid, Class.STANDARD)
        assert (status, len(data)) == (Status.SUCCESS, 24)
        assert (await client.query(fid, Class.PIPE_LOCAL))[0] is Status.SUCCESS
        assert (await client.query(fid, FsClass.SIZE, InfoType.FILESYSTEM))[0] is Status.NOT_SUPPORTED
        assert (await client.try_create("spoolss", access=0x12019F))[0] is Status.OBJECT_NAME_NOT_FOUND


async def test_extended_attributes_one_by_one_from_an_index_and_in_pieces(tmp_path: Path) -> None:
    eas = [ExtendedAttribute(name, name * 20) for name in (b"ALPHA", b"BETA", b"GAMMA")]
    restart, single, indexed = 1, 2, 4
    async with served(tmp_path) as share, remote(share) as client:
        fid = await client.make_file("f")
        assert await client.set(fid, Class.FULL_EA, pack_full_ea(eas)) is Status.SUCCESS

        async def ask(
            flags: int, index: int = 0, room: int = 65536
        ) -> tuple[Status, tuple[ExtendedAttribute, ...]]:
            request = QueryInfoRequest(InfoType.FILE, Class.FULL_EA, fid, room, index, flags, b"")
            response = await client.call(Command.QUERY_INFO, request.pack())
            status = Status(response.header.status)
            if status not in (Status.SUCCESS, Status.BUFFER_OVERFLOW):
                return status, ()
            return status, unpack_full_ea(QueryInfoResponse.unpack(response.pdu).output_buffer)

        for ea in eas:
            assert await ask(single) == (Status.SUCCESS, (ea,))
        assert await ask(single) == (Status.NO_MORE_EAS, ())
        assert await ask(single | restart) == (Status.SUCCESS, (eas[0],))
        assert await ask(indexed, 2) == (Status.SUCCESS, tuple(eas[1:]))
        assert await ask(indexed, 4) == (Status.NO_MORE_EAS, ())
        assert await ask(indexed, 5) == (Status.NONEXISTENT_EA_ENTRY, ())
        room = len(pack_full_ea(eas[:2]))
        assert await ask(restart, room=room) == (Status.BUFFER_OVERFLOW, tuple(eas[:2]))
        assert await ask(0, room=room) == (Status.SUCCESS, (eas[2],))
        assert await ask(0) == (Status.SUCCESS, tuple(eas))
        assert await ask(restart, room=10) == (Status.BUFFER_TOO_SMALL, ())
