"""The FSCTLs of IOCTL, one family a module."""
