"""Who shares no deletion, and what is read-only: what can be deleted or superseded beside that."""

from pathlib import Path

import pytest

from odxfs.ntstatus import Status
from odxfs.wire.create import CreateDisposition as D
from odxfs.wire.create import CreateOptions
from odxfs.wire.fscc.classes import FileAttributes, FileInformationClass
from odxfs.wire.fscc.file_information import FileBasicInformation
from odxfs.wire.fscc.filetime import NONE
from tests.support.remote import DIRECTORY, remote, served

READ, WRITE, DELETE, ATTRIBUTES = 0x1, 0x2, 0x10000, 0x80
NO_DELETE = 3
READ_ONLY = FileBasicInformation(NONE, NONE, NONE, NONE, FileAttributes.READONLY).pack()


@pytest.mark.parametrize("stream_first", [False, True])
@pytest.mark.parametrize(
    ("access", "expected"),
    [(READ, Status.SHARING_VIOLATION), (WRITE, Status.SHARING_VIOLATION), (ATTRIBUTES, Status.SUCCESS)],
)
async def test_a_stream_that_shares_no_deletion_and_the_deletion_of_its_file(
    tmp_path: Path, stream_first: bool, access: int, expected: Status
) -> None:
    """MS-FSA 2.1.5.1.2.1, whichever of the two is opened first."""
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        await client.close(await client.make_file("f:s", b"x"))
        opens = [(client, "f:s", access, NO_DELETE), (other, "f", DELETE, 7)]
        statuses = [
            (await each.try_create(name, D.OPEN, 0, wanted, sharing))[0]
            for each, name, wanted, sharing in (opens if stream_first else reversed(opens))
        ]
        assert statuses == [Status.SUCCESS, expected]


@pytest.mark.parametrize("name", ["f", "f:s"])
async def test_who_shares_no_deletion_keeps_a_file_from_being_superseded(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as share, remote(share) as client, remote(share) as other:
        await client.close(await client.make_file(name, b"kept"))
        await client.create(name, D.OPEN, access=READ, share=NO_DELETE)
        assert (await other.try_create(name, D.SUPERSEDE, 0, READ))[0] is Status.SHARING_VIOLATION
        assert (await other.try_create(name, D.OVERWRITE, 0, READ))[0] is Status.SUCCESS


async def test_a_read_only_folder_is_not_deleted_on_close(tmp_path: Path) -> None:
    delete = CreateOptions.DELETE_ON_CLOSE
    async with served(tmp_path) as share, remote(share) as client:
        folder = await client.make_directory("d")
        assert await client.set(folder, FileInformationClass.BASIC, READ_ONLY) is Status.SUCCESS
        assert await client.set(folder, FileInformationClass.DISPOSITION, b"\x01") is Status.CANNOT_DELETE
        await client.close(folder)
        assert (await client.try_create("d", D.OPEN, DIRECTORY | delete, DELETE))[0] is Status.CANNOT_DELETE
        file = await client.make_file("f")
        assert await client.set(file, FileInformationClass.BASIC, READ_ONLY) is Status.SUCCESS
        await client.close(file)
        assert (await client.try_create("f", D.OPEN, delete, DELETE | WRITE))[0] is Status.ACCESS_DENIED
