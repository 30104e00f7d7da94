"""Where a training stands, on disk: it goes on after a kill as if nothing had happened.

No pickle: tensors are safetensors, the rest is JSON. state.json names the files that belong to it
and is replaced in one step, so that a reader never meets half a checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.errors import StoreError
from gateway.core.files import write_atomically
from gateway.tuning.heldout import HeldOut

STATE = "state.json"
Tensors = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """One step, for the log."""

    step: int
    epoch: int
    loss: float
    """Nats a token of the answers."""
    learning_rate: float
    tokens: int
    """That were read, prompts included."""


@dataclass(slots=True)
class TrainingState:
    """How far a training has come."""

    step: int = 0
    """Steps that are done."""
    epochs: list[HeldOut] = field(default_factory=list)
    log: list[Logged] = field(default_factory=list)
    best: int | None = None
    """The epoch whose held-out score is best; the first of equals."""
    seconds: float = 0.0
    """That steps and held-out scores have taken, on the clock."""

    def is_better(self, found: HeldOut) -> bool:
        """Whether an epoch beats all before it."""
        return all(found.score > other.score for other in self.epochs)

    def since_best(self) -> int:
        """Epochs that have passed since the best one."""
        return 0 if self.best is None else self.epochs[-1].epoch - self.best


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is read back."""

    state: TrainingState
    weights: Tensors
    """Of the adapter, by parameter."""
    moments: Tensors
    """The optimizer's two a parameter, as PARAMETER.exp_avg and PARAMETER.exp_avg_sq."""
    best: Tensors
    """Weights of the best epoch; empty before the first has ended."""


def save(folder: Path, key: str, kept: Checkpoint) -> None:
    """Write a checkpoint and remove the one before.

    Args:
        key: digest of all that decides what a training comes to.

    Raises:
        StoreError: it cannot be written.
    """
    from safetensors.torch import save_file

    mark = f"{kept.state.step:08}"
    files = {part: f"{part}-{mark}.safetensors" for part in ("weights", "moments", "best")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, name in files.items():
            save_file(dict(getattr(kept, part)), folder / name)
        written = {"key": key, "files": files, **asdict(kept.state)}
        write_atomically(folder / STATE, json.dumps(written, allow_nan=False))
        for old in folder.glob("*.safetensors"):
            if old.name not in files.values():
                old.unlink()
    except OSError as exc:
        raise StoreError(f"{folder}: no checkpoint can be written: {exc.strerror or exc}") from exc


def load(folder: Path, key: str) -> Checkpoint | None:
    """The checkpoint of this very training; None where there is none.

    Raises:
        StoreError: there is one of another training, or it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / STATE
    if not path.is_file():
        return None
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read.pop("key") != key:
            raise StoreError(
                f"{folder} holds an unfinished training with other settings, data or weights",
                hint="give the same command to go on with it, --restart to forget it, or another "
                "--name",
            )
        files = {part: load_file(folder / name) for part, name in read.pop("files").items()}
        state = TrainingState(
            step=read["step"],
            epochs=[HeldOut(**each) for each in read["epochs"]],
            log=[Logged(**each) for each in read["log"]],
            best=read["best"],
            seconds=read["seconds"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as exc:
        raise StoreError(
            f"{folder}: the checkpoint cannot be read: {exc}", hint="begin again with --restart"
        ) from exc
    return Checkpoint(state, **files)
