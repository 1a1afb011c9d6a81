"""The catalog's tables in SQL that SQLite and PostgreSQL both take.

BIGINT and BYTEA are PostgreSQL's words; SQLite stores what it is given under both. Rows are found by primary key alone,
point or prefix range, so every table is WITHOUT ROWID in SQLite (the row lies in the key's tree) and needs no further
index. A number is signed 64 bit; names are bytes because POSIX names are.
"""

from odxfs.volume.catalog.interface import PAST, Shape, Table

SCHEMA_VERSION = 7
"""Kept in `claim.schema`. A larger one was written by a newer odxfs; this one must not touch it; smaller ones are migrated."""

# The snapshots of volumes, ascending in time. `inodes` and `allocated_blocks` are the volume's at that moment; `state` is 0
# for one that can be read and 1 for one that is being deleted.
_SNAPSHOT = """CREATE TABLE snapshot (
        id BIGINT NOT NULL, volume BIGINT NOT NULL, name TEXT NOT NULL, created_ns BIGINT NOT NULL,
        inodes BIGINT NOT NULL, allocated_blocks BIGINT NOT NULL, state BIGINT NOT NULL,
        PRIMARY KEY (id))"""

# Opens that clients of a server keep over its restart. `id` is the server's, `number` the inode, `body` what the server needs to
# make the open again.
_PERSISTENT_OPEN = """CREATE TABLE persistent_open (
        id BIGINT NOT NULL, number BIGINT NOT NULL, body BYTEA NOT NULL,
        PRIMARY KEY (id))"""

# Changes of leaves that their own rows lack yet, one row a commit, in the order of `id` (leaf_log.py). The next owner of the
# pool brings the leaves up to date before anything else.
_LEAF_LOG = """CREATE TABLE leaf_log (
        id BIGINT NOT NULL, body BYTEA NOT NULL,
        PRIMARY KEY (id))"""

# Named streams of files and directories: `number` is the base, `folded` the name by `tree/names.py: fold`, `stream` the stream's
# own inode.
_STREAM = """CREATE TABLE stream (
        number BIGINT NOT NULL, folded BYTEA NOT NULL, name BYTEA NOT NULL, stream BIGINT NOT NULL,
        PRIMARY KEY (number, folded))"""

BYTE_COLUMNS = frozenset({"name", "folded", "target", "value", "leaves", "body", "bitmap", "counts"})
"""Columns that hold bytes (a `name` of a volume or snapshot is text); all others hold integers."""


def _past_statements(shape: Shape) -> tuple[str, str]:
    """A file tree's rows as snapshots hold them (past.py): what a row was until it was first changed after a snapshot.

    The row under (snapshot, key) is as it was at that snapshot and at those before it down to the next one that has a row
    for the key; with `present` 0 there was none. The index finds the first snapshot at or behind a given one.
    """
    key = [f"{column} {_type(column)} NOT NULL" for column in shape.key]
    row = [f"{column} {_type(column)}" for column in shape.row if column != "present"]
    name, columns = shape.name, ", ".join(shape.key)
    table = (
        f"CREATE TABLE {name} ({', '.join(key)}, present BIGINT NOT NULL"
        f"{''.join(f', {column}' for column in row)}, PRIMARY KEY ({columns}))"
    )
    index = f"CREATE INDEX {name}_by_key ON {name} ({', '.join(shape.key[1:])}, snapshot)"
    return table, index


def _type(column: str) -> str:
    return "BYTEA" if column in BYTE_COLUMNS else "BIGINT"


_PAST_STATEMENTS = {table: _past_statements(past.value) for table, past in PAST.items()}
_FIRST_PAST = [statements for table, statements in _PAST_STATEMENTS.items() if table is not Table.STREAM]
"""Those of the tables that snapshots began with."""

TABLES = (
    # Who may write: one row (id 0). `epoch` grows with each owner and is compared inside every commit, so an owner that
    # lost the pool cannot change it any more. `owner` says who, for people. `schema` is SCHEMA_VERSION.
    """CREATE TABLE claim (
        id BIGINT NOT NULL, epoch BIGINT NOT NULL, owner TEXT NOT NULL, schema BIGINT NOT NULL,
        PRIMARY KEY (id))""",
    # The pool's counters: one row (id 0), written by every commit. `clean` is 1 when the last owner left in order;
    # next_* are the identifiers to hand out next (never used twice); `commits` counts commits.
    """CREATE TABLE pool (
        id BIGINT NOT NULL, clean BIGINT NOT NULL, next_inode BIGINT NOT NULL, next_leaf BIGINT NOT NULL,
        next_pin BIGINT NOT NULL, next_cookie BIGINT NOT NULL, commits BIGINT NOT NULL,
        next_snapshot BIGINT NOT NULL DEFAULT 1, next_volume BIGINT NOT NULL DEFAULT 2,
        PRIMARY KEY (id))""",
    # The volumes: `root` is the inode number of the root directory, `created_ns` nanoseconds since 1970, `inodes` how many
    # inodes have a name (the root counts), `allocated_blocks` the sum of that column of its inodes, `quota_blocks` what that
    # may come to (0 is no quota). `state` is 0 for one that can be used and 1 for one whose rows are being deleted, or were never
    # all there.
    """CREATE TABLE volume (
        id BIGINT NOT NULL, name TEXT NOT NULL, root BIGINT NOT NULL, created_ns BIGINT NOT NULL,
        inodes BIGINT NOT NULL, allocated_blocks BIGINT NOT NULL DEFAULT 0, quota_blocks BIGINT NOT NULL DEFAULT 0,
        state BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (id))""",
    _SNAPSHOT,
    # One row an inode, of all volumes. `mode` carries S_IFMT; `rdev` is makedev() of a device node; `nlink` counts names
    # (of a directory: 2 and one for each directory in it), 0 only while an ORPHAN row stands; `size` is in bytes,
    # `allocated_blocks` in blocks of 4096 bytes; times are nanoseconds since 1970 (negative before); `dos_attributes` are
    # FILE_ATTRIBUTE_* bits (MS-FSCC 2.6) that cannot be told from the rest; `parent` is the directory above a directory
    # (the root's is itself), the base of a named stream, 0 for anything else; `target` is a symlink's text, empty otherwise.
    """CREATE TABLE inode (
        number BIGINT NOT NULL, volume BIGINT NOT NULL, mode BIGINT NOT NULL, uid BIGINT NOT NULL,
        gid BIGINT NOT NULL, rdev BIGINT NOT NULL, nlink BIGINT NOT NULL, size BIGINT NOT NULL,
        allocated_blocks BIGINT NOT NULL, atime_ns BIGINT NOT NULL, mtime_ns BIGINT NOT NULL,
        ctime_ns BIGINT NOT NULL, btime_ns BIGINT NOT NULL, dos_attributes BIGINT NOT NULL,
        generation BIGINT NOT NULL, parent BIGINT NOT NULL, target BYTEA NOT NULL,
        PRIMARY KEY (number))""",
    # The names in a directory: lookup. `kind` is the inode's S_IFMT bits, `cookie` its place in `listing`.
    """CREATE TABLE dirent (
        directory BIGINT NOT NULL, name BYTEA NOT NULL, number BIGINT NOT NULL, kind BIGINT NOT NULL,
        cookie BIGINT NOT NULL,
        PRIMARY KEY (directory, name))""",
    # The same entries in the order in which a listing gives them. A cookie is never used twice, so a listing that goes on
    # after a cookie neither repeats nor misses an entry that was there all the time.
    """CREATE TABLE listing (
        directory BIGINT NOT NULL, cookie BIGINT NOT NULL, name BYTEA NOT NULL, number BIGINT NOT NULL,
        kind BIGINT NOT NULL,
        PRIMARY KEY (directory, cookie))""",
    # Names whose form without case (`tree/names.py: fold`) differs from the name itself, for clients that ignore case. A name
    # that is its own folded form is found in `dirent`.
    """CREATE TABLE folded (
        directory BIGINT NOT NULL, folded BYTEA NOT NULL, name BYTEA NOT NULL,
        PRIMARY KEY (directory, folded, name))""",
    # `dirent` the other way round: every name of an inode.
    """CREATE TABLE name (
        number BIGINT NOT NULL, directory BIGINT NOT NULL, name BYTEA NOT NULL,
        PRIMARY KEY (number, directory, name))""",
    # Extended attributes; `value` is at most 64 KiB.
    """CREATE TABLE xattr (
        number BIGINT NOT NULL, name BYTEA NOT NULL, value BYTEA NOT NULL,
        PRIMARY KEY (number, name))""",
    # Inodes with no name left that were open, or whose extents were still being given back, at the commit. The next owner
    # of the pool deletes them.
    """CREATE TABLE orphan (
        number BIGINT NOT NULL,
        PRIMARY KEY (number))""",
    # A file's extent map: page p holds the leaf references (up to 512 little-endian u64: leaf id * 4096 +
    # the blocks it allocates; 0 is a hole) of the 4 GiB from p * 4 GiB on. `latest` is the volume's latest snapshot when the
    # page was last written: a later snapshot holds the page, too.
    """CREATE TABLE extents (
        number BIGINT NOT NULL, page BIGINT NOT NULL, leaves BYTEA NOT NULL, latest BIGINT NOT NULL DEFAULT 0,
        PRIMARY KEY (number, page))""",
    # A leaf: the extents of one 8 MiB window. `kind` tells the form of `body` (leaf.py).
    """CREATE TABLE leaf (
        id BIGINT NOT NULL, kind BIGINT NOT NULL, body BYTEA NOT NULL,
        PRIMARY KEY (id))""",
    # Leaves that two or more extent maps and pins name, and how many do; one holder has no row. 0 is a leaf that nobody holds
    # and whose blocks are still to be freed. `id` is the reference, as in `extents`.
    """CREATE TABLE leaf_refs (
        id BIGINT NOT NULL, holders BIGINT NOT NULL,
        PRIMARY KEY (id))""",
    # Which blocks of a group of 16,384 are allocated (bit i of the little-endian bitmap), and, only where blocks are
    # shared, how many leaves reach each (space.py).
    """CREATE TABLE space (
        block_group BIGINT NOT NULL, bitmap BYTEA NOT NULL, counts BYTEA,
        PRIMARY KEY (block_group))""",
    # Pins that were alive at the commit: the references each holds (little-endian u64). The next owner drops them.
    """CREATE TABLE pin (
        id BIGINT NOT NULL, leaves BYTEA NOT NULL,
        PRIMARY KEY (id))""",
    _PERSISTENT_OPEN,
    _STREAM,
    _LEAF_LOG,
    *(table for table, _ in _PAST_STATEMENTS.values()),
)

# Tables of version 6 or less were folded by str.casefold, which takes more names for the same than `fold`, an SQL function of the
# engine for as long as it migrates. So a row of `folded` moves to another key or goes.
_FOLD_NAMES = (
    "INSERT INTO folded SELECT directory, fold(name), name FROM folded"
    " WHERE fold(name) <> folded AND fold(name) <> name ON CONFLICT DO NOTHING",
    "DELETE FROM folded WHERE fold(name) <> folded OR folded = name",
    "INSERT INTO folded_past SELECT snapshot, directory, fold(name), name, present FROM folded_past"
    " WHERE fold(name) <> folded AND fold(name) <> name ON CONFLICT DO NOTHING",
    "DELETE FROM folded_past WHERE fold(name) <> folded OR folded = name",
)

# A key of `stream` may have had several names in turn, which have a key each from now on. What snapshots know of the old key
# holds for each of the new ones: the stream where it had that key's name, else that there was none.
_FOLD_STREAMS = (
    "INSERT INTO stream_past SELECT past.snapshot, past.number, keys.folded,"
    " CASE WHEN fold(past.name) = keys.folded THEN past.present ELSE 0 END,"
    " CASE WHEN fold(past.name) = keys.folded THEN past.name END,"
    " CASE WHEN fold(past.name) = keys.folded THEN past.stream END"
    " FROM stream_past AS past JOIN (SELECT number, folded AS old, fold(name) AS folded FROM stream WHERE fold(name) <> folded"
    " UNION SELECT number, folded, fold(name) FROM stream_past WHERE fold(name) <> folded) AS keys"
    " ON keys.number = past.number AND keys.old = past.folded WHERE TRUE ON CONFLICT DO NOTHING",
    "UPDATE stream_past SET present = 0, name = NULL, stream = NULL WHERE fold(name) <> folded",
    "INSERT INTO stream SELECT number, fold(name), name, stream FROM stream WHERE fold(name) <> folded ON CONFLICT DO NOTHING",
    "DELETE FROM stream WHERE fold(name) <> folded",
)

INDEXES = tuple(index for _, index in _PAST_STATEMENTS.values())

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE pool ADD COLUMN next_snapshot BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE pool ADD COLUMN next_volume BIGINT NOT NULL DEFAULT 2",
        "ALTER TABLE volume ADD COLUMN allocated_blocks BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE volume ADD COLUMN quota_blocks BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE volume ADD COLUMN state BIGINT NOT NULL DEFAULT 0",
        "UPDATE volume SET allocated_blocks = (SELECT COALESCE(SUM(allocated_blocks), 0) FROM inode"
        " WHERE inode.volume = volume.id)",
        "ALTER TABLE extents ADD COLUMN latest BIGINT NOT NULL DEFAULT 0",
        _SNAPSHOT,
        *(table for table, _ in _FIRST_PAST),
        *(index for _, index in _FIRST_PAST),
    ),
    2: (),  # leaves of new kinds (leaf.py); those that are there stay as they are
    3: (_PERSISTENT_OPEN,),
    4: (_STREAM, *_PAST_STATEMENTS[Table.STREAM]),
    5: (_LEAF_LOG,),
    6: (*_FOLD_NAMES, *_FOLD_STREAMS),
}
"""Schema version -> what leads to the next one; a CREATE TABLE gets the engine's own ending."""
