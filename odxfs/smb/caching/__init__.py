"""Oplocks and leases on the wire: what `odxfs.opens` grants and breaks, as MS-SMB2 has it."""
