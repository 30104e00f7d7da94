"""A GGUF file with a probe of numbers on its hidden states: it writes one number."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.backends.llama_cpp.fitted import FittedLlamaCpp
from gateway.backends.llama_cpp.spec import LlamaCppNumberProbeSpec
from gateway.core.errors import Unsupported
from gateway.core.types import Completion, Delta, GenerationRequest, LabelScores, Usage
from gateway.models.adapters.number_probe import NumberProbe, read_number_probe


class NumberProbedLlamaCpp(FittedLlamaCpp):
    """See `gateway.backends.protocol.Backend`.

    Raises:
        ModelLoadError: a file cannot be loaded, or the probe was made on other weights.
        ConfigError: the probe is of another form.
    """

    spec: LlamaCppNumberProbeSpec

    def _load(self, folder: Path) -> NumberProbe:
        self._probe = read_number_probe(folder)
        return self._probe

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
        states, words = self._look(prompt)
        return self._probe.answer(states, words)
