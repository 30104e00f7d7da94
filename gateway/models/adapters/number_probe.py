"""A probe that answers with a number: ridge regressions on hidden states and on words.

It lies where a probe of labels does (`gateway.models.adapters.probe`), under another name in the
metadata of `probe.safetensors`. The answer is a weighted mean of what its members say and of the
training answers' median, and never beyond the least and the greatest training answer. Where no
training answer is negative, members say log(1 + x): of a skewed distribution that has its middle
where an absolute error asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt
from pydantic import ConfigDict, TypeAdapter
from safetensors.numpy import save_file

from gateway.models.adapters.names import PROBE
from gateway.models.adapters.probe import Floats, Frame, Pooling, pooled, vectorizer_of
from gateway.models.adapters.probe_file import read_file, shaped
from gateway.models.adapters.probe_kind import ProbeKind

_ABOUT: ProbeKind = "number_probe"


@dataclass(frozen=True, slots=True)
class NumberOnStates:
    """A member that reads hidden states."""

    layer: int
    pooling: Pooling
    weight: float
    centre: Floats
    """Shape (inputs,), like `scale` and `coefficients`."""
    scale: Floats
    coefficients: Floats
    intercept: float

    def says(self, states: Mapping[int, Floats]) -> float:
        """Of one prompt.

        Args:
            states: layer -> its last and its mean state, shape (2, width).
        """
        inputs = (pooled(states[self.layer], self.pooling) - self.centre) / self.scale
        return float(np.einsum("i,i->", self.coefficients, inputs)) + self.intercept


@dataclass(frozen=True, slots=True)
class NumberOnWords:
    """A member that reads the words of the text."""

    weight: float
    terms: tuple[str, ...]
    idf: Floats
    """Shape (terms,), like `coefficients`."""
    coefficients: Floats
    intercept: float


@dataclass(frozen=True)
class NumberProbe:
    """All that is in the file."""

    states: tuple[NumberOnStates, ...]
    words: NumberOnWords | None
    median: float
    """Of the training answers."""
    median_weight: float
    least: float
    greatest: float
    logs: bool
    """Whether members say log(1 + x)."""
    frame: Frame
    dimensions: int
    """Of the model's states."""

    @property
    def layers(self) -> tuple[int, ...]:
        """That its members read, ascending."""
        return tuple(sorted({member.layer for member in self.states}))

    @cached_property
    def _vectorizer(self) -> Any:
        assert self.words is not None
        return vectorizer_of(self.words.terms, self.words.idf)

    def answer(self, states: Mapping[int, Floats], text: str) -> float:
        """Of one prompt.

        Args:
            states: layer -> its last and its mean state, shape (2, width).
            text: what stands between the beginning and the end of the prompt.
        """
        said = [(self.median_weight, learned(self.median, logs=self.logs))]
        said += [(member.weight, member.says(states)) for member in self.states]
        if self.words is not None:
            said.append((self.words.weight, self._of_words(self.words, text)))
        mean = sum(weight * value for weight, value in said) / sum(weight for weight, _ in said)
        return float(answered(mean, self.least, self.greatest, logs=self.logs))

    def _of_words(self, words: NumberOnWords, text: str) -> float:
        row = self._vectorizer.transform([text]).tocoo()
        return float(np.einsum("i,i->", words.coefficients[row.col], row.data)) + words.intercept


def learned(answers: float | Floats, *, logs: bool) -> Any:
    """Answers as members say them."""
    return np.log1p(answers) if logs else answers


def answered(said: float | Floats, least: float, greatest: float, *, logs: bool) -> Any:
    """What members say as answers."""
    return np.clip(np.expm1(said) if logs else said, least, greatest)


@dataclass(frozen=True, slots=True)
class _Member:
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    layer: Annotated[int, Ge(0)]
    """0: on words."""
    pooling: Literal["last", "mean", "both", ""]
    weight: Annotated[float, Gt(0)]
    intercept: float


@dataclass(frozen=True, slots=True)
class _About:
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    form: Literal[1]
    members: tuple[_Member, ...]
    median: float
    median_weight: Annotated[float, Ge(0)]
    least: float
    greatest: float
    logs: bool
    before: tuple[int, ...]
    behind: tuple[int, ...]
    dimensions: Annotated[int, Ge(1)]
    terms: tuple[str, ...] = ()


def write_number_probe(folder: Path, probe: NumberProbe) -> None:
    """Save it as `PROBE`."""
    members, tensors = [], {}
    for number, member in enumerate(probe.states):
        members.append(_Member(member.layer, member.pooling, member.weight, member.intercept))
        for name in ("centre", "scale", "coefficients"):
            tensors[f"{number}.{name}"] = getattr(member, name)
    if probe.words is not None:
        members.append(_Member(0, "", probe.words.weight, probe.words.intercept))
        tensors["words.idf"] = probe.words.idf
        tensors["words.coefficients"] = probe.words.coefficients
    about = _About(
        form=1,
        members=tuple(members),
        median=probe.median,
        median_weight=probe.median_weight,
        least=probe.least,
        greatest=probe.greatest,
        logs=probe.logs,
        before=probe.frame.before,
        behind=probe.frame.behind,
        dimensions=probe.dimensions,
        terms=probe.words.terms if probe.words else (),
    )
    said = TypeAdapter(_About).dump_json(about).decode()
    # A file without a tensor is none to some readers.
    tensors["median"] = np.array([probe.median])
    save_file(tensors, folder / PROBE, metadata={_ABOUT: said})


def read_number_probe(folder: Path) -> NumberProbe:
    """The probe of an adapter's folder.

    Raises:
        ModelLoadError: there is none, or the file is damaged.
        ConfigError: what it says of itself is not understood.
    """
    return read_file(folder / PROBE, _ABOUT, _About, _probe)


def _probe(about: _About, tensors: Mapping[str, Floats]) -> NumberProbe:
    on_states, words = [], None
    for number, member in enumerate(about.members):
        if not member.layer:
            terms = len(about.terms)
            idf, coefficients = (
                shaped(tensors, f"words.{name}", terms) for name in ("idf", "coefficients")
            )
            words = NumberOnWords(member.weight, about.terms, idf, coefficients, member.intercept)
            continue
        width = about.dimensions * (2 if member.pooling == "both" else 1)
        centre, scale, coefficients = (
            shaped(tensors, f"{number}.{name}", width)
            for name in ("centre", "scale", "coefficients")
        )
        pooling: Pooling = member.pooling or "last"
        on_states.append(
            NumberOnStates(
                member.layer, pooling, member.weight, centre, scale, coefficients, member.intercept
            )
        )
    if not about.members and not about.median_weight:
        raise ValueError("it has no member")
    return NumberProbe(
        states=tuple(on_states),
        words=words,
        median=about.median,
        median_weight=about.median_weight,
        least=about.least,
        greatest=about.greatest,
        logs=about.logs,
        frame=Frame(about.before, about.behind),
        dimensions=about.dimensions,
    )
