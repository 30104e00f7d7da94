"""A GGUF's tokenizer in Hugging Face's form reads what llama.cpp reads."""

from pathlib import Path

from gateway.engine.llama.tokenizer_export import tokenizer_of
from gateway.engine.llama.vocabulary import GgufVocabulary
from gateway.tasks.tables import read_table
from tests.conftest import ROOT, spec_and_path


def test_it_reads_real_texts_and_every_probe_as_llama_cpp_does(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    path = spec_and_path("smollm2-135m")[1]
    tokenizer, differing = tokenizer_of(path)
    assert differing == ()
    tokenizer.save_pretrained(tmp_path)
    saved = AutoTokenizer.from_pretrained(tmp_path)
    vocabulary = GgufVocabulary(path)
    for row in read_table(str(ROOT / "prompts" / "issue-triage" / "sample.csv")).rows:
        text = f"{row.values['title']}\n\n2. {row.values['body']}"
        own = vocabulary.tokenize([(text, True)], add_special=False)
        assert saved.encode(text, add_special_tokens=False) == own
    vocabulary.close()
