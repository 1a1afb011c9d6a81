"""What attackers send: offsets into the header or past the end, chains that loop, lists that lie, names that are none."""

from struct import pack

import pytest

from odxfs.errors import ProtocolError
from odxfs.ntstatus import Status
from odxfs.wire.create import CreateRequest, pack_create_contexts, unpack_create_contexts
from odxfs.wire.cursor import decode_utf16, encode_utf16, pack_chain, take_aligned, unpack_chain
from odxfs.wire.file_id import FileId
from odxfs.wire.fscc import ea
from odxfs.wire.fscc.classes import FileInformationClass
from odxfs.wire.fscc.directory_information import (
    DirectoryInformation,
    pack_entries,
    pack_entry,
    unpack_entries,
)
from odxfs.wire.fscc.file_names import FileRenameInformation
from odxfs.wire.fscc.security_descriptor import Ace, AceType, Acl, Control, OpaqueAce, SecurityDescriptor
from odxfs.wire.fscc.sid import ADMINISTRATORS, EVERYONE, Sid
from odxfs.wire.fsctl.copychunk import SrvCopychunkCopy
from odxfs.wire.fsctl.snapshots import SrvSnapshotArray
from odxfs.wire.fsctl.trim import FileLevelTrim
from odxfs.wire.gmt_token import format_gmt_token, is_gmt_token, parse_gmt_token
from odxfs.wire.header import Command, Header
from odxfs.wire.ioctl import IoctlRequest
from odxfs.wire.lock import LockElement, LockRequest
from odxfs.wire.negotiate import NegotiateRequest
from odxfs.wire.negotiate_contexts import UnknownContext
from odxfs.wire.read import ReadResponse
from odxfs.wire.write import WriteRequest

FID = FileId(1, 2)
FRONT = Header(Command.CREATE).pack()


def pdu_of(body: bytes | bytearray) -> memoryview:
    return memoryview(FRONT + bytes(body))


def refused(parse: object, *arguments: object) -> ProtocolError:
    assert callable(parse)
    with pytest.raises(ProtocolError) as caught:
        parse(*arguments)
    return caught.value


@pytest.mark.parametrize("offset", [0, 1, 63, 64, 111, 0x101, 0xFFFF])
def test_write_data_may_not_lie_in_the_header_or_far_away(offset: int) -> None:
    body = bytearray(WriteRequest(FID, 0, b"x" * 300).pack())
    body[2:4] = pack("<H", offset)
    assert refused(WriteRequest.unpack, pdu_of(body)).status is Status.INVALID_PARAMETER


def test_write_data_may_not_be_longer_than_the_message() -> None:
    body = bytearray(WriteRequest(FID, 0, b"x" * 300).pack())
    body[4:8] = pack("<I", 301)
    refused(WriteRequest.unpack, pdu_of(body))


def test_payloads_are_views_into_the_message_not_copies() -> None:
    backing = bytearray(FRONT + WriteRequest(FID, 0, b"old").pack())
    data = WriteRequest.unpack(memoryview(backing)).data
    backing[-3:] = b"new"
    assert bytes(data) == b"new"
    backing = bytearray(FRONT + ReadResponse(b"old").pack())
    data = ReadResponse.unpack(memoryview(backing)).data
    backing[-3:] = b"new"
    assert bytes(data) == b"new"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (slice(44, 46), pack("<H", 0)),  # the name in the header
        (slice(44, 46), pack("<H", 119)),  # the name in the fixed part
        (slice(46, 48), pack("<H", 0xFFFE)),  # the name past the end
        (slice(46, 48), pack("<H", 3)),  # half a character
        (slice(48, 52), pack("<I", 0)),  # the contexts in the header
        (slice(48, 52), pack("<I", 129)),  # the contexts not aligned
        (slice(48, 52), pack("<I", 0xFFFFFFF8)),  # the contexts past the end
        (slice(52, 56), pack("<I", 0xFFFFFFFF)),  # the contexts longer than the message
    ],
)
def test_create_with_offsets_that_lie(where: slice, value: bytes) -> None:
    body = bytearray(CreateRequest("name", 1, 7, create_contexts=((b"MxAc", b""), (b"QFid", b""))).pack())
    body[where] = value
    refused(CreateRequest.unpack, pdu_of(body))


@pytest.mark.parametrize("link", [4, 8, 15, 17, 20, 1 << 31, 0xFFFFFFF8])
def test_a_chain_of_contexts_that_loops_or_runs_away(link: int) -> None:
    wire = bytearray(pack_create_contexts([(b"MxAc", b"12345678"), (b"QFid", b"")]))
    wire[0:4] = pack("<I", link)
    refused(unpack_create_contexts, bytes(wire))


def test_a_last_context_that_links_to_its_own_end() -> None:
    wire = bytearray(pack_create_contexts([(b"MxAc", b"12345678")]))
    wire[0:4] = pack("<I", len(wire))
    refused(unpack_create_contexts, bytes(wire))


@pytest.mark.parametrize("name", [b"", b"1", b"22", b"333"])
def test_a_context_name_shorter_than_four_bytes(name: bytes) -> None:
    refused(unpack_create_contexts, pack_create_contexts([(name, b"data")]))


@pytest.mark.parametrize("link", [4, 8, 13])
def test_a_link_that_is_too_short_or_not_aligned(link: int) -> None:
    refused(list, unpack_chain(pack("<I", link) + bytes(60), 12, 100, "entry", alignment=4))


def test_a_part_that_begins_off_its_place() -> None:
    assert len(take_aligned(bytes(100), 72, 8, 64, "part")) == 8
    refused(take_aligned, bytes(100), 73, 8, 64, "part")


def test_more_elements_than_anybody_sends() -> None:
    contexts = (UnknownContext(0x7777, b"12345678"),) * 33
    body = NegotiateRequest((0x0311,), negotiate_contexts=contexts).pack()
    refused(NegotiateRequest.unpack, pdu_of(body))
    refused(LockRequest.unpack, pdu_of(LockRequest(FID, (LockElement(0, 1, 2),) * 1025).pack()))
    refused(FileLevelTrim.unpack, pack("<II", 0, 65537) + bytes(16 * 65537))
    refused(Acl.unpack, Acl((OpaqueAce(0x55, 0, b""),) * 2049).pack())


def test_too_many_entries_of_a_chain() -> None:
    wire = pack_chain([bytes(8)] * 11, 8)
    assert len(list(unpack_chain(wire, 8, 11, "entry"))) == 11
    refused(list, unpack_chain(wire, 8, 10, "entry"))


@pytest.mark.parametrize("data", [b"a", b"\x00\xd8", b"\x00\xdc", b"\x00\xd8a\x00", b"a\x00\x00\xd8"])
def test_what_is_not_utf16(data: bytes) -> None:
    refused(decode_utf16, data, "name")


def test_a_stored_name_that_is_no_unicode_does_not_break_a_listing() -> None:
    assert decode_utf16(encode_utf16(b"caf\xe9".decode("utf-8", "surrogateescape")), "name") == "caf\ufffd"
    assert decode_utf16(encode_utf16("\U0001f600"), "name") == "\U0001f600"


@pytest.mark.parametrize("offset", [8, 64, 119, 121, 0x1000])
def test_ioctl_input_may_not_lie_elsewhere(offset: int) -> None:
    body = bytearray(IoctlRequest(0x94264, FID, bytes(32)).pack())
    body[24:28] = pack("<I", offset)
    refused(IoctlRequest.unpack, pdu_of(body))


@pytest.mark.parametrize("count", [0, 2, 1025, 0xFFFF])
def test_a_lock_count_that_lies(count: int) -> None:
    body = bytearray(LockRequest(FID, (LockElement(0, 1, 2),)).pack())
    body[2:4] = pack("<H", count)
    refused(LockRequest.unpack, pdu_of(body))


@pytest.mark.parametrize("count", [1, 257, 0xFFFFFFFF])
def test_counts_of_ranges_that_lie(count: int) -> None:
    refused(FileLevelTrim.unpack, pack("<II", 0, count))
    refused(SrvCopychunkCopy.unpack, bytes(24) + pack("<II", count, 0))


def test_a_rename_whose_name_runs_past_the_buffer() -> None:
    wire = bytearray(FileRenameInformation("new name").pack())
    wire[16:20] = pack("<I", len(wire))
    refused(FileRenameInformation.unpack, bytes(wire))


@pytest.mark.parametrize("name", [b"", b"a\0b", b"\xff"])
def test_names_of_attributes_that_are_none(name: bytes) -> None:
    wire = ea.pack_full_ea([ea.ExtendedAttribute(name, b"value")])
    assert refused(ea.unpack_full_ea, wire).status is Status.INVALID_EA_NAME


def test_an_attribute_name_without_its_zero() -> None:
    refused(ea.unpack_full_ea, pack("<IBBH", 0, 0, 3, 0) + b"abcd")


class TestSecurityDescriptors:
    descriptor = SecurityDescriptor(
        ADMINISTRATORS, EVERYONE, Acl((Ace(AceType.ACCESS_ALLOWED, 0, 0x1F01FF, EVERYONE),))
    )

    @pytest.mark.parametrize("field", [4, 8, 16])
    @pytest.mark.parametrize("offset", [1, 19, 0xFFFF, 0xFFFFFFFF])
    def test_parts_outside_the_descriptor(self, field: int, offset: int) -> None:
        wire = bytearray(self.descriptor.pack())
        wire[field : field + 4] = pack("<I", offset)
        assert refused(SecurityDescriptor.unpack, bytes(wire)).status is Status.INVALID_SECURITY_DESCR

    @pytest.mark.parametrize(
        ("at", "value"), [(22, 7), (22, 0xFFFF), (24, 2), (24, 0xFFFF), (30, 3), (30, 0xFFFF)]
    )
    def test_lists_whose_sizes_lie(self, at: int, value: int) -> None:
        wire = bytearray(self.descriptor.pack())  # 20 the ACL, 22 its size, 24 its count, 30 its ACE's size
        wire[at : at + 2] = pack("<H", value)
        refused(SecurityDescriptor.unpack, bytes(wire))

    def test_a_sid_with_sixteen_sub_authorities(self) -> None:
        refused(Sid.unpack, bytes((1, 16)) + bytes(6 + 64))

    def test_an_absolute_descriptor_is_refused(self) -> None:
        wire = bytearray(self.descriptor.pack())
        wire[3] &= 0x7F
        refused(SecurityDescriptor.unpack, bytes(wire))

    def test_a_null_dacl_is_told_from_none(self) -> None:
        null = SecurityDescriptor(control=Control.SELF_RELATIVE | Control.DACL_PRESENT)
        assert SecurityDescriptor.unpack(null.pack()) == null
        assert not SecurityDescriptor.unpack(SecurityDescriptor().pack()).control & Control.DACL_PRESENT

    def test_the_sid_of_a_virtual_machine_survives(self) -> None:
        machine = Sid.parse("S-1-5-83-1-2797130209-1271298203-2919866803-2886174010")
        acl = Acl((Ace(AceType.ACCESS_ALLOWED, 0, 0x12019F, machine),))
        read_back = SecurityDescriptor.unpack(SecurityDescriptor(dacl=acl).pack())
        assert read_back.dacl == acl


class TestDirectoryEntries:
    names = [DirectoryInformation(f"file {number}") for number in range(10)]

    def test_a_budget_is_never_passed_and_all_of_it_is_used(self) -> None:
        whole, count = pack_entries(FileInformationClass.ID_BOTH_DIRECTORY, self.names, 1 << 16)
        assert count == 10
        for budget in range(len(whole) + 1):
            part, fitting = pack_entries(FileInformationClass.ID_BOTH_DIRECTORY, self.names, budget)
            assert len(part) <= budget
            listed = unpack_entries(FileInformationClass.ID_BOTH_DIRECTORY, part)
            assert listed == self.names[:fitting]
        assert pack_entries(FileInformationClass.ID_BOTH_DIRECTORY, self.names, len(whole)) == (whole, 10)

    def test_every_entry_but_the_first_begins_at_a_multiple_of_eight(self) -> None:
        wire, _ = pack_entries(FileInformationClass.NAMES, self.names, 1 << 16)
        position = 0
        while link := int.from_bytes(wire[position : position + 4], "little"):
            position += link
            assert position % 8 == 0

    def test_a_class_that_is_not_for_directories(self) -> None:
        error = refused(unpack_entries, FileInformationClass.BASIC, b"")
        assert error.status is Status.INVALID_INFO_CLASS

    def test_a_short_name_that_claims_more_than_its_field(self) -> None:
        wire = bytearray(pack_entry(FileInformationClass.BOTH_DIRECTORY, DirectoryInformation("name")))
        wire[68] = 25
        refused(unpack_entries, FileInformationClass.BOTH_DIRECTORY, bytes(wire))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (slice(4, 8), pack("<I", 1)),  # fewer than are there
        (slice(4, 8), pack("<I", 3)),  # more than are there
        (slice(4, 8), pack("<I", 0xFFFFFFFF)),
        (slice(8, 12), pack("<I", 103)),  # longer than the answer
        (slice(8, 12), pack("<I", 51)),  # half a character
        (slice(8, 12), pack("<I", 0)),
        (slice(12, 14), bytes(2)),  # an empty name in front
        (slice(12, 14), pack("<H", 0xD800)),  # half a pair
    ],
)
def test_a_list_of_snapshots_that_lies(where: slice, value: bytes) -> None:
    tokens = ("@GMT-2024.01.02-03.04.05", "@GMT-2024.01.02-03.04.06")
    wire = bytearray(SrvSnapshotArray.of(tokens, 65536).pack())
    assert len(wire) == 12 + 102
    wire[where] = value
    refused(SrvSnapshotArray.unpack, bytes(wire))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "@GMT-",
        "@gmt-2024.01.02-03.04.05",
        "@GMT-2024.01.02-03.04.5",
        "@GMT-2024.01.02-03.04.05 ",
        "@GMT-2024.01.02-03.04.05\n",
        "@GMT-2024-01-02-03.04.05",
        "@GMT-+024.01.02-03.04.05",
        "@GMT-٢٠٢٤.01.02-03.04.05",
        "@GMT-2024.01.02-03.04.0\0",
    ],
)
def test_what_is_no_token(name: str) -> None:
    assert not is_gmt_token(name)
    assert parse_gmt_token(name) is None


@pytest.mark.parametrize(
    "date",
    [
        "0000.01.01-00.00.00",
        "2024.00.01-00.00.00",
        "2024.02.30-00.00.00",
        "2023.02.29-00.00.00",
        "2024.13.01-00.00.00",
        "2024.01.01-24.00.00",
        "2024.01.01-00.60.00",
        "2016.12.31-23.59.60",
    ],
)
def test_a_token_whose_date_is_none(date: str) -> None:
    assert is_gmt_token(f"@GMT-{date}")
    assert parse_gmt_token(f"@GMT-{date}") is None


@pytest.mark.parametrize(
    ("second", "token"),
    [
        (0, "@GMT-1970.01.01-00.00.00"),
        (-1, "@GMT-1969.12.31-23.59.59"),
        (951_782_399, "@GMT-2000.02.28-23.59.59"),
        (1_709_164_800, "@GMT-2024.02.29-00.00.00"),
        (-62_135_596_800, "@GMT-0001.01.01-00.00.00"),
        (253_402_300_799, "@GMT-9999.12.31-23.59.59"),
    ],
)
def test_a_token_is_the_second_it_says(second: int, token: str) -> None:
    assert format_gmt_token(second) == token
    assert parse_gmt_token(token) == second
