"""The names in a folder of a share, page by page (QUERY_DIRECTORY, MS-SMB2 2.2.33)."""

from collections.abc import AsyncGenerator

from odxfs.client.entry import Entry, Kind
from odxfs.client.file import ANSWER_BYTES, SmbFile
from odxfs.client.metadata import smb_metadata
from odxfs.client.session import expect_success
from odxfs.client.tree import Tree
from odxfs.ntstatus import Status
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateOptions
from odxfs.wire.fscc.classes import FileAttributes, FileInformationClass, ReparseTag
from odxfs.wire.fscc.directory_information import DirectoryInformation, unpack_entries
from odxfs.wire.header import Command
from odxfs.wire.query_directory import QueryDirectoryRequest, QueryDirectoryResponse

LIST_ACCESS = Access.FILE_LIST_DIRECTORY | Access.FILE_READ_ATTRIBUTES | Access.SYNCHRONIZE

_NO_MORE = {Status.NO_MORE_FILES, Status.NO_SUCH_FILE}
_LINKS = {ReparseTag.SYMLINK, ReparseTag.MOUNT_POINT}


async def open_folder(tree: Tree, path: str) -> SmbFile:
    """Open a directory to list it; the caller closes it. Raises RequestRefused."""
    return await tree.open(path, LIST_ACCESS, options=CreateOptions.DIRECTORY_FILE)


async def list_pages(folder: SmbFile) -> AsyncGenerator[list[Entry], None]:
    """The entries, without `.` and `..`, some hundred at a time. Raises RequestRefused, NetworkFailed."""
    information_class = FileInformationClass.FULL_DIRECTORY
    request = QueryDirectoryRequest(
        information_class, folder.file_id, output_buffer_length=ANSWER_BYTES
    ).pack()
    while True:
        response = await folder.tree.call(Command.QUERY_DIRECTORY, request)
        if response.header.status in _NO_MORE:
            return
        told = QueryDirectoryResponse.unpack(expect_success(response, folder.name).pdu).output_buffer
        found = unpack_entries(information_class, told)
        yield [_entry(item) for item in found if item.file_name not in {".", ".."}]


def _entry(found: DirectoryInformation) -> Entry:
    metadata = smb_metadata(
        found.creation_time,
        found.last_access_time,
        found.last_write_time,
        found.change_time,
        found.file_attributes,
    )
    return Entry(found.file_name, _kind(found), found.end_of_file, metadata)


def _kind(found: DirectoryInformation) -> Kind:
    """A reparse point that is no link (a deduplicated file, one in a cloud) is read like any file."""
    if found.file_attributes & FileAttributes.REPARSE_POINT:
        if found.ea_size in _LINKS:
            return Kind.LINK
        if found.ea_size in range(0x80000023, 0x80000027):
            return (
                Kind.OTHER
            )  # the tags by which WSL, NFS servers and odxfs tell of sockets, pipes and devices
    return Kind.FOLDER if found.file_attributes & FileAttributes.DIRECTORY else Kind.FILE
