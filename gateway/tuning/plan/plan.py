"""All of a plan: the advice, and for a model the tables that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.tuning.plan.architecture import Architecture
from gateway.tuning.plan.figures import Figure, total
from gateway.tuning.plan.guide import Advice, Answers, advise
from gateway.tuning.plan.hyperparameters import Range, Steps, ranges, steps
from gateway.tuning.plan.inference_memory import DEFAULT_LEVELS, Inference, inference_memory
from gateway.tuning.plan.parameters import count, lora, parameters
from gateway.tuning.plan.setup import Setup
from gateway.tuning.plan.training_memory import TrainingMemory, training_memory
from gateway.tuning.plan.zero import Stage, advised, stages

_RANKS = (4, 8, 16, 32, 64, 128)
_CONTEXTS = (4096, 16384, 32768)
_DEVICES = (2, 4, 8)
"""For which the table of ZeRO is made where there is one device."""
_METHODS: Mapping[str, Mapping[str, Any]] = {
    "full, float32 and bfloat16 mixed": {"method": "full", "precision": "mixed"},
    "full, bfloat16": {"method": "full"},
    "LoRA": {"method": "lora"},
    "QLoRA": {"method": "qlora"},
}


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What training and running one model takes."""

    architecture: Architecture
    setup: Setup
    budget: int | None
    """Bytes of one device; None: not said."""
    ranks: Mapping[int, tuple[Figure, ...]]
    """Trained weights by target, for each rank."""
    memories: Mapping[str, TrainingMemory]
    """By method."""
    inference: Sequence[Inference]
    contexts: tuple[int, ...]
    zero: Mapping[tuple[str, int], tuple[Stage, ...]]
    """By method and number of devices."""

    @property
    def parameters(self) -> int:
        return count(self.architecture)

    def fits(self, memory: TrainingMemory) -> bool | None:
        """Whether it is within the budget; None where there is none."""
        return None if self.budget is None else memory.total <= self.budget

    def with_what(self) -> str:
        """Which method to train with."""
        if self.budget is None:
            return "LoRA; QLoRA where the frozen weights are too large (--memory SIZE says)"
        for name in ("LoRA", "QLoRA"):
            if self.fits(self.memories[name]):
                return f"{name}: it fits into the memory of a device"
        return self._with_zero()

    def _with_zero(self) -> str:
        assert self.budget is not None
        for (name, devices), found in self.zero.items():
            stage = advised(found, self.budget)
            if name == "LoRA" and stage is not None:
                return f"LoRA on {devices} devices with ZeRO {stage.stage}"
        return "a smaller model, a shorter --context or a larger device: not even QLoRA fits"


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """The answer to `gateway plan`."""

    answers: Answers
    advice: Advice
    ranges: tuple[Range, ...]
    steps: Steps | None
    model: ModelPlan | None


def make_plan(
    answers: Answers, s: Setup, architecture: Architecture | None, budget: int | None = None
) -> TuningPlan:
    """The advice, and the tables where there is a model.

    Args:
        s: how a LoRA of it would be trained; the other methods follow from it.
        budget: bytes of one device.
    """
    model = None if architecture is None else plan_model(architecture, s, budget)
    long = None if answers.examples is None or answers.examples < 1 else steps(answers.examples, s)
    return TuningPlan(answers, advise(answers), ranges(s), long, model)


def plan_model(a: Architecture, s: Setup, budget: int | None = None) -> ModelPlan:
    """The tables of one model."""
    setups = {name: replace(s, **changes) for name, changes in _METHODS.items()}
    contexts = tuple(sorted({s.context, *(c for c in _CONTEXTS if c <= a.context)}))
    devices = _DEVICES if s.devices == 1 else (s.devices,)
    return ModelPlan(
        architecture=a,
        setup=s,
        budget=budget,
        ranks={r: lora(a, r, s.targets) for r in sorted({*_RANKS, s.rank})},
        memories={name: training_memory(a, setup) for name, setup in setups.items()},
        inference=inference_memory(a, DEFAULT_LEVELS, contexts),
        contexts=contexts,
        zero={
            (name, n): stages(a, replace(setup, devices=n))
            for name, setup in setups.items()
            if name != "full, bfloat16"
            for n in devices
        },
    )


def plan_json(plan: TuningPlan) -> dict[str, Any]:
    """Everything, for canonical JSON; sizes in bytes, each with its formula."""
    advice = plan.advice
    return {
        "answers": asdict(plan.answers),
        "advice": {
            "verdict": advice.verdict,
            "with": plan.model.with_what() if plan.model else None,
            "reasons": [
                {"rule": r.name, "way": r.way, "because": r.because, "source": r.source}
                for r in advice.reasons
            ],
            "questions": list(advice.questions),
        },
        "hyperparameters": [asdict(r) for r in plan.ranges],
        "steps": asdict(plan.steps) if plan.steps else None,
        "model": _model_json(plan.model) if plan.model else None,
    }


def _model_json(model: ModelPlan) -> dict[str, Any]:
    return {
        "architecture": asdict(model.architecture),
        "setup": asdict(model.setup),
        "parameters": _figures(parameters(model.architecture)),
        "lora": {str(rank): _figures(figures) for rank, figures in model.ranks.items()},
        "training": {
            name: {
                "peak": memory.peak,
                "total": memory.total,
                "fits": model.fits(memory),
                "moments": {moment: _figures(f) for moment, f in memory.moments.items()},
            }
            for name, memory in model.memories.items()
        },
        "inference": [
            {
                "level": found.level.name,
                "bits": found.bits,
                "weights": asdict(found.weights),
                "caches": [asdict(cache) for cache in found.caches],
                "totals": found.totals,
            }
            for found in model.inference
        ],
        "zero": [
            {
                "method": name,
                "devices": devices,
                "stage": stage.stage,
                "total": stage.memory.total,
                "saved": stage.saved,
            }
            for (name, devices), found in model.zero.items()
            for stage in found
        ],
    }


def _figures(figures: Sequence[Figure]) -> dict[str, Any]:
    return {"total": total(figures), "terms": [asdict(figure) for figure in figures]}
