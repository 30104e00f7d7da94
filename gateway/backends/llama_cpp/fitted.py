"""A GGUF file with something fitted on its hidden states: what such backends have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppNumberProbeSpec, LlamaCppProbeSpec
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, InvalidRequest
from gateway.models.adapters.check import refuse_other_weights
from gateway.models.adapters.heads import whole_digest
from gateway.models.adapters.probe import Frame
from gateway.models.locate import described_digests


class Fitted(Protocol):
    """A probe, of labels or of numbers."""

    @property
    def dimensions(self) -> int:
        """Of the model's states."""
        ...


class FittedLlamaCpp(LlamaCppBackend):
    """See `gateway.backends.protocol.Backend`. Whoever derives loads its probe in `_load`.

    Raises:
        ModelLoadError: a file cannot be loaded, or the probe was made on other weights.
        ConfigError: the probe is of another form.
    """

    spec: LlamaCppProbeSpec | LlamaCppNumberProbeSpec

    def __init__(self, spec: LlamaCppProbeSpec | LlamaCppNumberProbeSpec, path: Path) -> None:
        digests = described_digests(spec, path)
        refuse_other_weights(spec.probe, digests.contents, digests.first)
        probe = self._load(spec.probe)
        super().__init__(spec, path)
        if probe.dimensions != self._model.width:
            raise ConfigError(
                f"{spec.name}: the probe reads states of {probe.dimensions} numbers, and the "
                f"model's have {self._model.width}"
            )
        self.identity = {**self.identity, "probe": whole_digest(spec.probe)}
        self.fingerprint = digest_json(self.identity)

    def _load(self, folder: Path) -> Fitted:
        """Read the probe, and keep it."""
        raise NotImplementedError


def place_of_text(frame: Frame, prompt: Sequence[int]) -> tuple[int, int]:
    """From where to where the text stands in a prompt.

    Raises:
        InvalidRequest: it is another template's prompt.
    """
    place = frame.text(prompt)
    if place is None:
        raise InvalidRequest(
            "the prompt is not of the template that the probe was made with",
            hint="take the task and the strategy that its card.toml names",
        )
    return place
