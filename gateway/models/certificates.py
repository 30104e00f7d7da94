"""What `gateway certify` measured, kept by what was measured and on which machine."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.core.errors import StoreError
from gateway.core.files import write_atomically

_CPU_INFO = Path("/proc/cpuinfo")
_MAKE = (
    *("model name", "vendor_id", "cpu family", "model", "stepping"),
    *("CPU implementer", "CPU variant", "CPU part"),
)
"""What /proc/cpuinfo says of a processor's make: the first line on x86, the last on ARM."""
_FEATURES = (
    *("avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512vl", "avx512_vbmi"),
    *("avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "asimddp", "i8mm", "sve", "sme"),
)
"""Instruction sets that the library's kernels are made of. Others come and go with the system's
kernel, and say nothing of a byte."""


class Level(StrEnum):
    """How far a model's bytes can be relied on."""

    BITWISE = "bitwise"
    """The same whatever is batched, cached or run before, in chunks and with threads of any
    number."""
    REPEATABLE = "repeatable"
    """The same when the same requests run alone and in the same order, and only then."""
    UNREPEATABLE = "not repeatable"
    """Other bytes even then."""
    UNVERIFIED = "unverified"
    """Nothing was measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The same requests, run in one particular way."""

    name: str
    requests: int
    texts_changed: int
    """Requests whose tokens differ from those of the reference."""
    logprobs_changed: int
    """Requests of which any log-probability differs by any bit."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The evidence and what follows from it."""

    model: str
    fingerprint: str
    machine: str
    level: Level
    trials: tuple[Trial, ...]


def machine() -> str:
    """Processor and usable cores: with another processor a library may take other kernels."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores"


def processor() -> str:
    """The processor's make, and which of its instruction sets can be used here: a virtual machine
    may hide some, under the same name."""
    found = _cpu_info()
    make = [f"{key} {found[key]}" for key in _MAKE if key in found] or [_processor()]
    flags = found.get("flags", found.get("Features", "")).split()
    return f"{', '.join(make)}; {' '.join(name for name in _FEATURES if name in flags)}"


def save(certificate: Certificate, path: Path) -> None:
    """Keep a certificate in the file of all, instead of an earlier one of the same thing.

    Raises:
        StoreError: the file cannot be written.
    """
    known = _read(path)
    known[_key(certificate.fingerprint)] = asdict(certificate)
    try:
        write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    except OSError as exc:
        raise StoreError(f"{path}: cannot be written: {exc.strerror}") from exc


def level_of(fingerprint: str, path: Path) -> Level:
    """What was certified for this fingerprint on this machine; `UNVERIFIED` if nothing was."""
    entry = _read(path).get(_key(fingerprint))
    try:
        return Level(entry["level"]) if entry else Level.UNVERIFIED
    except (ValueError, KeyError, TypeError):
        return Level.UNVERIFIED


def _key(fingerprint: str) -> str:
    return f"{fingerprint}|{machine()}"


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _processor() -> str:
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


def _cpu_info() -> dict[str, str]:
    """What the system says of the first processor; nothing where it does not say it so."""
    try:
        first, _, _ = _CPU_INFO.read_text(encoding="utf-8").partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
