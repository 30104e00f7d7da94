"""llama.cpp's quantizer in a process of its own, so that it can be stopped and may fail.

    python -m gateway.quantization.worker SOURCE TARGET NUMBER THREADS [IMATRIX]

prints a line "begun TENSOR" for each tensor, "without TENSOR" for one that the importance matrix
lacks, and at the end "done" or "failed REASON"; `run` reads them. A call of the library cannot be
interrupted from Python, and some of what is wrong with a model ends the process.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.core.errors import BackendError, GatewayError

_ERROR_LINES = 3


def run(
    source: Path,
    target: Path,
    number: int,
    *,
    threads: int,
    imatrix: Path | None,
    on_tensor: Callable[[], None],
) -> tuple[str, ...]:
    """Quantize in a child process, which ends when this function does.

    Args:
        number: the level's, in `llama_ftype`.
        on_tensor: called as each tensor is begun.

    Returns:
        Tensors that were quantized without importance though a matrix was given.

    Raises:
        BackendError: it failed; the target is of no use.
    """
    command = [sys.executable, "-m", "gateway.quantization.worker", str(source), str(target)]
    command += [str(number), str(threads), *([str(imatrix)] if imatrix else [])]
    without: list[str] = []
    # A session of its own: Ctrl-C is answered here, by ending the child and then the caller.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            last = ""
            for line in child.stdout:
                last, _, rest = line.rstrip("\n").partition(" ")
                if last == "begun":
                    on_tensor()
                elif last == "without":
                    without.append(rest)
                elif last == "failed":
                    raise BackendError(rest)
            if last != "done":
                said = " ".join(child.stderr.read().strip().splitlines()[-_ERROR_LINES:])
                raise BackendError(f"{source}: llama.cpp ended while quantizing: {said}")
        finally:
            child.kill()
    return tuple(without)


def _main(source: str, target: str, number: str, threads: str, imatrix: str = "") -> None:
    from gateway.engine.llama.quantizer import quantize
    from gateway.quantization.imatrix import read_imatrix

    def say(line: str) -> None:
        try:
            print(line, flush=True)
        except BrokenPipeError:
            # Nobody waits for the file any more. Nothing can be raised through the library's call.
            Path(target).unlink(missing_ok=True)
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        missing = quantize(
            Path(source),
            Path(target),
            int(number),
            importance=read_imatrix(Path(imatrix)).importance() if imatrix else {},
            threads=int(threads),
            on_tensor=lambda name: say(f"begun {name}"),
        )
    except GatewayError as error:
        say(f"failed {error.message}")
        return
    for name in missing:
        say(f"without {name}")
    say("done")


if __name__ == "__main__":
    _main(*sys.argv[1:])
