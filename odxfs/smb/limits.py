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

MAX_WORKING_CREDITS = 1024
"""Credits (64 KiB each) of the requests of one connection that run or whose replies are being sent: 64 MiB of payload.

Past it the connection is not read until a reply has left, so a client that does not read its replies stops itself.
"""

MAX_PENDING_REQUESTS = 512
"""Requests of one connection that were answered STATUS_PENDING (blocking locks, change notify): Windows' MaxAsyncCredits."""

MAX_GATHERED_BYTES = 4 * 1024 * 1024
"""Replies gathered for one send: past it they leave before the next request is looked at."""

MAX_PASSES_WITHOUT_CHECKPOINT = 8
"""Receives in a row of a connection that never runs dry, before it lets the other tasks run."""

MAX_PATH_CHARACTERS = 4096
"""UTF-16 units of one path (POSIX PATH_MAX); NTFS allows 32,767, which no Linux tool could name on the mount."""
