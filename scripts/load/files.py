"""The files that all clients share: names, and what each block holds."""

import hashlib

from peers import PASSWORD, SHARE, USER

from odxfs.client.client import connect
from odxfs.wire.access_mask import Access
from odxfs.wire.create import CreateDisposition

FILES, FILE_BLOCKS, BLOCK_BYTES = 200, 16, 4096
SHARED_ACCESS = Access.GENERIC_READ


def name_of(file: int) -> str:
    """On the share."""
    return f"file-{file}"


def content(file: int, block: int) -> bytes:
    """Of one block."""
    return hashlib.sha256(f"{file} {block}".encode()).digest() * (BLOCK_BYTES // 32)


async def make_files(port: int) -> None:
    """All of them, over SMB."""
    async with connect("127.0.0.1", port, USER, PASSWORD) as client:
        tree = await client.tree(SHARE)
        for number in range(FILES):
            file = await tree.open(
                name_of(number), Access.GENERIC_WRITE, disposition=CreateDisposition.OVERWRITE_IF
            )
            await file.write(0, b"".join(content(number, block) for block in range(FILE_BLOCKS)))
            await file.close()
