"""What a person can do about each refusal of copy offload: one sentence for each, beside the one that says what happened."""

from odxfs.errors import Refusal

_ADVICE = {
    Refusal.OFFLOAD_DISABLED: "switch it on: copy-offload of the SVM, and of the share ('odxfs share list')",
    Refusal.DIALECT_TOO_OLD: "let the client negotiate SMB 3.0 or later (max-dialect, or the client's settings)",
    Refusal.NOT_A_FILE_SHARE: "nothing: pipes have no data to copy",
    Refusal.BUFFER_TOO_SMALL: "the client sends malformed requests: see MS-FSCC 2.3.41 to 2.3.44",
    Refusal.NOT_ALIGNED: "the client must ask in whole sectors of 512 bytes",
    Refusal.BAD_SIZE_FIELD: "the client sends malformed requests: see MS-FSCC 2.3.41 to 2.3.44",
    Refusal.RANGE_OVERFLOW: "the client asks for more than a file can hold",
    Refusal.NOT_READABLE: "the client must open the source with FILE_READ_DATA",
    Refusal.NOT_WRITABLE: "the client must open the destination with FILE_WRITE_DATA",
    Refusal.READ_FILE_KIND: "nothing: directories and the like are not copied by token",
    Refusal.WRITE_FILE_KIND: "nothing: directories and the like are not copied by token",
    Refusal.FILE_DELETED: "the file was deleted while it was open",
    Refusal.LOCKED: "another open holds a byte-range lock: close that program",
    Refusal.BEYOND_END: "the client must set the destination to its full size (SetEndOfFile) before it writes a token",
    Refusal.VOLUME_READ_ONLY: "write to a share, and to a version of the volume, that may be changed",
    Refusal.UNKNOWN_TOKEN: "the token is another vendor's: only its own server can redeem it",
    Refusal.FORGED_TOKEN: "the token was changed on its way; clients must carry it as it is",
    Refusal.EXPIRED_TOKEN: "the client waited too long between read and write: raise the default lifetime of tokens",
    Refusal.FILE_TOO_SMALL: "nothing: small files are copied by reading and writing (smallest-file of the SVM)",
    Refusal.CANCELLED_TOKEN: "copy again: the new read makes a new token",
    Refusal.SOURCE_CHANGED: "copy when nobody writes the source, or set the share's offload policy to pin",
    Refusal.FORGOTTEN_TOKEN: "the client must use its tokens sooner",
    Refusal.EVICTED_TOKEN: "raise the bounds on tokens of the SVM, or let clients hold fewer at a time",
    Refusal.EARLIER_LIFE: "copy again: tokens do not outlive the server that made them",
    Refusal.QUOTA_EXCEEDED: "raise the quota of the volume ('odxfs volume quota'), or delete files",
    Refusal.DAMAGED: "find out what else is damaged with 'odxfs scrub', and restore the file",
    Refusal.STORE_FAILED: "look at the disk below the pool, and at the log",
    Refusal.INJECTED: "the share is set up to fail: 'odxfs share set DIR NAME --offload-policy pin' ends that",
    Refusal.UNKNOWN_PEER: "make the token's server a peer of this one: 'odxfs peer add'",
    Refusal.PEER_REFUSES: "look at the credential of the peer ('odxfs peer list'), and at its user of that name",
    Refusal.PEER_UNREACHABLE: "look whether the peer runs and whether its address is right ('odxfs peer list')",
    Refusal.PEER_BUSY: "copy again later, or look at the network between the servers",
    Refusal.PEER_FAILED: "look at the log of the peer",
    Refusal.PEER_REFUSED_TOKEN: "look at the trace of the peer, which knows why",
    Refusal.OFFSET_BEYOND_TOKEN: "the client must not ask for more than TransferLength said",
    Refusal.NO_SPACE: "free space, or raise the quota of the volume",
    Refusal.TOO_MANY_TOKENS: "raise the bounds on tokens, or let clients hold fewer at a time",
}


def advice_for(label: str) -> str:
    """What to do about the refusal of that label; empty for one that this program does not know."""
    reason = _reason(label)
    return _ADVICE.get(reason, "") if reason is not None else ""


def sentence_for(label: str) -> str:
    """What happened, for the refusal of that label."""
    reason = _reason(label)
    return reason.sentence if reason is not None else label.replace("_", " ")


def _reason(label: str) -> Refusal | None:
    return Refusal.__members__.get(label.upper())
