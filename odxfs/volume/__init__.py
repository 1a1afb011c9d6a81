"""The store: volumes in a pool. See README.md in this folder."""

from odxfs.volume.catalog.interface import inode_seen_in
from odxfs.volume.changes import (
    MOUNT,
    Attribute,
    AttributesChanged,
    Change,
    ContentChanged,
    EntryAdded,
    EntryRemoved,
    EntryRenamed,
    SnapshotAdded,
    SnapshotRemoved,
    StreamAdded,
    StreamRemoved,
    StreamRenamed,
)
from odxfs.volume.checking.check import check_directory
from odxfs.volume.checking.findings import Finding
from odxfs.volume.checking.repair import RepairReport, repair_directory
from odxfs.volume.cloning import MOST_OF_ONE_MOMENT, parts_to_capture
from odxfs.volume.disk_condition import Condition, DiskCondition, Trouble
from odxfs.volume.pins import Pin
from odxfs.volume.pool import Pool, PoolStatistics, create_pool, open_pool
from odxfs.volume.reads import INLINE_BYTES
from odxfs.volume.snapshots.snapshot_volume import SnapshotVolume
from odxfs.volume.snapshots.snapshots import Snapshot
from odxfs.volume.statfs import Statfs
from odxfs.volume.tree.directories import DirectoryEntry
from odxfs.volume.tree.inodes import AttributeChange, Inode, Permit
from odxfs.volume.tree.names import ODXFS_FOLDER, SNAPSHOTS_FOLDER, decode_name, encode_name, is_stream_name
from odxfs.volume.tree.namespace import VolumeRecord
from odxfs.volume.tree.renames import RenameFlags, RenamePermit
from odxfs.volume.tree.streams import StreamEntry
from odxfs.volume.tree.upcase import upcase
from odxfs.volume.tree.xattrs import CAPABILITY_NAME
from odxfs.volume.volume import Volume
from odxfs.volume.writes import RangePermit, permit_all, whole_or_edge

__all__ = [
    "CAPABILITY_NAME", "INLINE_BYTES", "MOST_OF_ONE_MOMENT", "MOUNT", "ODXFS_FOLDER", "SNAPSHOTS_FOLDER",
    "Attribute", "AttributeChange", "AttributesChanged", "Change", "Condition", "ContentChanged", "DirectoryEntry",
    "DiskCondition", "EntryAdded",
    "EntryRemoved", "EntryRenamed", "Finding", "Inode", "Permit", "Pin", "Pool", "PoolStatistics", "RangePermit", "RenameFlags",
    "RenamePermit",
    "RepairReport", "Snapshot", "SnapshotAdded", "SnapshotRemoved", "SnapshotVolume", "Statfs",
    "StreamAdded", "StreamEntry", "StreamRemoved", "StreamRenamed", "Trouble", "Volume", "VolumeRecord",
    "check_directory", "create_pool", "decode_name", "encode_name", "inode_seen_in", "is_stream_name", "open_pool",
    "parts_to_capture", "permit_all", "repair_directory", "upcase", "whole_or_edge",
]  # fmt: skip
