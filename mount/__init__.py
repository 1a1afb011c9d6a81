"""The pyfuse3 front end of an odxfs volume; installed as the import package `odxfs_mount`. See README.md.

Nothing is imported here: `odxfs umount` wants `odxfs_mount.unmounting` without pyfuse3, which needs libfuse.
"""
