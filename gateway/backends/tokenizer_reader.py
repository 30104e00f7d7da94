"""A model's tokenizer and chat template, without its weights."""

import contextlib
from collections.abc import Iterator

from gateway.core.errors import ConfigError
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.engine.reader import Reader
from gateway.models.locate import locate
from gateway.models.spec import ModelSpec


@contextlib.contextmanager
def reader_of(spec: ModelSpec) -> Iterator[Reader]:
    """Reads requests as the model does, while the block runs.

    Raises:
        ConfigError: the model is on a server, which does not tell its tokens.
        ModelNotPulled, ModelLoadError: its file cannot be read.
    """
    if not spec.can.reads_files:
        raise ConfigError(
            f"{spec.name}: a model of the backend {spec.backend} does not tell its tokens",
            hint="name an entry that runs in process (gateway models list)",
        )
    path = locate(spec)
    if path.is_dir():
        from gateway.backends.transformers.tokenizer import FolderTokenizer

        yield Reader(spec, FolderTokenizer(path))
        return
    vocabulary = GgufVocabulary(path)
    try:
        yield Reader(spec, vocabulary)
    finally:
        vocabulary.close()
