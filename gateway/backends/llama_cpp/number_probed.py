"""A GGUF file with a probe of numbers on its hidden states: it writes one number."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.spec import LlamaCppNumberProbeSpec
from gateway.core.digests import digest_json
from gateway.core.errors import ConfigError, InvalidRequest, Unsupported
from gateway.core.types import Completion, Delta, GenerationRequest, LabelScores, Usage
from gateway.models.adapters.check import refuse_other_weights
from gateway.models.adapters.number_probe import read_number_probe
from gateway.models.adapters.probe import probe_digest
from gateway.models.locate import described_digests


class NumberProbedLlamaCpp(LlamaCppBackend):
    """See `gateway.backends.protocol.Backend`.

    Raises:
        ModelLoadError: a file cannot be loaded, or the probe was made on other weights.
        ConfigError: the probe is of another form.
    """

    spec: LlamaCppNumberProbeSpec

    def __init__(self, spec: LlamaCppNumberProbeSpec, path: Path) -> None:
        digests = described_digests(spec, path)
        refuse_other_weights(spec.probe, digests.contents, digests.first)
        self._probe = read_number_probe(spec.probe)
        super().__init__(spec, path)
        if self._probe.dimensions != self._model.width:
            raise ConfigError(
                f"{spec.name}: the probe reads states of {self._probe.dimensions} numbers, and the "
                f"model's have {self._model.width}"
            )
        self.identity = {**self.identity, "probe": probe_digest(spec.probe)}
        self.fingerprint = digest_json(self.identity)
        self._reading = threading.Lock()

    async def generate(self, request: GenerationRequest) -> Completion:
        """The number, as text of no tokens: the model itself writes nothing."""
        if request.constraint is not None or request.logprobs:
            raise Unsupported(
                f"constraints and log-probabilities of {self.spec.name}, a probe of numbers",
                hint="take the strategy that its card.toml names",
            )
        prompt = (await self._read(request)).token_ids
        self._check_context(len(prompt))
        number = await asyncio.to_thread(self._answer, prompt)
        return Completion(
            text=f"{number:.4g}",
            token_ids=(),
            finish_reason="stop",
            usage=Usage(len(prompt), 0),
            fingerprint=self.fingerprint,
        )

    async def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        completion = await self.generate(request)
        yield Delta(completion.text)
        yield Delta("", completion)

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        raise Unsupported(
            f"scoring labels with {self.spec.name}, which is a probe of numbers",
            hint="take a strategy that writes, or the entry without the probe",
        )

    def _answer(self, prompt: Sequence[int]) -> float:
        text = self._probe.frame.text(prompt)
        if text is None:
            raise InvalidRequest(
                "the prompt is not of the template that the probe was made with",
                hint="take the task and the strategy that its card.toml names",
            )
        start, stop = text
        states = {}
        if self._probe.layers:
            # A memory that has read nothing: the same bytes whatever was asked before.
            with self._reading, closing(self.states(self._probe.layers)) as reader:
                read = reader.read(prompt, start, stop)
            states = dict(zip(self._probe.layers, read.astype(np.float64), strict=True))
        return self._probe.answer(states, self._reader.tokenizer.text_of(prompt[start:stop]))
