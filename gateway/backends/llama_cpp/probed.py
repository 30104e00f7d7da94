"""A GGUF file with a probe on its hidden states: it answers with labels' probabilities alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.backends.llama_cpp.fitted import FittedLlamaCpp
from gateway.backends.llama_cpp.spec import LlamaCppProbeSpec
from gateway.core.errors import InvalidRequest, Unsupported
from gateway.core.lists import first_names
from gateway.core.types import Completion, Delta, GenerationRequest, LabelScores
from gateway.engine.reader import check_labels
from gateway.models.adapters.heads import Heads, read_heads
from gateway.models.adapters.probe import Probe, read_probe


class ProbedLlamaCpp(FittedLlamaCpp):
    """See `gateway.backends.protocol.Backend`.

    Raises:
        ModelLoadError: a file cannot be loaded, or the probe was made on other weights.
        ConfigError: the probe is of another form.
    """

    spec: LlamaCppProbeSpec

    def _load(self, folder: Path) -> Probe:
        self._probe = read_probe(folder)
        self._heads: Heads = read_heads(folder, self._probe)
        return self._probe

    @property
    def _layers(self) -> tuple[int, ...]:
        """Of the heads of all groups too."""
        return tuple(sorted({*self._probe.layers, *self._heads.layers}))

    @property
    def labels(self) -> tuple[str, ...]:
        """That it has learned."""
        return self._probe.labels

    @property
    def searches(self) -> bool:
        """All its labels cost one look."""
        return False

    @property
    def groups(self) -> tuple[str, ...]:
        """See `gateway.backends.protocol.ReadsGroups`."""
        return tuple(self._heads.by_group)

    @property
    def groups_of(self) -> str:
        """See `gateway.backends.protocol.ReadsGroups`."""
        return self._heads.column

    def around(self, text: str) -> GenerationRequest:
        """See `gateway.backends.protocol.OwnLabels`."""
        frame = self._probe.frame
        tokens = (*frame.before, *self._reader.plain_tokens(text), *frame.behind)
        return GenerationRequest(self.spec.name, prompt_tokens=tokens)

    async def generate(self, request: GenerationRequest) -> Completion:
        raise self._answers_with_labels()

    def stream(self, request: GenerationRequest) -> AsyncIterator[Delta]:
        raise self._answers_with_labels()

    def _answers_with_labels(self) -> Unsupported:
        return Unsupported(
            f"generating with {self.spec.name}, which is a probe: it tells labels' probabilities",
            hint="take a strategy that scores labels, or the entry without the probe",
        )

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        check_labels(labels)
        if unknown := [label for label in labels if label not in self._probe.labels]:
            raise InvalidRequest(
                f"the probe has not learned {first_names(unknown)}",
                hint=f"its labels: {first_names(self._probe.labels)}",
                parameter="labels",
            )
        prompt = (await self._read(request)).token_ids
        self._check_context(len(prompt))
        found = await asyncio.to_thread(self._logprobs, prompt, request.group)
        return LabelScores(
            labels=tuple(labels),
            logprobs=self._of(labels, found),
            token_counts=(1,) * len(labels),
            byte_counts=tuple(len(label.encode()) for label in labels),
            tokens_evaluated=len(prompt),
            prompt_tokens=len(prompt),
            exact=True,
            fingerprint=self.fingerprint,
        )

    async def plain_scores(
        self, request: GenerationRequest, labels: Sequence[str]
    ) -> tuple[float, ...]:
        """See `gateway.backends.protocol.Plain`: by a memory of states that has read nothing."""
        prompt = (await self._read(request)).token_ids
        found = await asyncio.to_thread(self._logprobs, prompt, request.group, fresh=True)
        return self._of(labels, found)

    def _of(self, labels: Sequence[str], found: Sequence[float]) -> tuple[float, ...]:
        return tuple(found[self._probe.labels.index(label)] for label in labels)

    def _logprobs(self, prompt: Sequence[int], group: str, *, fresh: bool = False) -> list[float]:
        states, words = self._look(prompt, fresh=fresh)
        found = self._probe.log_probabilities(states, words)
        if head := self._heads.by_group.get(group):
            found = head.mixed(head.probe.log_probabilities(states, words), found)
        return [float(value) for value in found]
