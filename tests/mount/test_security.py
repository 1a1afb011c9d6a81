"""What SMB clients set as a security descriptor, seen from the mount: out of reach, and gone with the next chmod."""

import errno
import os
import stat
from pathlib import Path

import pytest

from odxfs.volume import AttributeChange, Inode
from tests.mount.inside import Inside, mounted_inside, on

DESCRIPTOR = b"whatever the share has stored"
NAME = "odxfs.security"


async def with_descriptor(inside: Inside, name: str) -> Inode:
    inode = await inside.share.create(inside.share.root, name.encode(), stat.S_IFREG | 0o644, 0, 0)
    await inside.share.set_attributes(inode, AttributeChange(mode=0o640, security=DESCRIPTOR))
    return inode


async def test_a_descriptor_is_no_attribute_of_the_mount(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        inode, path = await with_descriptor(inside, "file"), inside.path / "file"
        assert stat.S_IMODE((await on(path.stat)).st_mode) == 0o640
        await on(os.setxattr, path, "user.note", b"x")
        assert await on(os.listxattr, path) == ["user.note"]
        for call, *more in ((os.getxattr,), (os.setxattr, b"mine"), (os.removexattr,)):
            with pytest.raises(OSError, match="not supported") as refused:
                await on(call, path, NAME, *more)  # type: ignore[operator]
            assert refused.value.errno == errno.EOPNOTSUPP
        assert await inside.share.security(inode) == DESCRIPTOR


async def test_chmod_and_chown_drop_it_and_nothing_else_does(tmp_path: Path) -> None:
    async with mounted_inside(tmp_path) as inside:
        for number, change in enumerate((lambda path: path.chmod(0o640), lambda path: os.chown(path, 7, 7))):
            inode, path = await with_descriptor(inside, str(number)), inside.path / str(number)
            await on(path.write_bytes, b"content")
            await on(os.utime, path, (1, 1))
            await on(os.truncate, path, 3)
            await on(path.rename, inside.path / f"moved{number}")
            assert await inside.share.security(inode) == DESCRIPTOR
            await on(change, inside.path / f"moved{number}")
            assert await inside.share.security(inode) == b""
