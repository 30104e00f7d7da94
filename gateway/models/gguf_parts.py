"""A model that llama.cpp's gguf-split cut into several GGUF files: finding and reading all of them.

Each part says in its metadata how many there are (`split.count`), which it is (`split.no`, from 0)
and how many tensors all have (`split.tensors.count`). The first has the model's own metadata. The
others are found by name, NAME-00002-of-00003.gguf beside it (llama.cpp's `llama_split_path`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError
from gateway.core.lists import first_names
from gateway.models.gguf import Header, read_header

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def looks_split(name: str) -> bool:
    """Whether a file is named as one part of several; what is in it decides."""
    return _NAME.fullmatch(name) is not None


def part_names(name: str) -> tuple[str, ...]:
    """Names of all parts by that of any of them, in order; of another name that one alone."""
    found = _NAME.fullmatch(name)
    if found is None:
        return (name,)
    count = int(found["count"])
    return tuple(f"{found['stem']}-{n:05d}-of-{count:05d}.gguf" for n in range(1, count + 1))


def name_of(path: Path) -> str:
    """A model's name by that of its file: without the ending, and without the number of a part."""
    found = _NAME.fullmatch(path.name)
    return found["stem"] if found else path.stem


def placed(path: Path) -> Path:
    """The absolute path of a file under its own name, by which its other parts are found: only
    links of its folders are followed. In a cache of the hub a file is a link to its digest."""
    return path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()


def files_of(path: Path) -> tuple[Path, ...]:
    """All files of located weights; a header is read only where a file is named as a part.

    Raises:
        ModelLoadError: as `parts_of`.
    """
    return parts_of(path) if looks_split(path.name) and path.is_file() else (path,)


def parts_of(path: Path) -> tuple[Path, ...]:
    """All files of the model that a GGUF is of, in order; the one itself where it is whole.

    Args:
        path: any of the parts.

    Raises:
        ModelLoadError: no readable GGUF, a part is missing, or is not named as llama.cpp finds it.
    """
    said = read_header(path).metadata
    number, count = _place(said)
    if count == 1:
        return (path,)
    if len(names := part_names(path.name)) != count or names[number : number + 1] != (path.name,):
        raise ModelLoadError(
            f"{path}: part {number + 1} of {count} of one model, and its name does not say so",
            hint=f"name all parts as llama.cpp does: NAME-{number + 1:05d}-of-{count:05d}.gguf",
        )
    parts = tuple(path.with_name(name) for name in names)
    if missing := [part.name for part in parts if not part.is_file()]:
        raise ModelLoadError(
            f"{path}: one of {count} parts of a model, and of them is missing: "
            f"{first_names(missing)}",
            hint=f"all parts lie in one folder: {path.parent}",
        )
    return parts


def read_model(path: Path, *, arrays: bool = False) -> Header:
    """The header of a whole model: the first part's metadata, and the tensors of all parts.

    Args:
        path: a GGUF, or any part of a split one.
        arrays: keep arrays, such as the whole vocabulary.

    Raises:
        ModelLoadError: as `parts_of`; or the parts are not all of one model.
    """
    parts = parts_of(path)
    first = read_header(parts[0], arrays=arrays)
    if len(parts) == 1:
        return first
    headers = [first, *(read_header(part) for part in parts[1:])]
    for number, (part, header) in enumerate(zip(parts, headers, strict=True)):
        if _place(header.metadata) != (number, len(parts)):
            raise ModelLoadError(f"{part}: it is not part {number + 1} of {len(parts)} of a model")
    tensors = tuple(_numbered(headers))
    _check_tensors(parts, first.metadata, [tensor.name for tensor in tensors])
    metadata = {key: said for key, said in first.metadata.items() if not key.startswith("split.")}
    begins = tuple(header.data_begins for header in headers)
    return Header(metadata, tensors, first.data_begins, parts, begins)


def _place(said: Any) -> tuple[int, int]:
    """Which of how many parts one is by its metadata, counted from 0; that of a whole file 0, 1."""
    number, count = said.get("split.no", 0), said.get("split.count", 1)
    if not isinstance(number, int) or not isinstance(count, int) or count < 2:
        return 0, 1
    return number, count


def _numbered(headers: Sequence[Header]) -> Iterator[Any]:
    for number, header in enumerate(headers):
        yield from (replace(tensor, part=number) for tensor in header.tensors)


def _check_tensors(parts: Sequence[Path], said: Any, names: Sequence[str]) -> None:
    wanted = said.get("split.tensors.count", len(names))
    if len(names) != wanted or len(set(names)) != len(names):
        raise ModelLoadError(
            f"{parts[0]}: its {len(parts)} parts hold {len(set(names))} tensors, and it says "
            f"{wanted}",
            hint="the parts are not all of one model: pull them again",
        )
