"""How long a command takes from its start to its end: medians of ten runs, and the slowest.

    scripts/bench start [COMMAND ...]

Each run is a process of its own, with the files of Python and of the model in the page cache, and
modules compiled, as an installed package has them.
"""

import os
import shlex
import statistics
import subprocess
import sys
import time

from common import show

RUNS = 10
COMMANDS = (
    "--help",
    "models list",
    "prompts list",
    "ask --max-tokens 1 colour",
    "classify 'The page crashes when I scroll'",
)
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - begun


def measured(shown: str, arguments: list[str]) -> list[str]:
    seconds(arguments)
    took = [seconds(arguments) for _ in range(RUNS)]
    return [shown, f"{statistics.median(took):.3f}", f"{max(took):.3f}"]


def main() -> None:
    asked = sys.argv[1:] or COMMANDS
    rows = [measured(f'python -c "{code}"', ["-c", code]) for code in ("pass", "import gateway")]
    rows += [measured(f"gateway {line}", ["-m", "gateway", *shlex.split(line)]) for line in asked]
    show("start to end", ["command", "median s", "slowest s"], rows)


main()
