"""The pyfuse3 front end of an odxfs volume; installed as the import package `odxfs_mount`. See README.md."""
