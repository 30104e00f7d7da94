"""A probe: linear models on a frozen model's hidden states, and on the words of the text.

`probe.safetensors` in an adapter's folder holds the numbers, and in its metadata what they mean.
Each member is a multinomial logistic regression. A member on states reads one layer, behind one
pooling, each number centred and scaled; the member on words reads TF-IDF. The probe's
log-probabilities are the weighted mean of the members', normalised again and divided by a
temperature (a product of experts: Hinton 2002, "Training Products of Experts").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, MinLen
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter
from safetensors.numpy import save_file

from gateway.core.digests import file_digest
from gateway.core.sequences import common_length
from gateway.models.adapters.names import PROBE
from gateway.models.adapters.probe_file import read_file, shaped
from gateway.models.adapters.probe_kind import ProbeKind

_ABOUT: ProbeKind = "probe"
_JOINED = 3
"""Most tokens of a template that a tokenizer may have joined with the text beside them."""

Pooling = Literal["last", "mean", "both"]
"""The last token's state, the mean over the text, or both in a row."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OnStates:
    """A member that reads hidden states."""

    layer: int
    pooling: Pooling
    weight: float
    centre: Floats
    scale: Floats
    """Shape (inputs,), like `centre`: its standard deviation in training, 1 where it was 0."""
    coefficients: Floats
    """Shape (labels, inputs)."""
    intercepts: Floats
    """Shape (labels,)."""

    def logits(self, states: Mapping[int, Floats]) -> Floats:
        """Of one prompt, shape (labels,).

        Args:
            states: layer -> its last and its mean state, shape (2, width).
        """
        inputs = (pooled(states[self.layer], self.pooling) - self.centre) / self.scale
        return np.asarray(np.einsum("ij,j->i", self.coefficients, inputs) + self.intercepts)


@dataclass(frozen=True, slots=True)
class OnWords:
    """A member that reads the words of the text."""

    weight: float
    terms: tuple[str, ...]
    idf: Floats
    """Shape (terms,)."""
    coefficients: Floats
    """Shape (labels, terms)."""
    intercepts: Floats


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the text in every prompt of one template."""

    before: tuple[int, ...]
    behind: tuple[int, ...]

    def text(self, prompt: Sequence[int]) -> tuple[int, int] | None:
        """From where to where the text stands in a prompt; None: it is another template's.

        A tokenizer may join the text's ends with what stands around them.
        """
        tokens = tuple(prompt)
        start = common_length(tokens, self.before)
        stop = len(tokens) - common_length(tokens[start:][::-1], self.behind[::-1])
        lacking = (len(self.before) - start, len(self.behind) - (len(tokens) - stop))
        return (start, stop) if max(lacking) <= _JOINED else None


def frame_of(prompts: Sequence[Sequence[int]]) -> Frame:
    """What prompts of one template have in common at their ends."""
    first, *others = (tuple(prompt) for prompt in prompts)
    start = min((common_length(first, other) for other in others), default=0)
    ends = (common_length(first[start:][::-1], other[start:][::-1]) for other in others)
    return Frame(first[:start], first[len(first) - min(ends, default=0) :])


@dataclass(frozen=True)
class Probe:
    """All that is in the file."""

    labels: tuple[str, ...]
    states: tuple[OnStates, ...]
    words: OnWords | None
    temperature: float
    frame: "Frame"
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

    def log_probabilities(self, states: Mapping[int, Floats], text: str) -> Floats:
        """Of the labels, for one prompt; shape (labels,).

        Args:
            states: layer -> its last and its mean state, shape (2, width).
            text: what stands between the beginning and the end of the prompt.
        """
        logits = [(member.weight, member.logits(states)) for member in self.states]
        if self.words is not None:
            logits.append((self.words.weight, self._of_words(self.words, text)))
        total = sum((weight * log_softmax(each) for weight, each in logits), np.zeros(()))
        return log_softmax(total / sum(weight for weight, _ in logits) / self.temperature)

    def _of_words(self, words: OnWords, text: str) -> Floats:
        row = self._vectorizer.transform([text]).tocoo()
        found = words.coefficients[:, row.col]
        return np.asarray(np.einsum("ij,j->i", found, row.data) + words.intercepts)


def vectorizer_of(terms: Sequence[str], idf: Floats) -> Any:
    """scikit-learn's TF-IDF of words and word pairs, with what it learned from training texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, vocabulary=list(terms))
    made.idf_ = idf
    return made


def pooled(states: Floats, pooling: Pooling) -> Floats:
    """What a member reads of the last and the mean state, shape (..., 2, width)."""
    match pooling:
        case "last":
            return states[..., 0, :]
        case "mean":
            return states[..., 1, :]
        case "both":
            return states.reshape(*states.shape[:-2], -1)


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    largest = logits.max(axis=-1, keepdims=True)
    normal = largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
    return np.asarray(logits - normal)


# The file


@dataclass(frozen=True, slots=True)
class _Member:
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    layer: Annotated[int, Ge(0)]
    """0: on words."""
    pooling: Literal["last", "mean", "both", ""]
    weight: Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True)
class _About:
    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    form: Literal[1]
    labels: Annotated[tuple[str, ...], MinLen(2)]
    members: Annotated[tuple[_Member, ...], MinLen(1)]
    temperature: Annotated[float, Ge(1e-6)]
    before: tuple[int, ...]
    behind: tuple[int, ...]
    dimensions: Annotated[int, Ge(1)]
    terms: tuple[str, ...] = ()


def probe_digest(folder: Path) -> str:
    """SHA-256 of the file."""
    return file_digest(folder / PROBE)


def write_probe(folder: Path, probe: Probe) -> None:
    """Save it as `PROBE`."""
    members, tensors = [], {}
    for number, member in enumerate(probe.states):
        members.append(_Member(member.layer, member.pooling, member.weight))
        for name in ("centre", "scale", "coefficients", "intercepts"):
            tensors[f"{number}.{name}"] = getattr(member, name)
    if probe.words is not None:
        members.append(_Member(0, "", probe.words.weight))
        for name in ("idf", "coefficients", "intercepts"):
            tensors[f"words.{name}"] = getattr(probe.words, name)
    about = _About(
        form=1,
        labels=probe.labels,
        members=tuple(members),
        temperature=probe.temperature,
        before=probe.frame.before,
        behind=probe.frame.behind,
        dimensions=probe.dimensions,
        terms=probe.words.terms if probe.words else (),
    )
    said = TypeAdapter(_About).dump_json(about).decode()
    save_file(tensors, folder / PROBE, metadata={_ABOUT: said})


def read_probe(folder: Path) -> Probe:
    """The probe of an adapter's folder.

    Raises:
        ModelLoadError: there is none, or the file is damaged.
        ConfigError: what it says of itself is not understood.
    """
    return read_file(folder / PROBE, _ABOUT, _About, _probe)


def _probe(about: _About, tensors: Mapping[str, Floats]) -> Probe:
    labels, on_states, words = len(about.labels), [], None
    for number, member in enumerate(about.members):
        if not member.layer:
            terms = len(about.terms)
            words = OnWords(
                member.weight,
                about.terms,
                shaped(tensors, "words.idf", terms),
                shaped(tensors, "words.coefficients", labels, terms),
                shaped(tensors, "words.intercepts", labels),
            )
            continue
        width = about.dimensions * (2 if member.pooling == "both" else 1)
        shapes = {
            "centre": (width,),
            "scale": (width,),
            "coefficients": (labels, width),
            "intercepts": (labels,),
        }
        read = {name: shaped(tensors, f"{number}.{name}", *s) for name, s in shapes.items()}
        pooling: Pooling = member.pooling or "last"
        on_states.append(OnStates(member.layer, pooling, member.weight, **read))
    return Probe(
        about.labels,
        tuple(on_states),
        words,
        about.temperature,
        Frame(about.before, about.behind),
        about.dimensions,
    )
