"""The entries, a row each."""

from gateway.core.errors import ConfigError, ModelLoadError, ModelNotPulled
from gateway.models.file import Models
from gateway.models.locate import locate
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.report.sections import Head, Section, by_rows


def listing(models: Models) -> Section:
    """One row an entry."""
    rows = []
    for name, spec in sorted(models.specs.items()):
        shown = f"{name} (default)" if name == models.default else name
        rows.append((shown, spec.quantization, _here(spec), source_of(spec), spec.description))
    heads = ("model", "type", "here", Head("source", breaks=True), "description")
    origins = sorted({spec.origin for spec in models.specs.values()})
    return Section(tables=(by_rows(heads, rows),), lines=("entries from: " + ", ".join(origins),))


def _here(spec: ModelSpec) -> str:
    if not spec.can.reads_files:
        return "server" if spec.can.on_a_server else "no file"
    try:
        locate(spec)
    except ModelNotPulled:
        return "no"
    except (ConfigError, ModelLoadError):
        return "unusable"  # `models show` says why
    return "yes"


def source_of(spec: ModelSpec) -> str:
    """Where its weights come from, in a word."""
    source = spec.source
    if isinstance(source, PathSource):
        return str(source.path)
    if isinstance(source, HubSource):
        return f"hub:{source.repo}{'/' if source.file else ''}{source.file}@{source.revision}"
    if isinstance(source, OllamaSource):
        return f"ollama:{source.name}"
    assert isinstance(source, PypiSource)
    more = f" and {len(source.requirements) - 1} more" if len(source.requirements) > 1 else ""
    return f"pypi:{source.requirements[0]}{more}"
