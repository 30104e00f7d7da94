"""Folders of this machine, which no answer names: an error shows what lies in them by the name that
it has there."""

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from gateway.models.environment import (
    adapters_root,
    data_root,
    models_root,
    ollama_root,
    own_models,
    prompts_root,
    shipped,
)
from gateway.models.spec import ModelSpec, PathSource


class OwnFolders:
    """The folders that entries name, those that the gateway works in, and what is around them.

    Args:
        specs: the entries that are served.
        more: other folders, such as one of tasks.
    """

    def __init__(self, specs: Iterable[ModelSpec], more: Iterable[Path] = ()) -> None:
        named = (folder for spec in specs for folder in _of_entry(spec))
        every = {str(form) for each in (*named, *_roots(), *more) for form in _forms(each)}
        # The longest first: a name is shown as it is within the nearest folder.
        longest = sorted(every - {"/", "."}, key=lambda folder: (-len(folder), folder))
        names = "|".join(map(re.escape, longest))
        self._pattern = re.compile(rf"(?<![\w./~-])(?:{names})(?:/+|(?![\w.-]))")

    def hidden(self, text: str) -> str:
        """The text with the names of files as they are within those folders; a folder itself by
        its last name."""
        return self._pattern.sub(_last_name, text)


def _last_name(found: re.Match[str]) -> str:
    whole = found.group()
    return "" if whole.endswith("/") else Path(whole).name


def _of_entry(spec: ModelSpec) -> Iterator[Path]:
    if isinstance(spec.source, PathSource):
        yield spec.source.path.parent
    if spec.adapter is not None:
        yield spec.adapter.parent
    if spec.origin:
        yield Path(spec.origin).parent


def _roots() -> Iterator[Path]:
    yield from (models_root(), adapters_root(), data_root(), ollama_root(), prompts_root())
    yield from (own_models().parent, shipped("modelfiles"), Path(__file__).parents[1])
    yield from map(Path, (sys.prefix, sys.base_prefix, tempfile.gettempdir()))
    for place in (Path.home, Path.cwd):
        # There may be no home, and the folder that one works in may be gone.
        with suppress(OSError, RuntimeError):
            yield place()


def _forms(folder: Path) -> Iterator[Path]:
    """As it is written, and as it is once its links are followed."""
    yield folder.absolute()
    yield folder.resolve()
