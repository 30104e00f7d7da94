"""The file that a ladder's importance matrix is read from: the one given, or made from a text."""

from collections.abc import Callable
from pathlib import Path

from gateway.core.digests import digest_text
from gateway.core.errors import DataError
from gateway.models.environment import digest_memory
from gateway.models.gguf import is_gguf
from gateway.models.weights import weights_digests
from gateway.quantization.activations import collect
from gateway.quantization.chunks import read_text
from gateway.quantization.imatrix import read_imatrix, write_imatrix
from gateway.quantization.source import Given
from gateway.tasks.tables import SUFFIXES, ReadOptions, read_table, suffix_of

_DIGITS = 16


def matrix_file(
    model: Given,
    given: Path,
    out: Path,
    *,
    form: ReadOptions | None = None,
    threads: int = 0,
    begin: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
) -> Path:
    """An importance matrix as a GGUF file.

    A text is read by the model, which takes as long as answering it; what is collected is kept in
    `out`, and taken again for the same model and text.

    Args:
        given: a GGUF importance matrix, a text, or a table whose cells are read one after the
            other.
        form: how a table is read, where it does not say it.
        begin: called with the number of the text's chunks; what it answers is called after each.

    Raises:
        DataError: it is none of these, or the text is too short.
        Unsupported: nothing can be collected from this model.
    """
    if not given.is_file():
        raise DataError(f"{given}: no such file")
    if is_gguf(given):
        read_imatrix(given)
        return given
    text = text_of(given, form or ReadOptions())
    weights = weights_digests(model.path, digest_memory()).contents
    source = f"{given.name} {digest_text(text)[:_DIGITS]}, read by {weights[:_DIGITS]}"
    made = out / f"{model.name.replace(':', '_')}.imatrix.gguf"
    if made.is_file() and read_imatrix(made).datasets == (source,):
        return made
    found = collect(model, text, source, threads=threads, begin=begin)
    out.mkdir(parents=True, exist_ok=True)
    temporary = made.with_name(f".{made.name}.partial")
    try:
        write_imatrix(found, temporary)
        temporary.replace(made)
    finally:
        temporary.unlink(missing_ok=True)
    return made


def text_of(file: Path, form: ReadOptions) -> str:
    """The text of a file, or the cells of a table one after the other.

    Raises:
        DataError: it cannot be read.
    """
    if suffix_of(str(file)) not in SUFFIXES:
        return read_text(file)
    table = read_table(str(file), form)
    for said in (*table.notes, *table.doubts):
        form.tell(said)
    return "\n\n".join(str(value) for row in table.rows for value in row.values.values() if value)
