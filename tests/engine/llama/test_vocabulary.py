"""What is asked of a whole vocabulary at once is what each token says by itself."""

import pytest

from gateway.engine.llama import library
from gateway.engine.llama.vocabulary import GgufVocabulary
from tests.conftest import spec_and_path


@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m-plain"])
def test_ends_and_control_tokens_are_those_that_the_library_names_one_by_one(model: str) -> None:
    lib = library.load()
    vocabulary = GgufVocabulary(spec_and_path(model)[1])
    template = vocabulary.chat_template or ""
    ends, control = [], []
    for token in range(vocabulary.vocab_size):
        if lib.llama_vocab_is_eog(vocabulary.vocab, token):
            ends.append(token)
        kind = lib.llama_vocab_get_attr(vocabulary.vocab, token)
        text = vocabulary.token_text(token)
        always = kind & (lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN)
        of_template = kind & lib.LLAMA_TOKEN_ATTR_USER_DEFINED and len(text) > 1
        if text and (always or (of_template and text in template)):
            control.append(text)
    assert vocabulary.end_tokens == tuple(ends)
    pattern = vocabulary.control_pattern
    assert control
    assert pattern is not None
    assert [text for text in control if pattern.fullmatch(text) is None] == []
    assert pattern.pattern.count("|") - "".join(control).count("|") == len(control) - 1
    vocabulary.close()
