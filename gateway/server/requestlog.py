"""One line of JSON for each request, without a word of any prompt unless the operator asks."""

import json
import sys
from datetime import UTC, datetime
from typing import TextIO

from gateway.server.exchange import Exchange


class RequestLog:
    """Writes to standard error, or where it is told."""

    def __init__(self, target: TextIO | None = None) -> None:
        self._target = target

    def write(self, exchange: Exchange) -> None:
        """The line of an exchange that is over."""
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": exchange.id,
            "method": exchange.method,
            "path": exchange.path,
            "status": exchange.status,
            "seconds": round(exchange.seconds, 6),
            "key": exchange.key.name if exchange.key else None,
            "model": exchange.model or None,
            "adapter": exchange.adapter or None,
            "waited_s": round(exchange.waited_s, 6),
            "first_token_s": exchange.first_token_s and round(exchange.first_token_s, 6),
            "prompt_tokens": exchange.prompt_tokens,
            "cached_tokens": exchange.cached_tokens,
            "completion_tokens": exchange.completion_tokens,
            "finish_reasons": exchange.finish_reasons,
            "calls_left_out": sum(exchange.calls_left_out.values()),
            "error": exchange.error or None,
        }
        if exchange.body:
            line["body"] = exchange.body
        print(json.dumps(line), file=self._target or sys.stderr, flush=True)
