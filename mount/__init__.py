"""The pyfuse3 front end of an odxfs volume; installed as the import package `odxfs_mount`. See README.md.

Nothing is imported here but the loader of our extension, which has to come before pyfuse3 does anywhere. `odxfs umount`
wants `odxfs_mount.unmounting` without pyfuse3, which needs libfuse.
"""

from . import extension as extension
