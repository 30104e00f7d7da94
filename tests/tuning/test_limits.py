import pytest

from gateway.backends.ollama.spec import OllamaSpec
from gateway.backends.tokenizer_reader import reader_of
from gateway.core.errors import ConfigError
from gateway.core.types import GenerationRequest
from gateway.engine.reader import Reader
from gateway.models.spec import OllamaSource
from gateway.tuning.chats import chat_maker
from gateway.tuning.limits import length_limit
from tests.conftest import spec_and_path
from tests.tuning.samples import ROOT, TRIAGE, item

EACH = item("i", "It crashes", "bug", body="word " * 400)


def test_tokens_are_those_of_the_prompt_that_the_model_reads_with_answer_and_end() -> None:
    spec, _ = spec_and_path("smollm2-135m")
    with reader_of(spec) as reader:
        assert isinstance(reader, Reader)
        maker, _ = chat_maker(TRIAGE, "zero_shot", ROOT, [EACH], reader)
        limit = length_limit(maker, (spec, reader), None)
        made = limit.measure(EACH)
        prompt = reader.render(GenerationRequest(spec.name, maker.chat(EACH).messages[:-1]))
        assert made.size == len(prompt.token_ids) + 1 + 1
        assert made.shortened == ("body",)
        assert limit.most == spec.context_length
        assert limit.unit == "tokens of smollm2-135m, the conversation (zero_shot)"
        alone = length_limit(None, (spec, reader), 100)
        assert alone.most == 100
        assert alone.measure(EACH).size > 400


def test_without_a_model_characters_are_counted_and_it_is_said() -> None:
    limit = length_limit(None, None, 100)
    assert limit.most == 400
    assert limit.measure(EACH).size == len("It crashes\n") + 2000
    assert limit.unit == "characters (no --model: 4 for a token), an item's text"
    maker, _ = chat_maker(TRIAGE, "zero_shot", ROOT, [EACH])
    whole = length_limit(maker, None, None)
    assert whole.measure(EACH).size == sum(len(m.content) for m in maker.chat(EACH).messages)
    assert whole.most == 4 * 4096


def test_a_model_on_a_server_tells_no_tokens() -> None:
    spec = OllamaSpec("there", OllamaSource("m"))
    with pytest.raises(ConfigError, match="does not tell its tokens"), reader_of(spec):
        pass
