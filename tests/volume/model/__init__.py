"""What a volume should hold, in plain memory: the reference that tests compare the store with. Nothing here does I/O."""
