"""Where a command will write, tried before it works: nobody is refused after minutes of work.

Tried by writing, since nothing else tells: permission bits do not bind root, a file system may be
mounted read-only or be full, and a name may be too long for it.
"""

import contextlib
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

from gateway.core.errors import ConfigError

_DEVICES = Path("/dev")
"""Where root could put a file in place of /dev/stdout, which may be a link to a regular file."""
_TRIES = 3
"""Another command may take away the very folder that it made for its own try."""


def check_folder(path: Path | None, option: str = "--out", files: Iterable[str] = ()) -> None:
    """Whether files can be written into a folder, which may have to be made; it is left as it was.

    Args:
        path: None: nothing will be written.
        option: what names the folder, for the hint.
        files: names that will be written in it.

    Raises:
        ConfigError: they cannot.
    """
    if path is None:
        return
    with _explained(path, f"give {option} a folder that you may write to"):
        _try(path, "probe")
    for name in files:
        _check_name(path / name, option)


def check_file(path: Path | None, option: str = "--out") -> None:
    """Whether a file can be written, or replaced; its folder may have to be made.

    Args:
        path: None: nothing will be written.
        option: what names the file, for the hint.

    Raises:
        ConfigError: it cannot.
    """
    if path is None:
        return
    _check_name(path, option)
    with _explained(path, f"give {option} a file that you may write"):
        _try(path.parent, path.name)


def _check_name(path: Path, option: str) -> None:
    """Nothing but a regular file is replaced: no folder, no device, no pipe."""
    with _explained(path, f"give {option} another name"):
        if path.is_dir():
            raise ConfigError(
                f"{path}: a folder is in the way of the file",
                hint=f"give {option} the name of a file",
            )
        if path.absolute().parent == _DEVICES or (path.exists() and not path.is_file()):
            raise ConfigError(f"{path} is no regular file", hint=f"give {option} another name")


def _try(folder: Path, name: str) -> None:
    for left in reversed(range(_TRIES)):
        try:
            _write_probe(folder, name)
        except FileNotFoundError:
            if not left:
                raise
        else:
            return


def _write_probe(folder: Path, name: str) -> None:
    """Make what is missing and a file, as `write_atomically` does, and take both away again."""
    import secrets

    missing = list(takewhile(lambda part: not part.exists(), (folder, *folder.parents)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{name}.{secrets.token_hex(8)}"
        try:
            with probe.open("xb") as file:
                file.write(b"\n")
        finally:
            probe.unlink(missing_ok=True)
    finally:
        for part in missing:
            # Not empty any more: somebody else has begun to use it.
            with contextlib.suppress(OSError):
                part.rmdir()


@contextlib.contextmanager
def _explained(path: Path, hint: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as exc:
        raise ConfigError(f"{path}: a file is in the way of the output folder", hint=hint) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror or exc}", hint=hint) from exc
    except ValueError as exc:
        # A NUL in the name.
        raise ConfigError(f"{str(path)!r}: cannot be written: {exc}", hint=hint) from exc
