"""A text in pieces of one length, as `llama-perplexity` and `llama-imatrix` cut it.

Reference: `perplexity` in llama.cpp's `tools/perplexity/perplexity.cpp`: one newline at the end of
the file does not count; the text is tokenized whole, control tokens' texts as plain text; what is
left behind the last whole piece is not used; where the vocabulary asks for a BOS, it replaces the
first token of each piece.
"""

from collections.abc import Iterator
from pathlib import Path

from gateway.backends.llama_cpp.context import Context
from gateway.core import files
from gateway.core.errors import DataError, Unsupported
from gateway.engine.context import OUTPUTS_PER_PASS, PassRow
from gateway.engine.llama.vocabulary import GgufVocabulary

Chunk = tuple[int, ...]
"""Token ids."""


def read_text(path: Path) -> str:
    """The text of a file as it is, line ends included, without one newline at its end.

    Raises:
        DataError: it is absent or no UTF-8.
    """
    return files.read_text(path, exact=True).removesuffix("\n")


def chunks_of(
    vocabulary: GgufVocabulary, text: str, length: int, most: int | None = None
) -> tuple[Chunk, ...]:
    """The text's chunks, the first `most` of them.

    Args:
        length: tokens of a chunk.

    Raises:
        DataError: the text is shorter than two chunks, as in llama.cpp.
        Unsupported: the vocabulary asks for an EOS, which llama.cpp refuses too.
    """
    if vocabulary.adds_eos:
        raise Unsupported("the perplexity of a model whose texts end with an EOS")
    tokens = vocabulary.tokenize([(text, False)], add_special=True)
    if len(tokens) < 2 * length:
        raise DataError(
            f"the text has {len(tokens)} tokens; at least {2 * length} are needed",
            hint=f"give a longer text, or a context of {max(len(tokens) // 2, 1)} tokens",
        )
    count = min(len(tokens) // length, most or len(tokens))
    cut = [tokens[i * length : (i + 1) * length] for i in range(count)]
    if vocabulary.bos is not None:
        cut = [[vocabulary.bos, *chunk[1:]] for chunk in cut]
    return tuple(map(tuple, cut))


def passes(chunk: Chunk, first_output: int, context: Context) -> Iterator[list[PassRow]]:
    """The forward passes that read a chunk into sequence 0.

    Args:
        first_output: the position from which on logits are wanted, but for the last, which
            predicts nothing of the chunk.
    """
    position = 0
    while position < len(chunk):
        if position < first_output:
            end = min(position + context.batch_tokens, first_output)
        else:
            end = position + min(context.batch_tokens, OUTPUTS_PER_PASS)
        piece = range(position, min(end, len(chunk)))
        yield [PassRow(0, i, chunk[i], first_output <= i < len(chunk) - 1) for i in piece]
        position = piece.stop
