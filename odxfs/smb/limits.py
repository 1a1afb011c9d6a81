"""Every number that bounds what a client can make this server hold, each with its reason."""

MAX_CONNECTIONS = 1024
"""TCP connections in all: a connection costs about 100 KiB at rest, so 100 MiB; more is an attack or a misconfiguration."""

MAX_UNAUTHENTICATED_CONNECTIONS = 128
"""Connections without a login: anybody may open them, so they are a tenth of all; a login takes milliseconds."""

LOGIN_SECONDS = 30.0
"""How long a connection may stay without a login; a client with a password prompt connects after the prompt."""

MAX_SESSIONS_PER_CONNECTION = 64
"""Sessions of one connection; a terminal server has one a user, other clients have one or two."""

MAX_TREES_PER_SESSION = 256
"""Tree connects of one session; clients hold one a share, test tools a few more."""

MAX_OPENS_PER_SESSION = 16384
"""Opens of one session, the number that Windows allows a client (MS-SMB2 leaves it open); an open costs about 1 KiB."""

MAX_LOCKS_PER_OPEN = 4096
"""Byte-range locks of one open: databases hold dozens; each is searched in logarithmic time but costs memory."""

MAX_WORKING_REQUESTS = 256
"""Requests of one connection that run at the same time; past it the connection is not read until one ends."""

MAX_PENDING_REQUESTS = 512
"""Requests of one connection that were answered STATUS_PENDING (blocking locks, change notify): Windows' MaxAsyncCredits."""

MAX_COMPOUND_REQUESTS = 64
"""Requests in one compound: clients send three or four; a longer one only delays the others of its connection."""

RECEIVE_BYTES = 1024 * 1024
"""What one receive asks the kernel for: a whole 1 MiB write, or some hundred small requests."""

MAX_FAST_REPLY_BYTES = 16 * 1024 * 1024
"""Replies gathered for one send: past it they leave before the next request is looked at."""

MAX_PATH_CHARACTERS = 4096
"""UTF-16 units of one path (POSIX PATH_MAX); NTFS allows 32,767, which no Linux tool could name on the mount."""
