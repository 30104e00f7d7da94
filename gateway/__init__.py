"""Local-model evaluation and serving gateway.

The same request gives the same bytes, whatever runs beside it, and every number can be replayed.

    run            ask a grid of models and prompts a task's items, and score it
    score          a finished run again, from the files in its folder
    compare        cells of such a grid against each other
    compare_saved  two cells of finished runs against each other
    classify       what a model answers to texts, or to the rows of a table
    judge          have a model grade texts on a rubric
    certify        measure whether a model's bytes ever change
    tune           train an adapter on labelled data
    open_model     a loaded model, to be asked anything
    load_models    the entries of models.toml

run, compare, classify, judge and certify return when their work is done; `await run.aio(...)` is
the same for async code. Nothing is loaded before it is used.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gateway.backends.open_model import open_model
    from gateway.backends.registry import load_models
    from gateway.core import errors
    from gateway.core.types import Message, Sampling
    from gateway.determinism.certify import certify_entry as certify
    from gateway.evaluation.classify import classify
    from gateway.evaluation.compare import compare_cells as compare
    from gateway.evaluation.evaluate import run
    from gateway.evaluation.judge.judgement import judge
    from gateway.evaluation.saved import compare_saved, score
    from gateway.report.pages.run import write_run
    from gateway.scoring.report import Report
    from gateway.tuning.recipe import Recipe
    from gateway.tuning.run import tune

_HOMES = {
    "Message": "core.types:Message",
    "Recipe": "tuning.recipe:Recipe",
    "Report": "scoring.report:Report",
    "Sampling": "core.types:Sampling",
    "certify": "determinism.certify:certify_entry",
    "classify": "evaluation.classify:classify",
    "compare": "evaluation.compare:compare_cells",
    "errors": "core.errors:",
    "compare_saved": "evaluation.saved:compare_saved",
    "judge": "evaluation.judge.judgement:judge",
    "load_models": "backends.registry:load_models",
    "open_model": "backends.open_model:open_model",
    "run": "evaluation.evaluate:run",
    "score": "evaluation.saved:score",
    "tune": "tuning.run:tune",
    "write_run": "report.pages.run:write_run",
}
"""Name -> the module that has it, and what it is called there."""

__all__ = [
    "Message",
    "Recipe",
    "Report",
    "Sampling",
    "certify",
    "classify",
    "compare",
    "compare_saved",
    "errors",
    "judge",
    "load_models",
    "open_model",
    "run",
    "score",
    "tune",
    "write_run",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module, _, there = _HOMES[name].partition(":")
        value = import_module(f"{__name__}.{module}")
        value = globals()[name] = getattr(value, there) if there else value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
