"""Run the examples of one client: python -m tests.clients.examples MODULE FILE

FILE gets a line of JSON an example, as it ends: its name, and the traceback of what failed or null.
Clients print to standard output what they like.
"""

import json
import sys
import traceback
from collections.abc import Callable
from importlib import import_module


def outcome(example: Callable[[], None]) -> str | None:
    try:
        example()
    except Exception:  # noqa: BLE001  What a client raises is what is told.
        return traceback.format_exc()
    return None


def main(client: str, file: str) -> None:
    module = import_module(f"tests.clients.examples.{client}")
    with open(file, "w", encoding="utf-8") as told:
        for name in module.EXAMPLES:
            line = {"example": name, "error": outcome(getattr(module, name))}
            print(json.dumps(line), file=told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
