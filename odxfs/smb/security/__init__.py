"""Who may do what: tokens of sessions, the access check, inheritance, and what descriptors mean on the mount."""
