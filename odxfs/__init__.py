"""odxfs: a copy-on-write volume, mounted with FUSE and shared over SMB 3.1.1 with ODX copy offload."""

import os

__version__ = "0.1.0"

# For numpy, which must find it when it is imported: its threads for linear algebra, of which there is none here, one a processor,
# would spin for some 70 ms in every process.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
