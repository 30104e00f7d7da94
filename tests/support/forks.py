"""A process that runs command lines of the gateway, each in a fork of itself.

What it imports at its start is imported once, and nothing that one command does reaches the next.
Started as a script with the names of modules to import; asked by lines of JSON, each an order.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from typing import IO, Any, NoReturn

Asked = dict[str, Any]


def main() -> None:
    _serve(sys.argv[1:], sys.stdin, sys.stdout)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def _serve(preload: Iterable[str], asking: IO[str], answering: IO[str]) -> None:
    for name in preload:
        importlib.import_module(name)
    for line in asking:
        asked = json.loads(line)
        print(json.dumps(ORDERS[asked["order"]](asked)), file=answering, flush=True)


def _run(asked: Asked) -> Asked:
    """Exit code and what was written, of one command line."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become_command(asked, out.fileno(), err.fileno())
        code = _wait({"process": child})["code"]
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return {"code": code, "out": said[0], "err": said[1]}


def _start(asked: Asked) -> Asked:
    """The process of a command line that goes on."""
    with open(asked["said"], "wb") as said:
        child = os.fork()
        if child == 0:
            _become_command(asked, said.fileno(), said.fileno())
    return {"process": child}


def _wait(asked: Asked) -> Asked:
    """The exit code of a process, once it has ended."""
    _, status = os.waitpid(asked["process"], 0)
    return {"code": os.waitstatus_to_exitcode(status)}


def _become_command(asked: Asked, out: int, err: int) -> NoReturn:
    """The command in this process, which ends with it."""
    code: object = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
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


def _become(asked: Asked) -> Asked:
    """A fork that is the process of another environment: one that holds all that this one holds."""
    child = os.fork()
    if child == 0:
        _become_environment(asked)
    return {"process": child}


def _become_environment(asked: Asked) -> NoReturn:
    own = next(path for path in sys.path if path.startswith(f"{sys.prefix}/"))
    sys.path[sys.path.index(own)] = asked["site"]
    sys.executable, sys.prefix = asked["python"], asked["prefix"]
    sys.exec_prefix = sys.prefix
    os.environ.update(asked["env"])
    importlib.invalidate_caches()
    asking, answering = asked["pipes"]
    code = 70
    try:
        with open(asking) as source, open(answering, "w") as target:
            _serve(asked["preload"], source, target)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends here
        traceback.print_exc()
    os._exit(code)


ORDERS: dict[str, Callable[[Asked], Asked]] = {
    "run": _run,
    "start": _start,
    "wait": _wait,
    "become": _become,
}

if __name__ == "__main__":
    main()
