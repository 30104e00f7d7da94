"""Every command with each of its arguments and options, by every name, a line each.

python -m tests.support.commands
"""

from collections.abc import Iterator

from typer.main import get_command

from gateway.cli.app import app


def lines() -> list[str]:
    """`models pull NAME`, `run --task`, `run -t`: in the order in which the help has them."""
    return list(_lines(get_command(app), ""))


def _lines(command: object, path: str) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield from _lines(below, f"{path} {name}".strip())
    for parameter in getattr(command, "params", []):
        names = [*parameter.opts, *parameter.secondary_opts]
        options = [name for name in names if name.startswith("-")]
        yield from (f"{path} {name}".strip() for name in options or [parameter.name.upper()])


if __name__ == "__main__":
    print("\n".join(lines()))
