"""The loop: steps of AdamW on the answers' log-probabilities, and the held-out score an epoch.

Everything drawn is drawn anew for each step from the seed and the step's number, so a training that
was killed goes on from its checkpoint to the same bytes. That, and checkpoints without pickles, is
why the loop is ours and not a trainer's of transformers or trl.

Sources: Loshchilov and Hutter 2019, "Decoupled weight decay regularization" (AdamW); 2017, "SGDR"
(the cosine); gradients are clipped to a norm of 1, as transformers' trainer does.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.core.errors import BackendError
from gateway.tuning.adapter import TrainedAdapter
from gateway.tuning.batches import MICRO_TOKENS, ON_A_CARD, Step, steps
from gateway.tuning.checkpoint import Checkpoint, Logged, TrainingState, save
from gateway.tuning.examples import AnsweredPrompt, Example
from gateway.tuning.heldout import HeldOut, hold_out
from gateway.tuning.network import Network
from gateway.tuning.recipe import Recipe

CLIP = 1.0
SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass(frozen=True, slots=True)
class Watching:
    """What a training calls; each may do nothing."""

    on_step: Callable[[Logged], None]
    on_held_out: Callable[[], None]
    """After each held-out example."""
    on_epoch: Callable[[HeldOut], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What some passes took, forward and backward."""

    tokens: int
    seconds: float
    """When the frozen layers' part of it was kept."""
    once: float
    """Seconds more, the first time: what the frozen layers take."""


class Training:
    """One training, from its beginning or from a checkpoint.

    Args:
        folder, key: of its checkpoints.
        replay: pieces of a text that is to be predicted as the base does, as token ids.
    """

    def __init__(
        self,
        network: Network,
        adapter: TrainedAdapter,
        learned: Sequence[Example],
        held_out: Sequence[Example],
        recipe: Recipe,
        folder: Path,
        key: str,
        kept: Checkpoint | None,
        replay: Sequence[Sequence[int]] = (),
    ) -> None:
        import torch

        self._torch = torch
        self._network, self._adapter = network, adapter
        self._ids = [example.item_id for example in learned]
        self._rows = [example.row for example in learned]
        self._held_out, self._recipe = held_out, recipe
        self._folder, self._key = folder, key
        self._replay = replay
        self._optimizer = torch.optim.AdamW(
            adapter.parameters.values(), lr=0.0, weight_decay=recipe.weight_decay
        )
        self.state = TrainingState()
        self._best: dict[str, Any] = {}
        if kept:
            self._take_up(kept)

    @property
    def steps_an_epoch(self) -> int:
        """Steps of the optimizer."""
        return math.ceil(len(self._rows) / self._recipe.batch)

    @property
    def steps_in_all(self) -> int:
        """If no epoch is left out."""
        return self.steps_an_epoch * self._recipe.epochs

    @property
    def ended(self) -> bool:
        """Whether nothing is left to learn."""
        whole = self.state.step == self.steps_in_all
        at_an_end = len(self.state.epochs) * self.steps_an_epoch == self.state.step
        return at_an_end and (whole or self.state.since_best() >= self._recipe.patience)

    def run(self, watching: Watching) -> None:
        """Train to the end; the adapter then has the weights of the best epoch."""
        saved = time.monotonic()
        while not self.ended:
            done, within = divmod(self.state.step, self.steps_an_epoch)
            if done > len(self.state.epochs):
                with self._timed():
                    self._end_epoch(watching)
                saved = self._save()
                continue
            for step in self._steps(done)[within:]:
                with self._timed():
                    watching.on_step(self._learn(step))
                if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                    saved = self._save()
        self._adapter.put(self._best)

    def trial(self) -> Trial:
        """Time the passes of one step, after the largest of all; nothing is learned."""
        steps = self._steps(0)
        parts = [part for step in steps for part in step.parts]
        largest = max(parts, key=lambda part: sum(len(self._rows[i]) for i in part))
        self._network.train(True)
        # What is used first is set up first, and memory is at its fullest.
        self._timed_passes([largest])
        cold, warm = (self._timed_passes(steps[0].parts) for _ in range(2))
        tokens = sum(len(self._rows[i]) for i in steps[0].examples)
        return Trial(tokens, warm, max(0.0, cold - warm))

    def _timed_passes(self, parts: Sequence[Sequence[int]]) -> float:
        start = time.perf_counter()
        for part in parts:
            self._pass([self._rows[i] for i in part], 1)
        self._replayed(0)
        self._optimizer.zero_grad()
        return time.perf_counter() - start

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.state.seconds += time.monotonic() - begun

    def _steps(self, epoch: int) -> list[Step]:
        recipe = self._recipe
        most = ON_A_CARD if self._network.on_a_card else MICRO_TOKENS
        return steps(self._ids, self._rows, epoch, recipe.batch, recipe.seed, most)

    def _learn(self, step: Step) -> Logged:
        torch, number = self._torch, self.state.step
        torch.manual_seed(self._recipe.seed * 1_000_003 + number)
        self._network.train(True)
        rows = [self._rows[i] for i in step.examples]
        answered = sum(len(row.answer) + 1 for row in rows)
        loss = sum(self._pass([self._rows[i] for i in part], answered) for part in step.parts)
        self._replayed(number)
        rate = learning_rate(number, self.steps_in_all, self._recipe)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        torch.nn.utils.clip_grad_norm_(self._adapter.parameters.values(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.state.step += 1
        logged = Logged(number + 1, step.epoch + 1, loss, rate, sum(map(len, rows)))
        self.state.log.append(logged)
        return logged

    def _pass(self, rows: Sequence[AnsweredPrompt], answered: int) -> float:
        """Forward and backward; the loss of these rows, in nats over the step's answer tokens."""
        loss = -self._network.logprobs(rows).sum() / answered
        loss.backward()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise BackendError(
                f"the loss is {value}: the base's weights are not finite, or training diverged",
                hint="a lower --learning-rate, or --dtype float32; else pull the base again",
            )
        return value

    def _replayed(self, number: int) -> None:
        """Forward and backward through the step's piece of the neutral text, one after the other
        from the seed on."""
        if not self._replay:
            return
        piece = self._replay[(self._recipe.seed + number) % len(self._replay)]
        found = self._network.divergence(piece, self._adapter.off())
        (self._recipe.replay_weight * found).backward()

    def _end_epoch(self, watching: Watching) -> None:
        number = len(self.state.epochs) + 1
        found = hold_out(self._network, self._held_out, number, watching.on_held_out)
        if self.state.is_better(found):
            self.state.best, self._best = number, self._adapter.weights()
        self.state.epochs.append(found)
        watching.on_epoch(found)

    def _save(self) -> float:
        moments = {}
        for name, parameter in self._adapter.parameters.items():
            state = self._optimizer.state[parameter]
            moments[f"{name}.exp_avg"] = state["exp_avg"]
            moments[f"{name}.exp_avg_sq"] = state["exp_avg_sq"]
        kept = Checkpoint(self.state, self._adapter.weights(), moments, self._best)
        save(self._folder, self._key, kept)
        return time.monotonic()

    def _take_up(self, kept: Checkpoint) -> None:
        torch = self._torch
        self.state, self._best = kept.state, dict(kept.best)
        self._adapter.put(kept.weights)
        for name, parameter in self._adapter.parameters.items():
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(kept.state.step)),
                "exp_avg": kept.moments[f"{name}.exp_avg"].to(parameter.device),
                "exp_avg_sq": kept.moments[f"{name}.exp_avg_sq"].to(parameter.device),
            }


def learning_rate(step: int, steps: int, recipe: Recipe) -> float:
    """Of a step, counted from 0: a line up to the recipe's rate, then half a cosine to 0."""
    warm = math.ceil(steps * recipe.warmup)
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    passed = (step - warm) / max(1, steps - warm)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * passed))
