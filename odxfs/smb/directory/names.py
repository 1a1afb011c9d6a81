"""Which stored names a listing shows, and as what.

A volume's name is any bytes but `/` and NUL. `odxfs.smb.paths.wire_name` maps what Windows forbids into the private-use
range and CREATE maps it back. A name that is not UTF-8, or has characters of that range itself, has no UTF-16 form that would
lead back to it: it is hidden from listings and change notifications, and stays reachable on the mount.
"""

from odxfs.smb.paths import leads_elsewhere, wire_name


def shown_name(stored: bytes) -> str | None:
    """The text that a client sees for a stored name; None when it is hidden."""
    if not stored.isascii():
        try:
            text = stored.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if leads_elsewhere(text):
            return None
    return wire_name(stored)
