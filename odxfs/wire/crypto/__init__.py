"""Keys, signatures, encryption and the preauthentication hash of SMB 2.1 to 3.1.1."""
