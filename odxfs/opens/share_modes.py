"""When two opens of one file get along (MS-FSA 2.1.5.1.2.2).

Access and share values are MS-SMB2's masks (2.2.13). Rights that neither read, write nor delete (attributes, READ_CONTROL,
SYNCHRONIZE) never conflict, and an open with only such rights is not asked what it shares.
"""

FILE_READ_DATA = 0x0001
FILE_WRITE_DATA = 0x0002
FILE_APPEND_DATA = 0x0004
FILE_EXECUTE = 0x0020
DELETE = 0x00010000

FILE_SHARE_READ = 0x1
FILE_SHARE_WRITE = 0x2
FILE_SHARE_DELETE = 0x4
FILE_SHARE_ALL = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE

_READING = FILE_READ_DATA | FILE_EXECUTE
_WRITING = FILE_WRITE_DATA | FILE_APPEND_DATA


def uses(access: int) -> int:
    """What an open with `access` does, said in share bits: the sharing it needs from everybody else."""
    needed = 0
    if access & _READING:
        needed |= FILE_SHARE_READ
    if access & _WRITING:
        needed |= FILE_SHARE_WRITE
    if access & DELETE:
        needed |= FILE_SHARE_DELETE
    return needed


def compatible(access: int, share: int, other_access: int, other_share: int) -> bool:
    """Whether an open (`access`, `share`) may stand beside another (`other_access`, `other_share`); symmetric."""
    mine, theirs = uses(access), uses(other_access)
    if not mine or not theirs:
        return True
    return mine & ~other_share == 0 and theirs & ~share == 0
