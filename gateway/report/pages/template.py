"""How the template with which Ollama renders conversations differs from the model's own."""

from collections.abc import Iterator

from gateway.backends.ollama.templates.check import differences, kinds, own_template, probes
from gateway.core.errors import ConfigError, GoTemplateError
from gateway.engine.llama.vocabulary import GgufVocabulary

_SHOWN = 300
"""Characters of a text that is shown as an example."""


def template_remarks(own_source: str, go_source: str, vocabulary: GgufVocabulary) -> Iterator[str]:
    """What is to be known of Ollama's template, a sentence each.

    Args:
        own_source: the model's own, in Jinja; empty: it has none, or it is not known.
        go_source: Ollama's, in Go's language.
    """
    if not own_source:
        yield (
            "the model's own chat template is not known; Ollama answers chat all the same, through "
            "a template of its making"
        )
        return
    try:
        found = differences(own_template(own_source, vocabulary), go_source)
    except GoTemplateError as exc:
        yield f"cannot be compared with the model's own: {exc.message}"
        return
    except ConfigError as exc:
        yield f"cannot be compared with the model's own, which does not compile: {exc.message}"
        return
    usual = [difference for difference in found if difference.probe.usual]
    if not usual:
        count = sum(probe.usual for probe in probes())
        yield f"renders the {count} usual conversations that were tried as the model's own does"
    else:
        yield f"renders otherwise than the model's own: {'; '.join(kinds(usual))}"
        yield f"the model's own: {_excerpt(usual[0].own)}"
        yield f"Ollama's: {_excerpt(usual[0].go)}"
    if odd := kinds([difference for difference in found if not difference.probe.usual]):
        yield f"unusual conversations that differ: {'; '.join(odd)}"


def _excerpt(text: str | None) -> str:
    if text is None:
        return "refuses the conversation"
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
