"""How a probe is made."""

from dataclasses import dataclass

from gateway.core.errors import ConfigError

_FOLDS = (2, 20)


@dataclass(frozen=True, slots=True)
class ProbeRecipe:
    """How a probe is made."""

    layers: tuple[int, ...] = ()
    """Whose states may be read: how many blocks lie below. Empty: ten, evenly over the model."""
    words: bool = True
    """Whether words of the text may be read too."""
    folds: int = 5
    """Of the cross-validation by which layers, pooling and penalty are chosen."""
    per: str = ""
    """Column of the data: the items of each of its values, such as a repository, get a head of
    their own beside the probe of all items. Empty: there are no heads."""

    def __post_init__(self) -> None:
        low, high = _FOLDS
        if not low <= self.folds <= high:
            raise ConfigError(f"--folds {self.folds} is not between {low} and {high}")
