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
    try:
        for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
