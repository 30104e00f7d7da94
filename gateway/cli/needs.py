"""What each command needs besides the core install: which extras, and when.

Every command of the tree is in `NEEDS`. `settle` has it look first for what it always needs, and
has its help say all of it.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import typer

from gateway.core.extras import require_extra

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Needs:
    """The extras of one command."""

    always: tuple[str, ...] = ()
    """Without them it does nothing."""
    sometimes: Mapping[str, str] = field(default_factory=dict)
    """Extra -> what it is needed for."""

    def sentence(self) -> str:
        """For the command's help; empty where the core install is enough."""
        parts = [*self.always, *(f"{extra} for {what}" for extra, what in self.sometimes.items())]
        return f"Extras that it needs: {'; '.join(parts)}." if parts else ""


_IN_PROCESS = {"llama-cpp": "models on llama.cpp", "transformers": "models on torch"}
_MODEL = {
    **_IN_PROCESS,
    "nf4": "models on torch in 4 or 8 bits",
    "ollama": "models of an Ollama server",
}
_ENCODER = {"encoders": "--encoder"}
_DATA = {"parquet": "data in Parquet", "hf": "data hf:NAME"}

NEEDS: Mapping[str, Needs] = {
    "run": Needs(sometimes=_MODEL | _DATA | _ENCODER),
    "report": Needs(),
    "score": Needs(),
    "compare": Needs(),
    "ab": Needs(sometimes=_MODEL | _DATA | _ENCODER),
    "judge": Needs(sometimes=_MODEL | _DATA),
    "tune": Needs(
        sometimes={
            "transformers": "--method lora",
            "nf4": "--quantize nf4",
            "llama-cpp": "--method probe",
        }
        | _DATA
    ),
    "classify": Needs(sometimes=_MODEL | _DATA),
    "ask": Needs(sometimes=_MODEL),
    "certify": Needs(sometimes=_MODEL),
    "serve": Needs(("serve",), _MODEL),
    "replay": Needs(sometimes=_MODEL),
    "parity": Needs(sometimes=_MODEL | _DATA),
    "quantize": Needs(
        sometimes={
            "llama-cpp": "all but --levels",
            "transformers": "--method gptq or awq",
            "nf4": "--method nf4 or int8",
            "parquet": "--imatrix or --calibration of a table in Parquet",
        }
    ),
    "fidelity": Needs(("llama-cpp",)),
    "plan": Needs(sometimes=_DATA),
    "help": Needs(),
    "models list": Needs(sometimes={"ollama": "--ollama"}),
    "models show": Needs(sometimes=_MODEL),
    "models pull": Needs(
        sometimes={
            "hf": "models of the hub",
            "ollama": "ollama:NAME",
            "llama-cpp": "--as and --tune",
        }
    ),
    "models remove": Needs(("ollama",)),
    "models cache": Needs(),
    "models import-ollama": Needs(),
    "models modelfile": Needs(("llama-cpp",)),
    "models push-ollama": Needs(("ollama",)),
    "adapters list": Needs(),
    "adapters show": Needs(),
    "adapters check": Needs(),
    "adapters merge": Needs(("transformers",)),
    "adapters export": Needs(("transformers",)),
    "adapters compare": Needs(sometimes=_IN_PROCESS | _DATA),
    "prompts list": Needs(),
    "prompts show": Needs(),
    "prompts render": Needs(sometimes=_MODEL | _DATA),
    "data check": Needs(sometimes=_IN_PROCESS | _DATA),
    "data split": Needs(sometimes=_DATA),
    "data export": Needs(sometimes=_IN_PROCESS | _DATA),
    "data import": Needs(),
    "data validate": Needs(),
    "keys create": Needs(),
    "keys list": Needs(),
    "keys revoke": Needs(),
}
"""By the words behind `gateway`. An extra is enough for what is said of it, beside those that are
always needed."""


def settle(app: typer.Typer, path: tuple[str, ...] = ()) -> None:
    """Have every command of the tree say what it needs, and look for it before it begins."""
    for command in app.registered_commands:
        assert command.callback is not None
        needs = NEEDS[" ".join((*path, command.name or command.callback.__name__))]
        command.epilog = needs.sentence()
        command.callback = _checked(command.callback, needs)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        settle(group.typer_instance, (*path, str(group.name)))


def _checked(command: Callable[_P, _R], needs: Needs) -> Callable[_P, _R]:
    @functools.wraps(command)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for extra in needs.always:
            require_extra(extra)
        return command(*args, **kwargs)

    return checked
