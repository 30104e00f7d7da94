"""The prompts of some conversations beside those of transformers' own renderer.

Its `apply_chat_template` is what a model was trained with. Where transformers is not installed
nothing is compared, which the trial's name says.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.backends.protocol import Backend, Reads
from gateway.backends.transformers.reference import rendered
from gateway.core.errors import GatewayError
from gateway.core.extras import is_installed
from gateway.core.types import GenerationRequest, Message
from gateway.models.certificates import Trial
from gateway.models.families.thoughts import OFF

_NAME = "prompts, by transformers' renderer"
_USER = Message("user", "  What is it like in <b>Zürich</b> & 'Bern'?\n")
_ANSWERED = (_USER, Message("assistant", 'Fine, "dry".'), Message("user", "And {{ tomorrow }}?"))
_SYSTEM = Message("system", "Be brief.")
CONVERSATIONS: Sequence[tuple[Message, ...]] = (
    *((_USER,), (_SYSTEM, _USER)),
    *(_ANSWERED, (_SYSTEM, *_ANSWERED)),
)


class _Rendering(Backend, Reads, Protocol):
    """A backend that renders conversations in this process."""


def by_transformers(backend: Backend) -> Trial | None:
    """How many of the conversations are rendered otherwise here; None for a backend that renders
    none in this process, or a model without a chat template.

    What is refused here, such as a system message that the template leaves out, is not compared.
    """
    if not isinstance(backend, Reads) or backend.reader.template_source is None:
        return None
    if not is_installed("transformers"):
        return Trial(f"{_NAME}: not installed, not compared", 0, 0, 0)
    asked = [c for c in CONVERSATIONS if not (backend.reader.merges_system and _SYSTEM in c)]
    found = [(_ours(backend, each), _theirs(backend, each)) for each in asked]
    compared = [(ours, theirs) for ours, theirs in found if ours is not None]
    # An entry without thoughts closes one that the template begins.
    closes = backend.spec.reasoning == OFF
    changed = sum(
        theirs is None or (ours != theirs and not (closes and ours.startswith(theirs)))
        for ours, theirs in compared
    )
    return Trial(_NAME, len(compared), changed, 0)


def _ours(backend: _Rendering, messages: Sequence[Message]) -> str | None:
    try:
        return backend.render(GenerationRequest(backend.spec.name, tuple(messages))).text
    except GatewayError:
        return None


def _theirs(backend: _Rendering, messages: Sequence[Message]) -> str | None:
    reader = backend.reader
    return rendered(reader.template_source or "", messages, reader.variables, reader.now)
