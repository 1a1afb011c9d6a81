"""odxfs: a copy-on-write volume, mounted with FUSE and shared over SMB 3.1.1 with ODX copy offload."""

__version__ = "0.1.0"
