"""What the model behind an Ollama server reads, in tokens, though the server is sent text.

Ollama makes tokens of a raw prompt as llama.cpp's own server does: with the tokens that the
vocabulary puts around a text (a BOS), and with control tokens wherever the text spells one. The
vocabulary is that of the model's file, from the local store or from /api/show, so that what the
server will read is known before it is asked.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gateway.core.errors import ModelLoadError, Unsupported
from gateway.core.types import UNTOLD_TOKEN, RenderedRequest
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import Reader

_PREFIX = "tokenizer.ggml."
_ARRAYS = {
    "tokens": "string",
    "merges": "string",
    "token_type": "int32",
    "scores": "float32",
    "suppress_tokens": "int32",
}
"""The element type of each array, which JSON does not tell; as llama.cpp's `llama-vocab.cpp` reads
them."""


def vocabulary_of(model_info: Mapping[str, Any], name: str) -> GgufVocabulary:
    """The vocabulary that POST /api/show tells with `verbose`.

    It is written as a GGUF without tensors, for llama.cpp to load as any other.

    Raises:
        ModelLoadError: there is none, or llama.cpp cannot read it.
    """
    if not isinstance(model_info.get(f"{_PREFIX}tokens"), list):
        raise ModelLoadError(
            f"the Ollama server tells no vocabulary of {name}",
            hint="Ollama 0.33 is known to; or let OLLAMA_MODELS name a store with the model",
        )
    with tempfile.TemporaryDirectory(prefix="vocabulary-") as folder:
        path = Path(folder) / f"{name.replace('/', '_')}.gguf"
        try:
            _write(path, model_info)
        except (KeyError, TypeError, ValueError) as exc:
            raise ModelLoadError(
                f"the vocabulary of {name}, as the server tells it, cannot be used: {exc}"
            ) from exc
        return GgufVocabulary(path)


def _write(path: Path, model_info: Mapping[str, Any]) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, str(model_info["general.architecture"]))
    for key, value in sorted(model_info.items()):
        if not key.startswith("tokenizer.") or value is None:
            continue
        if isinstance(value, list):
            if (kind := _ARRAYS.get(key.removeprefix(_PREFIX))) is not None:
                writer.add_array(key, [_element(kind, each) for each in value])
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def _element(kind: str, value: Any) -> Any:
    """A number of the type from which the writer tells an array's type."""
    if kind == "string":
        return str(value)
    return float(value) if kind == "float32" else int(value)


class ServerReader:
    """Reads requests for one model, and finds the text that makes the server read the same."""

    def __init__(self, reader: Reader, vocabulary: GgufVocabulary) -> None:
        self.reader = reader
        self.vocabulary = vocabulary

    def text_for(self, rendered: RenderedRequest) -> str:
        """The raw prompt for which the server reads just these tokens.

        Raises:
            Unsupported: there is none: data that spells a control token would be read as one.
        """
        wanted = list(rendered.token_ids)
        found: list[int] = []
        for text in self._candidates(rendered):
            found = self.read_by_server(text)
            if found == wanted:
                return text
        at = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), 0)
        raise Unsupported(
            "sending these tokens to Ollama, which is sent text",
            hint=f"it would read others from token {at} on, as it does where data spells a control "
            "token; the same weights in process read them as they are",
        )

    def written(self, tokens: Sequence[int]) -> RenderedRequest:
        """Tokens with the text that they are written as, control tokens included."""
        data = b"".join(self.vocabulary.piece(token, control=True) for token in tokens)
        return RenderedRequest(data.decode("utf-8", "replace"), tuple(tokens))

    def read_by_server(self, text: str) -> list[int]:
        """The tokens that the server makes of a raw prompt."""
        return self.vocabulary.alone(text, control=True)

    def _candidates(self, rendered: RenderedRequest) -> Iterator[str]:
        """The first is right nearly always; the others are made only where it is not."""
        yield rendered.text
        texts = [rendered.text, self.written(rendered.token_ids).text]
        yield texts[1]
        # A BOS that the vocabulary puts before every text must not be written as well.
        bos = self.vocabulary.special_text("bos")
        yield from (text.removeprefix(bos) for text in texts if bos and text != bos)

    def token_of(self, data: bytes) -> int:
        """The token with these bytes; `UNTOLD_TOKEN` where none has them, or it is not clear which.

        A vocabulary may spell one character in two ways: as a token of its own, which is how text
        is read, and as a byte for what has none. The first is meant.
        """
        found = self._by_bytes.get(data, ())
        if len(found) == 1:
            return found[0]
        text = data.decode("utf-8", "replace")
        usual = self.reader.plain_tokens(text) if found else []
        return usual[0] if len(usual) == 1 and usual[0] in found else UNTOLD_TOKEN

    def is_unique(self, data: bytes) -> bool:
        """Whether just one token has these bytes."""
        return len(self._by_bytes.get(data, ())) == 1

    @cached_property
    def _by_bytes(self) -> dict[bytes, list[int]]:
        """Tokens by their bytes; control tokens, which have none, are left out."""
        found: dict[bytes, list[int]] = {}
        for token in range(self.vocabulary.vocab_size):
            if data := self.vocabulary.piece(token):
                found.setdefault(data, []).append(token)
        return found
