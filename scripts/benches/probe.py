"""A probe beside the words alone and the model's own labels: scores, seconds, tokens.

    scripts/bench probe [ENTRY [ITEMS [TEST ITEMS]]]

Learns from the issue reports of `../shared/data` by the strategy `brief`: all that are no copies
of test items, or ITEMS of them. Then all cells and baselines answer the test items, or some. With
the default model it takes some 55 minutes on two cores, most of it for the first states and the
test items.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from common import DATA

COLUMNS = DATA / "issue-reports"
TASK = ("-t", "issue-triage")
WAYS = {"states": ("--no-words",), "both": (), "heads": ("--per", "repo"), "again": ()}
"""Name of a probe -> options. The last one finds all states kept."""


def gateway(*arguments: str | Path) -> float:
    """Run a command, whose output is the bench's, and answer its seconds, start and end too."""
    shown = " ".join(map(str, arguments))
    print(f"\n$ gateway {shown}", flush=True)
    begun, used = time.perf_counter(), processor()
    subprocess.run([sys.executable, "-m", "gateway", *map(str, arguments)], check=True)
    took = time.perf_counter() - begun
    print(f"# {took:.1f} s, of a processor {processor() - used:.1f} s", flush=True)
    return took


def processor() -> float:
    """Seconds that the commands so far have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    entry = sys.argv[1] if sys.argv[1:] else "smollm2-135m"
    limit = ("--limit", sys.argv[2]) if sys.argv[2:] else ()
    few = ("--limit", sys.argv[3]) if sys.argv[3:] else ()
    test = COLUMNS / "test.csv"
    with TemporaryDirectory() as folder:
        adapters, split = Path(folder) / "adapters", Path(folder) / "split"
        adapters.mkdir()
        gateway("data", "split", *TASK, "--data", COLUMNS / "train.csv", "--test", test,
                "--out", split)  # fmt: skip
        os.environ["GATEWAY_ADAPTERS"] = str(adapters)
        learned = split / "train.csv"
        for name, options in WAYS.items():
            gateway("tune", "-n", name, "--method", "probe", "-m", entry, *TASK, "-s", "brief",
                    "--train", learned, *limit, "--adapters", adapters, *options)  # fmt: skip
        models = ",".join([entry, *(f"{entry}+{name}" for name in ("states", "both", "heads"))])
        gateway("run", "-m", models, *TASK, "-s", "brief", "--data", test, "--train", learned,
                "--per", "repo", "--store", Path(folder) / "store.sqlite", *few)  # fmt: skip


main()
