"""From a model entry to its file on this machine."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from gateway.core.errors import ModelLoadError, ModelNotPulled
from gateway.models import ollama_store
from gateway.models.environment import digest_memory, models_root, ollama_root
from gateway.models.gguf import GGUF
from gateway.models.gguf_parts import files_of, looks_split, part_names
from gateway.models.spec import WITH, HubSource, ModelSpec, OllamaSource, PathSource, PypiSource
from gateway.models.weights import WeightsDigests, weights_digests


def locate(spec: ModelSpec) -> Path:
    """The model's file; of a split GGUF the first part, whichever part is named.

    Raises:
        ModelNotPulled: it is not on this machine.
        ModelLoadError: Ollama would run it with an adapter that the entry does not name, or a part
            of a split GGUF is missing.
    """
    path = files_of(_located(spec))[0]
    _check_form(spec, path)
    return path


def _check_form(spec: ModelSpec, path: Path) -> None:
    """Raise ModelLoadError for a folder where the backend reads a file, or the other way round."""
    if path.is_dir() and not spec.can.reads_folders:
        raise ModelLoadError(
            f"model {spec.name}: {path} is a folder, and {spec.backend} runs a GGUF file",
            hint='backend = "transformers" in its entry runs a folder of safetensors',
        )
    if path.is_dir() and not (path / "config.json").is_file() and _snapshots(path):
        raise ModelLoadError(
            f"model {spec.name}: {path} is a cache of the hub, with the model in a folder below",
            hint=f"name that: {_snapshots(path)[-1]}",
        )
    adapter = spec.adapter
    if adapter is None or not adapter.exists():
        return  # Whoever loads it says so.
    if spec.can.adapters == "gguf" and adapter.is_dir():
        raise ModelLoadError(
            f"model {spec.name}: its adapter {adapter} is a folder of PEFT, and {spec.backend} "
            "runs the GGUF that is exported from it",
            hint=f"gateway adapters export {adapter.name} --base ENTRY, with the base's entry",
        )
    if spec.can.adapters == "folder" and adapter.is_file():
        raise ModelLoadError(
            f"model {spec.name}: its adapter {adapter} is a file, and {spec.backend} runs the "
            "folder that PEFT has saved",
            hint="an adapter in a GGUF: an entry of llama.cpp"
            if adapter.suffix == GGUF
            else f"name its folder: {adapter.parent}",
        )


def _snapshots(path: Path) -> list[Path]:
    """Folders of models in a folder of the hub's cache, the newest last
    (huggingface_hub, "Understand caching": refs, blobs, snapshots)."""
    found = (path / "snapshots").glob("*/config.json")
    return [each.parent for each in sorted(found, key=lambda each: each.stat().st_mtime)]


def _located(spec: ModelSpec) -> Path:
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
    """Where a pulled model lies: named by digest, so that entries of one file share it. The other
    parts of a split GGUF lie beside the first."""
    source = spec.source
    assert isinstance(source, PypiSource | HubSource)
    named = source.parts[0] if isinstance(source, PypiSource) else source.file or source.repo
    name = part_names(Path(named).name)[0]
    entry, _, _ = spec.name.partition(WITH)
    folder = spec.sha256[:16] or entry.replace(":", "_")
    return models_root() / folder / name.removesuffix(".part00")


def wanted_parts(source: PypiSource | HubSource) -> tuple[str, ...]:
    """The files that an entry names, in order: for one part of a split GGUF all parts."""
    named = source.parts if isinstance(source, PypiSource) else (source.file,)
    folder, slash, name = named[0].rpartition("/")
    if len(named) > 1 and not looks_split(name):
        return named
    return tuple(f"{folder}{slash}{each}" for each in part_names(name))


def _pulled(spec: ModelSpec) -> Path | None:
    path = pulled_path(spec)
    whole = all(path.with_name(name).exists() for name in part_names(path.name))
    return path if whole else None


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
    parts = wanted_parts(source)
    if len(source.requirements) != 1 or (len(parts) != 1 and not looks_split(parts[0])):
        return None
    (wanted,) = source.requirements
    try:
        found = distribution(wanted.name)
    except PackageNotFoundError:
        return None
    paths = [Path(str(found.locate_file(part))) for part in parts]
    there = found.version == wanted.version and all(path.is_file() for path in paths)
    return paths[0] if there else None
