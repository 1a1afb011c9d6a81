"""The open table: share modes, delete pending and byte-range locks, for the share and the mount alike."""

from odxfs.opens.table import DirectoryName, OpenEntry, OpenTable

__all__ = ["DirectoryName", "OpenEntry", "OpenTable"]
