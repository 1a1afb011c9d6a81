"""How many files and sockets the process may have open at once."""

import resource


def allow_descriptors(count: int) -> int:
    """Raise the process' soft limit to `count`, as far as the hard limit goes; returns what it is now.

    By tradition it is 1,024, for programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return soft
    allowed = count if hard == resource.RLIM_INFINITY else min(hard, count)
    if allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(soft, allowed)
