"""The open table: share modes, delete pending, locks and caching, for the share and the mount alike."""

from odxfs.opens.advisory_locks import AdvisoryLock
from odxfs.opens.caching import Break, Grant, Use, when_all_settled
from odxfs.opens.ranges import LockRange
from odxfs.opens.table import DirectoryName, OpenEntry, OpenTable

__all__ = [
    "AdvisoryLock",
    "Break",
    "DirectoryName",
    "Grant",
    "LockRange",
    "OpenEntry",
    "OpenTable",
    "Use",
    "when_all_settled",
]
