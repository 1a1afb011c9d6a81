"""A disk in memory that records what is done to it, fails where it is told to, and can lose what was not synced.

It is a FUSE file system in a process of its own, so it sees all I/O of the store alike: segments, SQLite's files, the rest.
"""
