"""A ladder: levels of one model, planned, made one file each, and written as entries."""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config import digest_memory
from gateway.engine.backend import usable_cores
from gateway.errors import BackendError, ConfigError
from gateway.gguf_header import read_header
from gateway.identity import digest_json, file_digest, weights_digests, write_atomically
from gateway.llama import library, quantizer
from gateway.memory import readable
from gateway.quantization import worker
from gateway.quantization.contents import FLOATS, Contents, contents_of
from gateway.quantization.given import Given
from gateway.quantization.names import Level, level_in
from gateway.quantization.origin import Origin, origin_of

DEFAULT_LEVELS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")

_RECORDED = {"file", "sha256", "key", "seconds", "without"}
"""What the record holds of a file; an entry of another form is as none."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of a ladder, as llama.cpp would make it."""

    level: Level
    contents: Contents
    needs_imatrix: bool
    unchanged: float
    """Share of its quantized weights that stand for what the source has: they are stored as they
    are, or come from the type that they are quantized to. From 0 to 1."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What would be made of a source."""

    source: Given
    contents: Contents
    """Of the source."""
    origin: Origin
    rungs: tuple[Rung, ...]

    @property
    def name(self) -> str:
        """The source's, without the level that a file is named after."""
        level = level_in(self.source.name)
        if self.source.spec.origin != "the command line" or level is None:
            return self.source.name
        return re.sub(rf"[-._]?{level.name}$", "", self.source.name, flags=re.IGNORECASE)

    def entry(self, rung: Rung) -> str:
        """What the entry of a rung is called."""
        return f"{self.name}-{rung.level.name.lower()}"


@dataclass(frozen=True, slots=True)
class Made:
    """A rung that is there as a file."""

    rung: Rung
    path: Path
    sha256: str
    seconds: float
    """That making it took, now or when it was made."""
    kept: bool
    """It was there already, whole and made of the same."""
    without: tuple[str, ...]
    """Tensors that the importance matrix lacks."""


def plan(
    source: Given,
    levels: Sequence[Level],
    *,
    imatrix: bool = False,
    on_tensor: Callable[[], None] = lambda: None,
) -> Ladder:
    """What each level would hold, and what the source was before; nothing is written.

    Args:
        imatrix: an importance matrix will be given.
        on_tensor: called after each of the source's tensors.

    Raises:
        ConfigError: llama.cpp makes no level of that name, or one is named twice.
        BackendError: it can not read the source.
    """
    for level in levels:
        if level.number is None:
            raise ConfigError(f"{level.name} is named by its maker; llama.cpp can not make it")
    if len({level.name for level in levels}) < len(levels):
        raise ConfigError("a level is named twice")
    origin = origin_of(source.path, source.header, on_tensor)
    rungs = tuple(_rung(source, level, origin, imatrix) for level in levels)
    return Ladder(source, contents_of(source.header, source.path), origin, rungs)


def _rung(source: Given, level: Level, origin: Origin, imatrix: bool) -> Rung:
    assert level.number is not None
    tensors = source.header.tensors
    planned = quantizer.plan(source.path, tensors, level.number, imatrix=imatrix)
    contents = Contents(level, planned.tensors)
    came_from = {tensor.name: tensor.type for tensor in tensors} | dict(origin.returning)
    unchanged = sum(
        tensor.weights
        for tensor in contents.tensors
        if tensor.type not in FLOATS and came_from[tensor.name] == tensor.type
    )
    share = unchanged / contents.quantized.weights if contents.quantized.weights else 0.0
    return Rung(level, contents, planned.needs_imatrix, share)


def check(ladder: Ladder, out: Path, *, imatrix: bool) -> None:
    """Whether it can be made, before minutes are spent on it.

    Raises:
        ConfigError: an importance matrix is missing, a file is in the way, or the disk is full.
    """
    if not imatrix and (need := [r.level.name for r in ladder.rungs if r.needs_imatrix]):
        raise ConfigError(
            f"{', '.join(need)}: llama.cpp makes it only with an importance matrix",
            hint="--imatrix FILE, a text to make one from, or one that llama-imatrix wrote",
        )
    record = _read_record(out, ladder)
    for rung in ladder.rungs:
        path = _path(out, ladder, rung)
        if path.exists() and rung.level.name not in record:
            raise ConfigError(
                f"{path} is there, and is none of this ladder", hint="move it or choose --out"
            )
    missing = [r for r in ladder.rungs if not _path(out, ladder, r).exists()]
    needed = sum(rung.contents.total.size for rung in missing)
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.is_dir())
    if needed > (free := shutil.disk_usage(folder).free):
        raise ConfigError(f"{out}: {readable(needed)} are needed and {readable(free)} are free")


def make(
    ladder: Ladder,
    out: Path,
    *,
    imatrix: Path | None = None,
    threads: int = 0,
    begin: Callable[[str, int], Callable[[], None]] = lambda *_: lambda: None,
) -> Iterator[Made]:
    """The files, one after the other. Each gets its name when it is whole.

    Args:
        imatrix: file of an importance matrix.
        threads: 0: all usable cores.
        begin: called with the name of a level and its number of tensors, before it is made; what
            it answers is called for each tensor.

    Raises:
        BackendError: llama.cpp failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = _read_record(out, ladder)
    for rung in ladder.rungs:
        path, key = _path(out, ladder, rung), _key(ladder, rung, imatrix)
        known = record.get(rung.level.name)
        if known and known["key"] == key and _is_whole(path, known["sha256"]):
            kept = True
        else:
            kept = False
            on_tensor = begin(rung.level.name, len(rung.contents.tensors))
            known = _make(ladder, rung, path, imatrix, threads, on_tensor)
            record[rung.level.name] = known | {"key": key}
            write_atomically(_record(out, ladder), json.dumps(record, indent=1, sort_keys=True))
        yield Made(rung, path, known["sha256"], known["seconds"], kept, tuple(known["without"]))


def _make(
    ladder: Ladder,
    rung: Rung,
    path: Path,
    imatrix: Path | None,
    threads: int,
    on_tensor: Callable[[], None],
) -> dict[str, Any]:
    assert rung.level.number is not None
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    begun = time.perf_counter()
    try:
        without = worker.run(
            ladder.source.path,
            temporary,
            rung.level.number,
            threads=threads or usable_cores(),
            imatrix=imatrix,
            on_tensor=on_tensor,
        )
        seconds = time.perf_counter() - begun
        _check_made(rung, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sha256 = weights_digests(path, digest_memory()).file
    return {"file": path.name, "sha256": sha256, "seconds": seconds, "without": list(without)}


def _check_made(rung: Rung, path: Path) -> None:
    planned = {tensor.name: tensor.type for tensor in rung.contents.tensors}
    if {t.name: t.type for t in read_header(path).tensors} != planned:
        raise BackendError(f"{rung.level.name}: llama.cpp wrote other types than it had planned")


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def _key(ladder: Ladder, rung: Rung, imatrix: Path | None) -> str:
    """What a file is made of and by; another key is another file."""
    return digest_json(
        {
            "source": weights_digests(ladder.source.path, digest_memory()).file,
            "level": rung.level.name,
            "imatrix": file_digest(imatrix) if imatrix else "",
            "version": library.build().version,
        }
    )


def _path(out: Path, ladder: Ladder, rung: Rung) -> Path:
    return out / f"{ladder.name.replace(':', '_')}-{rung.level.name}.gguf"


def _record(out: Path, ladder: Ladder) -> Path:
    return out / f"{ladder.name.replace(':', '_')}.ladder.json"


def _read_record(out: Path, ladder: Ladder) -> dict[str, dict[str, Any]]:
    """By level: what was made and of what."""
    try:
        found = json.loads(_record(out, ladder).read_text(encoding="utf-8"))
        return {name: entry for name, entry in found.items() if entry.keys() == _RECORDED}
    except (OSError, ValueError, AttributeError):
        return {}
