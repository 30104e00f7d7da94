"""How much memory a model may take on this machine."""

import re
from pathlib import Path

import psutil

from gateway.core.errors import ConfigError

_CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux writes the limit of a control group, version 2 and version 1."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}

_LEAST_BYTES = 10**6
"""Nobody means fewer: a number below has lost its unit."""
_MARGIN_SHARE = 0.1
_MARGIN_BYTES = 512 * 10**6


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


def default_budget(free: int) -> int:
    """Bytes for models on a machine with so many free: all but a tenth, and at least 512 MB left
    for requests, tokenizers and whatever else the machine does; never below 0."""
    return max(free - max(_MARGIN_BYTES, int(free * _MARGIN_SHARE)), 0)


def parse_size(text: str) -> int:
    """A number of bytes as a person writes it: "800MB", "1.5 GB", "4GiB", "1000000".

    Raises:
        ConfigError: it is none, is not above 0, or is so small without a unit that one was left
            out.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMG]I?|)B?\s*", text.upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size <= 0:
        raise ConfigError(f"{text!r} is no size", hint="write it as 800MB, 1.5GB or 4GiB")
    if found and size < _LEAST_BYTES and text.strip()[-1].isdigit():
        number = found[1]
        raise ConfigError(
            f"{text!r} has no unit: it would be {size:,} bytes",
            hint=f"write {number}GB, {number}MB, or {number}GiB",
        )
    return size
