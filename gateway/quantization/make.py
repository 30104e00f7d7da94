"""Making the files of a ladder: each is whole or absent, and made once.

MODEL-LEVEL.gguf    a level
MODEL.ladder.json   by level: digest, what it was made of and how long it took
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.digests import digest_json, file_digest
from gateway.core.errors import BackendError, ConfigError
from gateway.core.files import write_atomically
from gateway.core.sizes import readable
from gateway.engine.in_process import usable_cores
from gateway.engine.llama import library
from gateway.models.environment import digest_memory
from gateway.models.gguf import read_header
from gateway.models.weights import weights_digests
from gateway.quantization import worker
from gateway.quantization.ladder import Ladder, Rung, name_of
from gateway.quantization.names import Level
from gateway.quantization.source import Given

_RECORDED = {"sha256", "key", "seconds", "without"}
"""What the record holds of a file; an entry of another form is as none."""


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


def check_files(source: Given, levels: Sequence[Level], out: Path) -> None:
    """Whether every file's name is free, or is that of a file of the source's own ladder.

    Raises:
        ConfigError: one is not.
    """
    name = name_of(source)
    record = _read_record(out, name)
    for level in levels:
        path = _path(out, name, level)
        if path.resolve() == source.path.resolve():
            raise ConfigError(f"{path} is the source itself", hint="choose another --out")
        if path.exists() and level.name not in record:
            raise ConfigError(
                f"{path} is there, and is none of this ladder", hint="move it or choose --out"
            )


def check(ladder: Ladder, out: Path, *, imatrix: bool) -> None:
    """Whether it can be made, before minutes are spent on it.

    Raises:
        ConfigError: an importance matrix is missing, or the disk is full.
    """
    if not imatrix and (need := [r.level.name for r in ladder.rungs if r.needs_imatrix]):
        raise ConfigError(
            f"{', '.join(need)}: llama.cpp makes it only with an importance matrix",
            hint="--imatrix FILE, a text to make one from, or one that llama-imatrix wrote",
        )
    missing = [r for r in ladder.rungs if not _path(out, ladder.name, r.level).exists()]
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
    for rung in ladder.rungs:
        path, key = _path(out, ladder.name, rung.level), _key(ladder, rung, imatrix)
        known = _read_record(out, ladder.name).get(rung.level.name)
        kept = bool(known and known["key"] == key and _is_whole(path, known["sha256"]))
        if known is None or not kept:
            on_tensor = begin(rung.level.name, len(rung.contents.tensors))
            known = _make(ladder, rung, path, key, imatrix, threads, on_tensor)
        yield Made(rung, path, known["sha256"], known["seconds"], kept, tuple(known["without"]))


def _make(
    ladder: Ladder,
    rung: Rung,
    path: Path,
    key: str,
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
        made = {
            "sha256": file_digest(temporary),
            "key": key,
            "seconds": seconds,
            "without": list(without),
        }
        # Before the file has its name: one that has it and is not recorded is somebody else's.
        _write_record(path.parent, ladder.name, rung.level, made)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return made


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


def _path(out: Path, name: str, level: Level) -> Path:
    return out / f"{name.replace(':', '_')}-{level.name}.gguf"


def _record(out: Path, name: str) -> Path:
    return out / f"{name.replace(':', '_')}.ladder.json"


def _read_record(out: Path, name: str) -> dict[str, dict[str, Any]]:
    """By level: what was made and of what."""
    try:
        found = json.loads(_record(out, name).read_text(encoding="utf-8"))
        return {level: entry for level, entry in found.items() if entry.keys() == _RECORDED}
    except (OSError, ValueError, AttributeError):
        return {}


def _write_record(out: Path, name: str, level: Level, made: dict[str, Any]) -> None:
    record = _read_record(out, name) | {level.name: made}
    write_atomically(_record(out, name), json.dumps(record, indent=1, sort_keys=True))
