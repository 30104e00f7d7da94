"""How much memory a model may take on this machine."""

from pathlib import Path

import psutil

_CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux writes the limit of a control group, version 2 and version 1."""


def available_bytes() -> int:
    """What is free on the machine, or in the container where that is less."""
    free = int(psutil.virtual_memory().available)
    for file in _CONTAINER_LIMITS:
        limit = file.read_text().strip() if file.is_file() else ""
        if limit.isdigit():
            # Pages cached from files count as used in the group, so only our own are subtracted.
            free = min(free, int(limit) - int(psutil.Process().memory_info().rss))
    return free


def readable(size: float) -> str:
    """A number of bytes as a person reads it: "360 MB", "1.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
