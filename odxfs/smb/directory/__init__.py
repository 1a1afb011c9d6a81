"""Names and enumerations of directories as SMB shows them."""
