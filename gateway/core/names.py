"""Names from outside that become part of a path: resolved inside a root or refused."""

import re

from gateway.core.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


def check_name(name: str, what: str) -> str:
    """The name itself, if it cannot leave the folder that it is looked up in.

    Args:
        what: "task", "strategy": for the message.

    Raises:
        ConfigError: it holds a separator or another character that a name must not have.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a {what}",
            hint="letters, digits, '_', '-' and '.', beginning with a letter or digit",
        )
    return name
