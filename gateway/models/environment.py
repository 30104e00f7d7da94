"""modelfiles/models.toml -> `ModelSpec`. The only reader of the environment.

Entries come from the file that ships with the package and from the user's own, where an entry of
the same name replaces the shipped one:

    GATEWAY_MODELS   the user's models.toml (default: models.toml in the user's config folder)
    GATEWAY_PROMPTS  a folder of tasks (default: the shipped ones)
    GATEWAY_DATA     where pulled models and the run store lie (default: the user's data folder)
    GATEWAY_ADAPTERS a folder of adapters (default: adapters in the folder of GATEWAY_DATA); what is
                     not there is looked for among those that ship with the package
    GATEWAY_ENCODER  a folder of a sentence encoder, or "off" (default: that of the extra encoders)
    GATEWAY_TRIAL    "off": no GGUF file is first tried in a process of its own
    GATEWAY_CACHE    most bytes of what is kept to start faster, "8GB", or "off" (default: 8GB)
    OLLAMA_MODELS    where an Ollama server keeps its models (default: where it does by default)
    OLLAMA_HOST      where an Ollama server answers (default: this machine, port 11434)
    OLLAMA_API_KEY   shown to the server of OLLAMA_HOST, and to no other
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import platformdirs

from gateway.core.errors import ConfigError
from gateway.core.kept import KeptFiles

_APP = "local-model-gateway"


_PACKAGE = Path(__file__).parents[1]


_OLLAMA_PORT = 11434
_CACHE_BYTES = 8 * 10**9
_keeping: ContextVar[bool] = ContextVar("keeping", default=True)


def own_models() -> Path:
    """The user's models.toml, whether it is there or not."""
    default = Path(platformdirs.user_config_dir(_APP)) / "models.toml"
    return from_environment("GATEWAY_MODELS") or default


def shipped(folder: Literal["prompts", "modelfiles", "adapters"]) -> Path:
    """A folder that comes with the package: inside the wheel, or beside it in a checkout."""
    inside = _PACKAGE / "_shipped" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def prompts_root() -> Path:
    """The folder of tasks."""
    return from_environment("GATEWAY_PROMPTS") or shipped("prompts")


def data_root() -> Path:
    """The folder of pulled models and the run store."""
    return from_environment("GATEWAY_DATA") or Path(platformdirs.user_data_dir(_APP))


def models_root() -> Path:
    """Where pulled models lie."""
    return data_root() / "models"


def adapters_root() -> Path:
    """The folder of adapters, one folder each."""
    return from_environment("GATEWAY_ADAPTERS") or data_root() / "adapters"


def encoder_setting() -> str:
    """What GATEWAY_ENCODER says: a folder, "off", or nothing."""
    return os.environ.get("GATEWAY_ENCODER", "").strip()


def embeddings_file() -> Path:
    """Where the vectors of texts are kept."""
    return data_root() / "embeddings.sqlite"


def ollama_root() -> Path:
    """Where an Ollama server keeps its models: as OLLAMA_MODELS says, else the folder of this
    user, or that of the system's service where only it is there."""
    own, service = Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models")
    # Not Path.is_dir, which fails where a folder above may not be entered.
    default = service if os.path.isdir(service) and not os.path.isdir(own) else own
    return from_environment("OLLAMA_MODELS") or default


def ollama_host() -> str:
    """URL of the Ollama server: OLLAMA_HOST as Ollama reads it, without a path, else this machine.

    An address to listen on at all of this machine's own (0.0.0.0) is asked as 127.0.0.1.
    """
    given = os.environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, _, rest = given.rpartition("://")
    ports = {"http": 80, "https": 443}
    parts = urlsplit(f"{scheme or 'http'}://{rest or '127.0.0.1'}")
    host = {None: "127.0.0.1", "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104
        parts.hostname, parts.hostname
    )
    try:
        port = parts.port or ports.get(scheme, _OLLAMA_PORT)
    except ValueError:
        raise ConfigError(f"OLLAMA_HOST={given!r} has no port that is one") from None
    shown = f"[{host}]" if host and ":" in host else host
    return f"{parts.scheme}://{shown}:{port}"


def ollama_key(host: str) -> str:
    """What to show to an Ollama server, empty for any but that of OLLAMA_HOST."""
    return os.environ.get("OLLAMA_API_KEY", "") if host == ollama_host() else ""


def default_store() -> Path:
    """The run store used when none is named."""
    return data_root() / "runs.sqlite"


def digest_memory() -> Path:
    """Where digests of weights are remembered."""
    return data_root() / "digests.json"


def keys_file() -> Path:
    """The file of API keys used when none is named."""
    return data_root() / "keys.json"


def tries_files() -> bool:
    """Whether a GGUF file that was never loaded here is first tried in a process of its own."""
    return os.environ.get("GATEWAY_TRIAL", "") != "off"


def certificates_file() -> Path:
    """Where what `gateway certify` measured is kept."""
    return data_root() / "certificates.json"


@contextmanager
def nothing_kept() -> Iterator[None]:
    """The block in which models are loaded that neither read nor write what is kept: what others
    are compared with is computed from nothing."""
    before = _keeping.set(False)
    try:
        yield
    finally:
        _keeping.reset(before)


def kept_files() -> KeptFiles | None:
    """What is kept so that a later start is faster; None: nothing is to be.

    Raises:
        ConfigError: GATEWAY_CACHE is no size.
    """
    said = os.environ.get("GATEWAY_CACHE", "").strip()
    if said.lower() in {"off", "0"} or not _keeping.get():
        return None
    from gateway.core.sizes import parse_size

    try:
        most = parse_size(said) if said else _CACHE_BYTES
    except ConfigError as error:
        raise ConfigError(f"GATEWAY_CACHE={said}: {error.message}", hint='8GB, or "off"') from None
    return KeptFiles(data_root() / "kept", most)


def fastest_file() -> Path:
    """Where what `gateway certify --fastest` chose is kept."""
    return data_root() / "fastest.json"


def from_environment(name: str) -> Path | None:
    value = os.environ.get(name, "")
    return Path(value).expanduser() if value else None
