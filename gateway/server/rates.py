"""How many requests a key may send in a minute: a bucket of tokens that fills up evenly."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.server.http_errors import TooMany
from gateway.server.keys import ApiKey


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Rates:
    """One bucket a key.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def count(self, key: ApiKey) -> None:
        """One more request of this key.

        Raises:
            TooMany: its minute is used up; says when the next one may come.
        """
        if key.requests_per_minute == 0:
            return
        most, now = float(key.requests_per_minute), self._clock()
        bucket = self._buckets.setdefault(key.sha256, _Bucket(most, now))
        per_second = most / 60.0
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled) * per_second)
        bucket.filled = now
        if bucket.tokens < 1.0:
            raise TooMany(
                f"the key {key.name!r} may send {key.requests_per_minute} requests a minute",
                retry_after=math.ceil((1.0 - bucket.tokens) / per_second),
            )
        bucket.tokens -= 1.0
