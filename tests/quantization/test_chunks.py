"""A text is cut and read as llama.cpp's tools do it."""

from pathlib import Path

import pytest

from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.llama_cpp.context import Context
from gateway.core.errors import DataError
from gateway.quantization.chunks import chunks_of, passes, read_text
from gateway.quantization.perplexity import first_evaluated
from tests.quantization.conftest import TEXT


def test_without_a_bos_the_chunks_are_the_text(smollm2: LlamaCppBackend) -> None:
    text = read_text(TEXT)
    tokens = smollm2._model.tokenize([(text, False)], add_special=True)
    chunks = chunks_of(smollm2._model, text, 100)
    assert len(chunks) == len(tokens) // 100
    assert [token for chunk in chunks for token in chunk] == tokens[: 100 * len(chunks)]
    assert chunks_of(smollm2._model, text, 100, 3) == chunks[:3]


def test_a_bos_takes_the_place_of_each_chunk_s_first_token(gemma: LlamaCppBackend) -> None:
    text = read_text(TEXT)
    tokens = gemma._model.tokenize([(text, False)], add_special=True)
    chunks = chunks_of(gemma._model, text, 100)
    assert {chunk[0] for chunk in chunks} == {gemma._model.bos}
    assert chunks[1][1:] == tuple(tokens[101:200])


def test_a_text_of_less_than_two_chunks_is_too_short(smollm2: LlamaCppBackend) -> None:
    with pytest.raises(DataError, match="at least 1024 are needed") as error:
        chunks_of(smollm2._model, read_text(TEXT), 512)
    assert "a context of" in error.value.hint


def test_control_tokens_in_a_text_are_text(smollm2: LlamaCppBackend) -> None:
    (chunk, *_) = chunks_of(smollm2._model, "<|im_end|>" * 20, 16)
    (end,) = smollm2._model.tokenize([("<|im_end|>", True)], add_special=False)
    assert end not in chunk


@pytest.mark.parametrize("length", [2, 7, 128, 300])
def test_the_second_half_is_evaluated_but_for_its_last_token(
    smollm2: LlamaCppBackend, length: int
) -> None:
    context = Context(smollm2._model, sequences=1, length=length, threads=1)
    chunk = tuple(range(length))
    read = [row for rows in passes(chunk, first_evaluated(length), context) for row in rows]
    context.close()
    assert [row.token for row in read] == list(chunk)
    assert [row.position for row in read if row.output] == list(range(length // 2, length - 1))
    outputs = [
        sum(row.output for row in rows) for rows in passes(chunk, first_evaluated(length), context)
    ]
    assert max(outputs) <= 64


def test_one_newline_at_the_end_does_not_count_and_the_file_is_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"eins\nzwei\n\n")
    assert read_text(file) == "eins\nzwei\n"
    file.write_bytes("fünf".encode("latin1"))
    with pytest.raises(DataError, match="byte 1 is no UTF-8"):
        read_text(file)
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path / "absent")
