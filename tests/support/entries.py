"""What reading a models.toml comes to."""

from pathlib import Path

from gateway.backends.registry import load_models
from gateway.core.errors import ConfigError


def outcome(path: Path) -> str:
    """The error of a file, with the type of one that should not have come; empty for entries."""
    try:
        load_models(path)
    except ConfigError as error:
        return error.message
    except Exception as error:  # noqa: BLE001 (that there is none is what is tested)
        return f"{type(error).__name__}: {error}"
    return ""
