"""Extended attributes: small named values of any inode.

One name is reserved: the security descriptor that SMB clients have set is kept beside the attributes, so that snapshots,
clones, backups and repairs carry it as they carry those. Front ends show no attribute outside the name spaces of xattr(7),
and so neither read nor write it by that name.
"""

from collections import OrderedDict

from odxfs.errors import AlreadyExists, AttributeTooLarge, InvalidArgument, NameTooLong, NoAttribute, NotFound
from odxfs.types import InodeNumber
from odxfs.volume.catalog.interface import Table
from odxfs.volume.catalog.overlay import CatalogView
from odxfs.volume.catalog.past import SeenView
from odxfs.volume.tree.inodes import Inode

MAX_NAME_BYTES = 255
"""XATTR_NAME_MAX of Linux."""

MAX_VALUE_BYTES = 64 * 1024
"""XATTR_SIZE_MAX of Linux."""

MAX_TOTAL_BYTES = 1024 * 1024
"""Names and values of one inode together; they are read in one go."""

SECURITY_NAME = b"odxfs.security"
"""Under which the security descriptor is kept: in no name space that a mount user or an SMB client can name."""

CAPABILITY_NAME = b"security.capability"
"""What privileges a program gets by being started from the file (capabilities(7)): not what somebody else has put there.

The kernel asks the mount for it before each write.
"""

MAX_SECURITY_BYTES = MAX_VALUE_BYTES

_LARGE_SECURITY_BYTES = 2048
_LARGE_SECURITIES = 256
"""Descriptors longer than that stay in memory for the inodes last asked about, so many of them: 16 MiB. Usual ones have 200
bytes and stay as long as their inode."""

MAX_LIST_BYTES = 64 * 1024
"""XATTR_LIST_MAX of Linux: names, each with a NUL; more could be stored but not listed."""


class Xattrs:
    """Rows of Table.XATTR. The caller holds the inode's lock while it changes them."""

    def __init__(self, view: CatalogView | SeenView) -> None:
        self._view = view
        self._large: OrderedDict[InodeNumber, Inode] = OrderedDict()

    async def security(self, inode: Inode) -> bytes:
        """The stored security descriptor, b"" when there is none. No checkpoint, and no read the second time."""
        if inode.security is None:
            row = (
                await self._view.get(Table.XATTR, (inode.number, SECURITY_NAME)) if inode.has_xattrs else None
            )
            if inode.security is None:
                value = b"" if row is None else row[0]
                assert isinstance(value, bytes)
                self._remember(inode, value)
        assert inode.security is not None
        return inode.security

    def put_security(self, inode: Inode, value: bytes) -> None:
        """Keep `value`, or nothing when it is empty. Synchronous. Raises as `check_security`; NotFound for one that is gone."""
        assert isinstance(self._view, CatalogView), "what has been is not changed"
        check_security(value)
        _check_there(inode)
        if value:
            inode.has_xattrs = True
            self._view.put(Table.XATTR, (inode.number, SECURITY_NAME), (value,))
        elif inode.security != b"" and inode.has_xattrs:
            self._view.delete(Table.XATTR, (inode.number, SECURITY_NAME))
        self._remember(inode, value)

    def drop_capability(self, inode: Inode) -> None:
        """Content or owner change: the kernel does so itself for what comes through it. Synchronous."""
        assert isinstance(self._view, CatalogView), "what has been is not changed"
        if inode.has_xattrs and inode.may_be_capable:
            self._view.delete(Table.XATTR, (inode.number, CAPABILITY_NAME))
        inode.may_be_capable = False

    def _remember(self, inode: Inode, value: bytes) -> None:
        inode.security = value
        if len(value) <= _LARGE_SECURITY_BYTES:
            return
        self._large[inode.number] = inode
        self._large.move_to_end(inode.number)
        if len(self._large) > _LARGE_SECURITIES:
            _, oldest = self._large.popitem(last=False)
            oldest.security = None

    async def get(self, inode: Inode, name: bytes) -> bytes:
        """The value. Raises NoAttribute."""
        moment = self._view.moment
        row = await self._view.get(Table.XATTR, (inode.number, name)) if inode.has_xattrs else None
        if row is None:
            if inode.has_xattrs and not await self._has_any(inode.number) and moment == self._view.moment:
                inode.has_xattrs = False
            raise NoAttribute(f"inode {inode.number} has no attribute {name!r}")
        value = row[0]
        assert isinstance(value, bytes)
        return value

    async def set(self, inode: Inode, name: bytes, value: bytes, *, create: bool, replace: bool) -> None:
        """Set a value. `create`: the name must be new, else AlreadyExists; `replace`: it must exist, else NoAttribute.

        Raises InvalidArgument, NameTooLong and AttributeTooLarge for what is past a bound.
        """
        _check(name, value)
        present = await self._all(inode.number)
        _check_there(inode)
        if create and name in present:
            raise AlreadyExists(f"inode {inode.number} has attribute {name!r} already")
        if replace and name not in present:
            raise NoAttribute(f"inode {inode.number} has no attribute {name!r}")
        present[name] = value
        if (
            sum(map(len, present)) + sum(map(len, present.values())) > MAX_TOTAL_BYTES
            or sum(len(each) + 1 for each in present) > MAX_LIST_BYTES
        ):
            raise AttributeTooLarge(f"inode {inode.number} has no room for attribute {name!r}")
        inode.has_xattrs = True
        inode.may_be_capable |= name == CAPABILITY_NAME
        self._view.put(Table.XATTR, (inode.number, name), (value,))
        if name == SECURITY_NAME:
            self._remember(inode, value)

    async def remove(self, inode: Inode, name: bytes) -> None:
        """Remove an attribute. Raises NoAttribute."""
        await self.get(inode, name)
        self._view.delete(Table.XATTR, (inode.number, name))
        if name == SECURITY_NAME:
            inode.security = b""

    async def names(self, number: InodeNumber) -> list[bytes]:
        """The names, sorted."""
        return list(await self._all(number))

    async def _has_any(self, number: InodeNumber) -> bool:
        return bool(await self._view.range(Table.XATTR, (number,), (number + 1,), 1))

    async def _all(self, number: InodeNumber) -> dict[bytes, bytes]:
        rows = await self._view.range(Table.XATTR, (number,), (number + 1,))
        return {key[1]: row[0] for key, row in rows}  # type: ignore[misc]


def check_security(value: bytes) -> None:
    """Raise AttributeTooLarge for a descriptor past MAX_SECURITY_BYTES."""
    if len(value) > MAX_SECURITY_BYTES:
        raise AttributeTooLarge(f"a security descriptor of {len(value)} bytes")


def _check_there(inode: Inode) -> None:
    """A row of what has been deleted would belong to nobody."""
    if inode.gone:
        raise NotFound(f"inode {inode.number} is not in use")


def _check(name: bytes, value: bytes) -> None:
    if not name or b"\0" in name:
        raise InvalidArgument(f"{name!r} cannot be the name of an attribute")
    if len(name) > MAX_NAME_BYTES:
        raise NameTooLong(f"an attribute name of {len(name)} bytes; {MAX_NAME_BYTES} are possible")
    if len(value) > MAX_VALUE_BYTES:
        raise AttributeTooLarge(f"a value of {len(value)} bytes; {MAX_VALUE_BYTES} are possible")
