"""How much memory this process may still take, so that a cube that would not fit is refused before it is read."""

from __future__ import annotations

import os
from pathlib import Path

from kinms.errors import InputError

__all__ = ["available_memory", "check_memory", "in_words"]

#: Below this many bytes nobody looks how much is free.
_LITTLE = 1 << 30

#: Where Linux says what is free, and what containers may use of it (cgroup versions 2 and 1): limit, in use, of what.
_MEMINFO = Path("/proc/meminfo")
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def available_memory() -> int | None:
    """Return the bytes that can still be taken without swapping, None where the system does not tell."""
    found = [value for value in (_free(), *(_group_rest(*paths) for paths in _GROUPS), _address_rest()) if value]
    return min(found) if found else None


def check_memory(name: str, n: float, fix: str) -> None:
    """Refuse what needs ``n`` bytes if there are not as many."""
    free = available_memory() if n > _LITTLE else None
    if free is not None and n > free:
        got = f"such that {in_words(n)} of memory are needed"
        raise InputError(name, got, f"at most the {in_words(free)} that are free", fix)


def in_words(n: float) -> str:
    """Return a number of bytes as people write it.

    Examples
    --------
    >>> in_words(21_474_836_480), in_words(3_000)
    ('20 GiB', '2.9 KiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if n < 1024.0 or unit == "TiB":
            return f"{n:.0f} {unit}" if n >= 10.0 or unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1024.0
    raise AssertionError  # the loop returns at its last unit


def _free() -> int | None:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        # Of systems that tell no more: all that there is.
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return None


def _group_rest(limit: str, used: str, stat: str) -> int | None:
    try:
        rest = int(Path(limit).read_text()) - int(Path(used).read_text())
        for line in Path(stat).read_text().splitlines():
            name, _, n = line.partition(" ")
            if name in ("active_file", "inactive_file"):  # pages of files count as used, and are given back when needed
                rest += int(n)
        return max(rest, 1)
    except (OSError, ValueError):  # no such group, or "max": no limit
        return None


def _address_rest() -> int | None:
    """Return what a limit on the address space (``ulimit -v``) leaves."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(soft - pages * os.sysconf("SC_PAGE_SIZE"), 1)
    except (ImportError, OSError, ValueError, IndexError):
        return None
