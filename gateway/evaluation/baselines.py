"""What the baselines of a run learn from, and what they say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.core.concurrency import Counting
from gateway.core.lists import part_of
from gateway.core.types import TaskKind
from gateway.models.environment import embeddings_file
from gateway.scoring.results import Prediction
from gateway.tasks.task import Item

if TYPE_CHECKING:
    from gateway.backends.encoder import Embedding, Encoder
    from gateway.scoring.arrays import FloatArray
    from gateway.scoring.baselines import Example


@dataclass(frozen=True)
class Encoded:
    """What an encoder makes of all texts of a run."""

    encoder: "Encoder"
    embeddings: Mapping[str, "Embedding"]

    def __call__(self, texts: Sequence[str]) -> "FloatArray":
        """Their vectors, shape (texts, width)."""
        from gateway.backends.embeddings import matrix

        return matrix([self.embeddings[text] for text in texts])

    @property
    def remarks(self) -> tuple[str, ...]:
        """That the encoder does not read all texts whole, where it does not."""
        cut = sum(each.cut for each in self.embeddings.values())
        return (
            (
                f"The encoder reads the first {self.encoder.most_tokens} tokens of a text, and "
                f"{part_of(cut, len(self.embeddings), 'text', 'is', 'are')} longer (training and "
                "test).",
            )
            if cut
            else ()
        )


def encoded(encoder: "Encoder", items: Iterable[Item], counting: Counting) -> Encoded:
    """Encode the texts of a run that no earlier run had.

    Args:
        counting: of those texts.

    Raises:
        MissingExtra, ModelLoadError, StoreError: as `gateway.backends.embeddings.embeddings`.
    """
    from gateway.backends.embeddings import embeddings
    from gateway.engine.in_process import usable_cores

    texts = list(dict.fromkeys(map(text_of, items)))
    found = embeddings(encoder, texts, embeddings_file(), counting, threads=usable_cores())
    return Encoded(encoder, dict(zip(texts, found, strict=True)))


def baselines(
    kind: TaskKind,
    labels: Sequence[str],
    train: Sequence[Item],
    test: Sequence[Item],
    encode: Encoded | None,
    *,
    per: str = "",
) -> tuple[Prediction, ...]:
    """Their predictions.

    Args:
        train: items that are not (nearly) test items; none: there are no baselines.
        encode: of a baseline on vectors; None: there is none.
        per: name of the column that groups are of: each baseline is there once more, with a model
            for each group that learns from the items of the group alone. Empty: there are none.

    Raises:
        DataError: as `all_baselines`.
    """
    if not train:
        return ()
    from gateway.scoring.baselines import all_baselines

    made = all_baselines(kind, labels, _examples(train), _examples(test), encode)
    for group in sorted({item.group for item in test} if per else ()):
        learned, asked = (
            _examples([item for item in items if item.group == group]) for items in (train, test)
        )
        for name, cell in all_baselines(kind, labels, learned, asked, encode).items():
            own = f"{name}/per-{per}"
            made.setdefault(own, []).extend(replace(each, cell=own) for each in cell)
    return tuple(each for name in sorted(made) for each in made[name])


def text_of(item: Item) -> str:
    """An item as a baseline reads it."""
    return "\n".join(item.fields.values())


def _examples(items: Sequence[Item]) -> "list[Example]":
    from gateway.scoring.baselines import Example

    return [Example(item.id, text_of(item), item.gold) for item in items]
