"""A process that runs command lines of the gateway, each in a fork of itself.

What it imports at its start is imported once, and nothing that one command does reaches the next.
Started as a script with the names of modules to import; asked by lines of JSON.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from typing import Any


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Exit code and what was written, of one command line."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _become(asked)
        _, status = os.waitpid(child, 0)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return {"code": os.waitstatus_to_exitcode(status), "out": said[0], "err": said[1]}


def _become(asked: dict[str, Any]) -> None:
    """The command in this process, which ends with it."""
    code: object = 70
    try:
        signal.alarm(asked["seconds"])
        os.chdir(asked["cwd"])
        os.environ.update(asked["env"])
        sys.argv = ["gateway", *asked["arguments"]]
        from gateway import cli

        cli.main()
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 70)


if __name__ == "__main__":
    main()
