"""A GGUF file with something fitted on its hidden states: what such backends have in common."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppNumberProbeSpec, LlamaCppProbeSpec
from gateway.backends.llama_cpp.states import StateReader
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, InvalidRequest
from gateway.core.types import GenerationRequest
from gateway.models.adapters.check import refuse_other_weights
from gateway.models.adapters.heads import whole_digest
from gateway.models.adapters.probe import Floats, Frame
from gateway.models.locate import described_digests


class Fitted(Protocol):
    """A probe, of labels or of numbers."""

    @property
    def dimensions(self) -> int:
        """Of the model's states."""
        ...

    @property
    def layers(self) -> tuple[int, ...]:
        """That its members read, ascending."""
        ...

    @property
    def frame(self) -> Frame:
        """What stands around the text in the prompts that it has learned from."""
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
        self._fitted = probe = self._load(spec.probe)
        super().__init__(spec, path)
        self._states: StateReader | None = None
        self._reading = threading.Lock()
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

    @property
    def _layers(self) -> tuple[int, ...]:
        """All that are read for any request: what is said does not depend on what else is asked,
        and no reader is made anew."""
        return self._fitted.layers

    def knows(self, request: GenerationRequest) -> bool:
        """See `gateway.backends.protocol.OwnPrompt`."""
        return self._fitted.frame.text(self._reader.render(request).token_ids) is not None

    def _look(self, prompt: Sequence[int], *, fresh: bool = False) -> tuple[dict[int, Floats], str]:
        """The states that the probe reads, by their layers, and the text within the prompt.

        Args:
            fresh: by a memory that has read nothing; the same bytes, and slower.

        Raises:
            InvalidRequest: it is another template's prompt.
        """
        place = self._fitted.frame.text(prompt)
        if place is None:
            raise InvalidRequest(
                "the prompt is not of the template that the probe was made with",
                hint="take the task and the strategy that its card.toml names",
            )
        start, stop = place
        words = self._reader.tokenizer.text_of(prompt[start:stop])
        if not (layers := self._layers):
            return {}, words
        with self._reading, self._reader_of_states(fresh=fresh) as reader:
            read = reader.read(prompt, start, stop)
        return dict(zip(layers, read.astype(np.float64), strict=True)), words

    @contextmanager
    def _reader_of_states(self, *, fresh: bool) -> Iterator[StateReader]:
        if fresh:
            with closing(self.states(self._layers)) as reader:
                yield reader
            return
        if self._states is None:
            self._states = self.states(self._layers)
        yield self._states

    async def close(self) -> None:
        if self._states is not None:
            states, self._states = self._states, None
            states.close()
        await super().close()
