"""The model that is trained: how likely it finds answers, and what its frozen part says of them.

What is computed is the label score of inference: the log-probability of an answer's tokens and of
stopping behind them, by any token that stops a generation. Logits are computed only where an answer
is, because a vocabulary's width of them at every token costs more than all layers.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from gateway.tuning.examples import AnsweredPrompt, Example
from gateway.tuning.layers import lower, upper

Tensor = Any


class Network:
    """A causal language model of transformers, adapters on its layers.

    Args:
        module: the base model; its adapters are put on its layers in place.
        stops: ids that stop a generation.
        below: how many of its first layers have no adapter. What they compute of a row is the same
            whatever is learned above, and kept.
    """

    def __init__(self, module: Any, stops: Sequence[int], below: int) -> None:
        import torch

        self._torch = torch
        self._module = module
        self._stops = torch.tensor(list(stops), device=module.device)
        self._below = below
        self._upper = upper(module, below) if below else module
        self._kept: dict[tuple[tuple[int, ...], ...], Tensor] = {}

    @property
    def on_a_card(self) -> bool:
        """Whether it computes there."""
        return bool(self._module.device.type == "cuda")

    def train(self, training: bool) -> None:
        """Whether dropout is at work."""
        self._module.train(training)
        self._upper.train(training)

    def logprobs(self, rows: Sequence[AnsweredPrompt]) -> Tensor:
        """Log-probabilities of the rows' answers in nats, shape (rows,), in float32.

        The rows are padded at their ends, where a causal model needs no mask.
        """
        torch = self._torch
        width = max(len(row) for row in rows)
        if self._below:
            held = [self._states((row.tokens,), row.tokens, None, None) for row in rows]
            given = {"inputs_embeds": torch.nn.utils.rnn.pad_sequence(held, batch_first=True)}
        else:
            padded = [[*row.tokens, *[0] * (width - len(row))] for row in rows]
            given = {"input_ids": torch.tensor(padded, device=self._module.device)}
        places = [range(len(row.prompt) - 1, len(row)) for row in rows]
        kept = sorted({place for each in places for place in each})
        at = {place: number for number, place in enumerate(kept)}
        logits = self._logits(given, kept)
        which = [(i, at[place]) for i, each in enumerate(places) for place in each]
        found = self._log_softmax(logits[tuple(torch.tensor(which).T)])
        sums = []
        for row in rows:
            own, found = found[: len(row.answer) + 1], found[len(row.answer) + 1 :]
            sums.append(self._sum(own, row.answer))
        return torch.stack(sums)

    def scores(self, example: Example) -> Tensor:
        """Log-probabilities of all its answers, shape (answers,), in one pass.

        All stand behind one prompt, and a mask keeps each from seeing the others.
        """
        torch = self._torch
        prompt = example.answers[0].prompt
        answers = [row.answer for row in example.answers]
        tokens = (*prompt, *(token for answer in answers for token in answer))
        mask, positions = self._tree(len(prompt), [len(answer) for answer in answers])
        given: dict[str, Any] = {"attention_mask": mask, "position_ids": positions}
        if self._below:
            states = self._states((prompt, *answers), tokens, mask, positions)
            given["inputs_embeds"] = states[None]
        else:
            given["input_ids"] = torch.tensor([tokens], device=self._module.device)
        first = len(prompt) - 1
        found = self._log_softmax(self._logits(given, range(first, len(tokens)))[0])
        sums, start = [], 1
        for answer in answers:
            own = torch.cat([found[:1], found[start : start + len(answer)]])
            sums.append(self._sum(own, answer))
            start += len(answer)
        return torch.stack(sums)

    def divergence(self, tokens: Sequence[int], before: AbstractContextManager[None]) -> Tensor:
        """KL divergence of what follows each token of a text from what followed before anything
        was learned, their mean in nats.

        Args:
            before: within it the model is what it was.
        """
        torch = self._torch
        if self._below:
            given = {"inputs_embeds": self._states((tuple(tokens),), tokens, None, None)[None]}
        else:
            given = {"input_ids": torch.tensor([list(tokens)], device=self._module.device)}
        places = range(len(tokens))
        with before, torch.no_grad():
            target = self._log_softmax(self._logits(given, places)[0])
        found = self._log_softmax(self._logits(given, places)[0])
        return (target.exp() * (target - found)).sum(dim=-1).mean()

    def _logits(self, given: dict[str, Any], places: Sequence[int]) -> Tensor:
        keep = self._torch.tensor(list(places), device=self._module.device)
        return self._upper(**given, use_cache=False, logits_to_keep=keep).logits

    def _log_softmax(self, logits: Tensor) -> Tensor:
        return self._torch.log_softmax(logits.float(), dim=-1)

    def _sum(self, found: Tensor, answer: Sequence[int]) -> Tensor:
        """Of an answer, from the log-probabilities at its places: (answer + 1, vocabulary)."""
        torch = self._torch
        tokens = torch.tensor(list(answer), device=found.device)
        said = found[:-1].gather(1, tokens[:, None]).sum()
        return said + torch.logsumexp(found[-1, self._stops], dim=0)

    def _states(
        self,
        key: tuple[tuple[int, ...], ...],
        tokens: Sequence[int],
        mask: Tensor | None,
        positions: Tensor | None,
    ) -> Tensor:
        """What the frozen layers make of tokens, shape (tokens, width); computed once."""
        torch = self._torch
        if key not in self._kept:
            ids = torch.tensor([list(tokens)], device=self._module.device)
            self._kept[key] = lower(self._module, self._below, ids, mask, positions)[0]
        return self._kept[key]

    def _tree(self, prompt: int, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Additive mask of shape (1, 1, tokens, tokens) and positions of shape (1, tokens)."""
        torch = self._torch
        size = prompt + sum(lengths)
        seen = torch.ones(size, size, dtype=torch.bool).tril()
        positions, start = list(range(prompt)), prompt
        for length in lengths:
            seen[start : start + length, prompt:start] = False
            positions += range(prompt, prompt + length)
            start += length
        dtype = self._module.dtype
        mask = torch.zeros(size, size, dtype=dtype)
        mask.masked_fill_(~seen, torch.finfo(dtype).min)
        device = self._module.device
        return mask[None, None].to(device), torch.tensor([positions], device=device)
