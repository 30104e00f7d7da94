"""What the training of an adapter took, as a file beside it says."""

import csv
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from gateway.core.errors import DataError

TIMINGS = "timings.csv"
"""What it took. Apart from the rest, whose bytes are the same each time."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a training took."""

    epochs: int
    steps: int
    tokens: int
    """That were learned from, prompts included."""
    seconds: float
    """Of an adapter's steps and held-out scores, loading and reading apart; of a probe all."""
    kept: int = 0
    """Of a probe: items whose states an earlier training had read, in seconds of its own."""


def timings_csv(took: Took) -> str:
    """What `took_of` reads."""
    names = [each.name for each in fields(Took)]
    values = [getattr(took, name) for name in names]
    return f"{','.join(names)}\n{','.join(map(str, values))}\n"


def took_of(folder: Path) -> Took | None:
    """What the training of an adapter took; None where its folder does not say.

    Raises:
        DataError: the file is there and cannot be read.
    """
    path = folder / TIMINGS
    try:
        (row,) = csv.DictReader(StringIO(path.read_text(encoding="utf-8")))
        whole = {name: int(row[name]) for name in ("epochs", "steps", "tokens")}
        return Took(**whole, seconds=float(row["seconds"]), kept=int(row.get("kept") or 0))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as exc:
        raise DataError(f"{path}: cannot be read: {exc}") from exc
