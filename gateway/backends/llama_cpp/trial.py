"""Whether the library runs a model at all, found out in a process of its own.

llama.cpp answers much that is wrong in a file with an assertion, which ends the process, and a
server with it. `models.gguf_sound` refuses by name what is known of that; what is not known is met
here. Each file is first read in a child process; what went well there is remembered by the
contents of the weights, the version of the library and where it computes.

    python -m gateway.backends.llama_cpp.trial FILE.gguf ATTENTION OFFLOAD SEQUENCES [SPLIT]
"""

import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from gateway.backends.llama_cpp.context import Attending, Context
from gateway.backends.llama_cpp.embedding import outputs
from gateway.backends.llama_cpp.model import GgufModel
from gateway.backends.llama_cpp.offload import Offload
from gateway.backends.llama_cpp.split import SUMS, split_names
from gateway.backends.llama_cpp.tiled import context_kind
from gateway.core.errors import BackendError, GatewayError, ModelLoadError
from gateway.core.files import write_atomically
from gateway.core.lists import first_names
from gateway.engine.context import Logits, PassRow
from gateway.engine.llama import library
from gateway.engine.llama.operations import Tensor, Watch
from gateway.models.choices import SPLIT_FORM
from gateway.models.environment import data_root, tries_files
from gateway.models.gguf_parts import files_of

_HERE = Offload()
"""All on the processor."""
MOST_SEQUENCES = 3
_LENGTH, _FEW = 32, 3
_SHARED = ((1, 2, 0), (0, 1, 3), (2, 2, 2))
"""How many tokens of which sequence share a pass."""
_ROUNDING = 0.1
"""How far logits may lie from those of other kernels, as a part of their range."""
_SPLIT_ROUNDING = 0.15
"""The same of split weights. Of the default model 0.03 was seen; where the minimums of one kind of
layer were left out, 0.13 or more. So those are looked for by name too."""
_PATIENCE_S, _SLOWEST = 120, 10e6
"""How long a child process may take: so many seconds, and a file's bytes by so many a second. Some
kernels never end where a header's numbers are odd."""
_MISREAD = 3
"""How the child process ends that met numbers which cannot be right."""
_ENDED = re.compile(r"[\w.-]+:\d+: (?:GGML_ASSERT.*|fatal error.*)|GGML_ABORT.*")
"""What the library says at last."""


class _Misread(BackendError):
    """The library computes something else than the model."""


def check(
    path: Path,
    contents: str,
    attention: Attending,
    offload: Offload = _HERE,
    sequences: int = MOST_SEQUENCES,
    *,
    split: str = "",
) -> None:
    """Try a file in a child process, unless its contents were tried before.

    Args:
        contents: digest of the weights.
        offload: which layers lie on a card.
        sequences: how many are computed together; `MOST_SEQUENCES` stand for more.
        split: as `GgufModel` has it.

    Raises:
        ModelLoadError: the library does not run it, with its reason.
    """
    if not tries_files():
        return
    memory = data_root() / "tried.json"
    where = f" {offload.setting}" if offload.setting else ""
    where += f" split {SPLIT_FORM}, each product" if split else ""
    sequences = min(sequences, MOST_SEQUENCES)
    key = f"{contents} {library.build().version} {attention} {sequences}{where}"
    if key in (known := _read(memory)):
        return
    if _runs_elsewhere(path, attention, offload, sequences, split):
        # Where it cannot be kept it is tried again, which costs a second.
        with contextlib.suppress(OSError):
            write_atomically(memory, json.dumps(sorted({*known, key}), indent=1))


def _read(memory: Path) -> list[str]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(each) for each in found] if isinstance(found, list) else []


def _runs_elsewhere(
    path: Path, attention: Attending, offload: Offload, sequences: int, split: str
) -> bool:
    """False where it fails with an error of Python's, which loading it here will tell."""
    where = json.dumps([offload.layers, offload.of, offload.main, offload.split])
    command = [sys.executable, "-m", __name__, str(path), attention, where, str(sequences)]
    command += [split] if split else []
    patience = _PATIENCE_S + sum(part.stat().st_size for part in files_of(path)) / _SLOWEST
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=patience
        )
    except subprocess.TimeoutExpired as expired:
        raise ModelLoadError(
            f"{path}: llama.cpp did not end a pass of a few tokens in {patience:.0f} s",
            hint="the file is made wrongly, or lies on a very slow disk: GATEWAY_TRIAL=off loads "
            "it without a trial",
        ) from expired
    if done.returncode == _MISREAD:
        raise ModelLoadError(
            f"{path}: llama.cpp does not read this architecture rightly: {done.stdout.strip()}",
            hint=f"another version of llama-cpp-python than {library.build().version} may",
        )
    if done.returncode >= 0:
        return done.returncode == 0
    found = _ENDED.search(f"{done.stdout}\n{done.stderr}")
    why = found.group() if found else f"signal {-done.returncode}"
    raise ModelLoadError(
        f"{path}: llama.cpp cannot run it, and ends the process: {why}",
        hint=f"llama-cpp-python {library.build().version} has an error here, or the file is made "
        "wrongly: convert it again, or try another version"
        + ("; some run with parallel = 1 in their entry" if sequences > 1 else ""),
    )


def run(
    path: Path,
    attention: Attending,
    offload: Offload = _HERE,
    sequences: int = MOST_SEQUENCES,
    split: str = "",
) -> None:
    """All kinds of passes that the gateway makes, on a few tokens.

    Args:
        split: as `GgufModel` has it.

    Raises:
        BackendError: the library does not run it.
    """
    model = GgufModel(path, offload, split=split)
    if split:
        refuse_other_numbers(model, GgufModel(path))
    if model.abilities.writes:
        _decode(model, attention, sequences)
    pooling = model.abilities.pooling
    if model.abilities.can("embed") or model.abilities.can("rerank"):
        outputs(model, [[1, 2, 3]], "mean" if pooling == "none" else pooling, threads=1)


def refuse_other_numbers(split: GgufModel, whole: GgufModel) -> None:
    """Raise BackendError where split weights are not computed as those that they were made of: an
    architecture's own kind of layer takes no LoRA."""
    found, wanted = refuse_lost_minimums(split), _last_logits(whole)
    if np.abs(found - wanted).max() > _SPLIT_ROUNDING * np.ptp(wanted):
        raise _Misread("split weights give other numbers than those that they were made of")


def refuse_lost_minimums(split: GgufModel) -> Logits:
    """The logits behind a few tokens. Raise BackendError where an operation reads a split matrix
    without the constants that were taken out of it."""
    uses = _Uses()
    found = _last_logits(split, uses)
    if left := uses.without_minimums(split_names(split.path)):
        raise _Misread(f"split weights lose the minimums of {first_names(left)}")
    return found


class _Uses(Watch):
    """Counts the operations that read each tensor."""

    def __init__(self) -> None:
        super().__init__()
        self._of: Counter[str] = Counter()

    def wanted(self, tensor: Tensor) -> bool:
        self._of.update(source.contents.name.decode() for source in tensor.src if source)
        return False

    def without_minimums(self, split: Iterable[str]) -> list[str]:
        """Those of some split matrices that an operation reads with no sums of inputs beside."""
        self.check()
        return [name for name in split if self._of[name] != self._of[name + SUMS]]


def _last_logits(model: GgufModel, uses: _Uses | None = None) -> Logits:
    context = Context(
        model,
        sequences=1,
        length=_LENGTH,
        threads=1,
        batch_tokens=_LENGTH,
        on_eval=uses.callback if uses else None,
    )
    try:
        (last,) = context.decode(_rows(0, 0, _LENGTH // 2))
        return last.copy()
    finally:
        context.close()


def _decode(model: GgufModel, attention: Attending, sequences: int) -> None:
    context = context_kind(attention)(
        model,
        sequences=sequences,
        length=_LENGTH,
        threads=1,
        batch_tokens=_LENGTH,
        attention=attention,
    )
    (first,) = (row.copy() for row in context.decode(_rows(0, 0, _FEW)))
    held = [_FEW] + [0] * (sequences - 1)
    for counts in (each[:sequences] for each in _SHARED if any(each[:sequences])):
        rows = [row for s, count in enumerate(counts) for row in _rows(s, held[s], count)]
        held = [before + count for before, count in zip(held, counts, strict=True)]
        (*_, last) = context.decode(rows)
        if not np.isfinite(last.max()):
            raise BackendError(f"{model.path}: its logits are no numbers")
    if not context.goes_back:
        context.restore(0, held[0], context.save(0))
    last_one = sequences - 1
    context.copy(0, last_one)
    context.truncate(last_one, 0)
    again = [replace(row, output=True, prompt=True) for row in _rows(last_one, 0, _FEW)]
    (*_, among) = context.decode(again)
    if np.abs(among - first).max() > _ROUNDING * np.ptp(first):
        raise _Misread("it gives other numbers for a token where those before it are told too")


def _rows(sequence: int, first: int, count: int) -> list[PassRow]:
    return [PassRow(sequence, first + i, i, i == count - 1) for i in range(count)]


def _main(path: str, attention: str, where: str, sequences: str, split: str = "") -> None:
    try:
        offload = Offload(*json.loads(where))
        run(Path(path), cast(Attending, attention), offload, int(sequences), split)
    except _Misread as error:
        print(error)
        sys.exit(_MISREAD)
    except GatewayError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(*sys.argv[1:])
