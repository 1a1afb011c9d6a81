"""Every number that bounds what a client can make this server hold, each with its reason."""

MAX_CONNECTIONS = 1024
"""TCP connections in all: a connection costs about 100 KiB at rest, so 100 MiB; more is an attack or a misconfiguration."""

MAX_UNAUTHENTICATED_CONNECTIONS = 512
"""Connections without a login: anybody may open them, so they are half of all, and cost some 40 KiB each.

So many clients may log in at the same moment, as they do after a failure of the network. Past it the address that has most
of them loses one, so that nobody keeps those at other addresses from logging in.
"""

LOGIN_SECONDS = 30.0
"""How long a connection may stay without a login, and a login that has begun without its end; a client with a password prompt
connects after the prompt."""

MAX_SESSIONS_PER_CONNECTION = 64
"""Sessions of one connection; a terminal server has one a user, other clients have one or two."""

MAX_WAITING_LOGINS = 8
"""Logins of one connection whose answer waits because somebody has failed. More than those are not looked at: so a connection
does not try passwords of many accounts at a time, and an honest one has a user or two who mistypes."""

MAX_CHANNELS_PER_SESSION = 32
"""Connections of one session, the number that Windows allows; clients open four for each network adapter."""

MAX_TREES_PER_SESSION = 256
"""Tree connects of one session; clients hold one a share, test tools a few more."""

MAX_OPENS_PER_SESSION = 16384
"""Opens of one session, the number that Windows allows a client (MS-SMB2 leaves it open); an open costs about 1 KiB."""

MAX_PIPES_PER_SESSION = 64
"""Named pipes of those opens: clients hold a handful; each may keep 64 KiB of a call whose end does not come, and some 350 KiB of
answers that nobody reads, so 26 MiB."""

MAX_WATCHES_PER_SESSION = 512
"""Opens of one session whose folder is watched, as many as may wait on one connection: each gathers 64 KiB whether its client
asks or not, so 32 MiB, and every change of the volume is compared with each of them."""

MAX_LOCKS_PER_OPEN = 4096
"""Byte-range locks of one open: databases hold dozens; each is searched in logarithmic time but costs memory."""

MAX_LOCKS_PER_SESSION = 65536
"""Byte-range locks of all opens of one session, as many as one file may have: some 250 bytes each, so 16 MiB."""

FEW_LOCKS = MAX_LOCKS_PER_SESSION // MAX_OPENS_PER_SESSION
"""So many on each open are no more than that: only for what goes beyond are those of all opens summed up."""

MAX_WORKING_CREDITS = 1024
"""Credits (64 KiB each) of the requests of one connection that run or whose replies are being sent: 64 MiB of payload.

Past it the connection is not read until a reply has left, so a client that does not read its replies stops itself.
"""

MAX_LEASES_PER_CLIENT = 16384
"""Leases of one ClientGuid, as many as a session may have opens: each costs some 400 bytes and, broken, one timer."""

BREAK_SECONDS = 35.0
"""How long the answer to a break is waited for, Windows' OplockBreakTimer (MS-SMB2 3.3.2.1): a client has that long to flush."""

SILENT_SECONDS = 30.0
"""A client whose TCP has confirmed nothing for so long while a break waits for it is gone, and ends before the break is due.

TCP sends for the seventh time after 25.4 seconds at the earliest, so who is back by then is heard.
"""

MIN_ROUND_SECONDS = 0.2
MAX_ROUND_SECONDS = 1.0
CHANNEL_ROUNDS = 6
"""How long a channel has to bring a break to the client's TCP before the next is taken: six times what TCP itself waits before
it sends again, held between 0.2 (Linux' least) and 1 second, as Samba has it: a loss or two, and little of the 35 seconds."""

MAX_PENDING_REQUESTS = 512
"""Requests of one connection that were answered STATUS_PENDING (blocking locks, change notify): Windows' MaxAsyncCredits."""

MAX_PENDING_BYTES = 16 * 1024 * 1024
"""What those requests have brought with them, and may keep while they wait: a few hundred bytes each, as a rule."""

MAX_GATHERED_BYTES = 256 * 1024
"""Replies gathered for one send: past it they leave before the next request is looked at."""

MAX_PASSES_WITHOUT_CHECKPOINT = 8
"""Receives in a row of a connection that never runs dry, before it lets the other tasks run."""

MAX_PASSES_BESIDE_OTHERS = 2
"""The same while there are other connections: one client's requests on two of them are served about in the order they came."""

MAX_TURN_SECONDS = 0.01
"""What a connection may execute of one receive at a stretch: two thousand requests fit into one, half a second of CREATEs."""

MAX_PATH_CHARACTERS = 4096
"""UTF-16 units of one path (POSIX PATH_MAX); NTFS allows 32,767, which no Linux tool could name on the mount."""

MAX_SECURITY_DESCRIPTOR_BYTES = 64 * 1024
"""A security descriptor that a client may set: what Windows' access lists are bounded by, and one extended attribute."""

MAX_SMALL_DESCRIPTOR_BYTES = 2048
MAX_CACHED_ACCESS_CHECKS = 4096
MAX_CACHED_LARGE_ACCESS_CHECKS = 32
"""Access checks whose results are remembered, by descriptor and user: 8 MiB of descriptors of usual size, 2 MiB of large ones."""

MAX_CACHED_INHERITANCES = 32
"""Descriptors of new files that are remembered, by what they are made of: a copy of a tree needs a few; 4 MiB at worst."""

MAX_PARKED_OPENS_PER_USER = 16384
"""Opens that wait for a user whose connection is lost: as many as a session may have; more are closed with their session.

Counted by user and not by client, since whoever connects may call himself any client. A parked open costs about 2 KiB and
keeps others from the file for as long as it waits.
"""

MAX_PARKED_OPENS = 65536
"""Parked opens of all users: 128 MiB."""

MAX_PERSISTENT_OPENS_PER_USER = 16384
"""Persistent opens of one user, parked or not; more are durable at most. Each is a row of the catalog that a start reads."""

DURABLE_SECONDS = 120.0
"""How long a durable open of version 1 waits, which names no time; Windows waits as long since 8.1."""

DURABLE_V2_SECONDS = 60.0
"""How long one of version 2 waits whose client leaves it to the server; Windows' number."""

MAX_DURABLE_V2_SECONDS = 300.0
"""The longest that a client gets for the asking; Windows' number."""

LOSS_SECONDS = 10.0
"""How long a client that is back waits for what its lost connection has still at work: a disk that takes longer is ill."""

RESILIENT_SECONDS = 120.0
"""How long a resilient open waits whose client leaves it to the server; Windows' number."""

MAX_RESILIENT_SECONDS = 300.0
"""MaxResiliencyTimeout: a longer wish is refused (MS-SMB2 3.3.5.15.9); Windows' number."""

MAX_IPV4_ADDRESSES = 1024
"""Addresses of the machine that the kernel is asked for when a client asks where to connect: 40 KiB for the time of the call."""
