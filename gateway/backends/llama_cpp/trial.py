"""Whether the library runs a model at all, found out in a process of its own.

llama.cpp answers much that is wrong in a file with an assertion, which ends the process, and a
server with it. `models.gguf_sound` refuses by name what is known of that; what is not known is met
here. Each file is first read in a child process; what went well there is remembered by the
contents of the weights, the version of the library and where it computes.

    python -m gateway.backends.llama_cpp.trial FILE.gguf ATTENTION [OFFLOAD]
"""

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np

from gateway.backends.llama_cpp.context import Attending, Context
from gateway.backends.llama_cpp.embedding import outputs
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import Offload
from gateway.core.errors import BackendError, GatewayError, ModelLoadError
from gateway.core.files import write_atomically
from gateway.engine.context import PassRow
from gateway.engine.llama import library
from gateway.models.environment import data_root, tries_files

_HERE = Offload()
"""All on the processor."""
_SEQUENCES, _LENGTH = 2, 32
_ENDED = re.compile(r"[\w.-]+:\d+: (?:GGML_ASSERT.*|fatal error.*)|GGML_ABORT.*")
"""What the library says at last."""


def check(path: Path, contents: str, attention: Attending, offload: Offload = _HERE) -> None:
    """Try a file in a child process, unless its contents were tried before.

    Args:
        contents: digest of the weights.
        offload: which layers lie on a card.

    Raises:
        ModelLoadError: the library does not run it, with its reason.
    """
    if not tries_files():
        return
    memory = data_root() / "tried.json"
    where = f" {offload.setting}" if offload.setting else ""
    key, known = f"{contents} {library.build().version} {attention}{where}", _read(memory)
    if key in known:
        return
    if _runs_elsewhere(path, attention, offload):
        # Where it cannot be kept it is tried again, which costs a second.
        with contextlib.suppress(OSError):
            write_atomically(memory, json.dumps(sorted({*known, key}), indent=1))


def _read(memory: Path) -> list[str]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(each) for each in found] if isinstance(found, list) else []


def _runs_elsewhere(path: Path, attention: Attending, offload: Offload) -> bool:
    """False where it fails with an error of Python's, which loading it here will tell."""
    asked = json.dumps([offload.layers, offload.of, offload.main, offload.split])
    command = [sys.executable, "-m", __name__, str(path), attention, asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode >= 0:
        return done.returncode == 0
    found = _ENDED.search(f"{done.stdout}\n{done.stderr}")
    why = found.group() if found else f"signal {-done.returncode}"
    raise ModelLoadError(
        f"{path}: llama.cpp cannot run it, and ends the process: {why}",
        hint=f"llama-cpp-python {library.build().version} has an error here, or the file is made "
        "wrongly: convert it again, or try another version",
    )


def run(path: Path, attention: Attending, offload: Offload = _HERE) -> None:
    """All kinds of passes that the gateway makes, on a few tokens.

    Raises:
        BackendError: the library does not run it.
    """
    model = GgufModel(path, offload)
    if model.abilities.writes:
        _decode(model, attention)
    pooling = model.abilities.pooling
    if model.abilities.can("embed") or model.abilities.can("rerank"):
        outputs(model, [[1, 2, 3]], "mean" if pooling == "none" else pooling, threads=1)


def _decode(model: GgufModel, attention: Attending) -> None:
    context = Context(
        model,
        sequences=_SEQUENCES,
        length=_LENGTH,
        threads=1,
        batch_tokens=_LENGTH,
        attention=attention,
    )
    for rows in (_rows(0, 0, 3), [*_rows(0, 3, 1), *_rows(1, 0, 2)], _rows(1, 2, 1)):
        (*_, last) = context.decode(rows)
        if not np.isfinite(last.max()):
            raise BackendError(f"{model.path}: its logits are no numbers")
    if not context.goes_back:
        context.restore(0, 4, context.save(0))
    context.copy(0, 1)
    context.truncate(1, 0)


def _rows(sequence: int, first: int, count: int) -> list[PassRow]:
    return [PassRow(sequence, first + i, i, i == count - 1) for i in range(count)]


def _main(path: str, attention: str, offload: str = "[]") -> None:
    try:
        run(Path(path), cast(Attending, attention), Offload(*json.loads(offload)))
    except GatewayError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
