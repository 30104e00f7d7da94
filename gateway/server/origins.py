"""Which web pages may ask: those of this machine, and whom the operator names."""

import re

from gateway.server.settings import Settings

ALL, NONE = "*", "none"

_OF_THIS_MACHINE = (
    r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::[0-9]{1,5})?",
    r"(?:app|file|tauri|vscode-webview|vscode-file)://.*",
)
"""Pages that this machine itself serves, and desktop applications, as Ollama lets them in
(`AllowedOrigins` of its envconfig/config.go)."""


def pattern_of(settings: Settings) -> str:
    """A regular expression that matches an allowed origin as a whole; empty: none is.

    Without keys the server is reached from this machine alone, so that its own pages may ask; with
    keys a page has to be named.
    """
    if ALL in settings.origins:
        return ".*"
    named = [re.escape(origin) for origin in settings.origins if origin != NONE]
    own = settings.keys is None and NONE not in settings.origins
    return "|".join([*(_OF_THIS_MACHINE if own else ()), *named])
