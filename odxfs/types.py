"""The quantities and identifiers that every layer shares.

Values only: no behaviour, no I/O, nothing imported from the rest of the project. An identifier is a `NewType`, so that
an inode number is never handed over where a leaf id is meant. A quantity says its unit in its name.
"""

from typing import NewType

BLOCK_BYTES = 4096
"""The unit of allocation and of checksums."""

LEAF_BYTES = 8 * 1024 * 1024
"""The window of a file that one leaf maps; always aligned to itself."""

BLOCKS_PER_LEAF = LEAF_BYTES // BLOCK_BYTES

SECTOR_BYTES = 512
"""The logical sector that SMB clients are told of, and the alignment that offload calls are held to (MS-FSA 2.1.5.10.20).

Larger values make Hyper-V refuse to create a disk; the physical sector that is reported is one block.
"""

MAX_FILE_BYTES = 16 * 1024**4
"""The largest file, 16 TiB: what NTFS and ext4 users expect, and 2**21 leaves, which an extent map still holds in memory."""

MAX_NAME_BYTES = 255
"""The longest name of one directory entry (POSIX NAME_MAX)."""

InodeNumber = NewType("InodeNumber", int)
"""Unique in a pool, never used twice. The bits from INODE_VOLUME_SHIFT on are the volume's number less one."""

INODE_VOLUME_SHIFT = 48
"""So an inode's number tells its volume, and what is kept by inode number is kept by volume, too."""

SNAPSHOT_INODES = 1 << 62
"""From here on are the inodes of snapshots: the snapshot's number stands where the volume's would, modulo MAX_SNAPSHOTS."""

MAX_SNAPSHOTS = 1 << 62 - INODE_VOLUME_SHIFT
"""Snapshots of a pool at one time."""

TOKEN_INODES = 1 << 63
"""From here on are the inodes under which live tokens can be read; behind every snapshot's."""

LeafId = NewType("LeafId", int)
"""Unique in a pool, never used twice; 0 stands for a window that is all hole."""

Place = NewType("Place", int)
"""Where a block lies: its number in the pool's address space; 0 is a hole (block 0 is a segment header, never data)."""

VolumeId = NewType("VolumeId", int)
"""A volume's number in its pool."""

SnapshotId = NewType("SnapshotId", int)
"""Unique in a pool, never used twice, ascending in time; 0 stands for the volume as it is now."""

Buffer = bytes | bytearray | memoryview
"""Anything whose bytes can be read without a copy."""
