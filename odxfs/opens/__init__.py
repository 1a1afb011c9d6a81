"""The open table: share modes, delete pending and locks, for the share and the mount alike."""

from odxfs.opens.advisory_locks import AdvisoryLock
from odxfs.opens.ranges import LockRange
from odxfs.opens.table import DirectoryName, OpenEntry, OpenTable

__all__ = ["AdvisoryLock", "DirectoryName", "LockRange", "OpenEntry", "OpenTable"]
