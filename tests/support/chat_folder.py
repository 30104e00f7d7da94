"""A folder as the Hub has them: weights, tokenizer and chat template in all the files that there
can be, and an adapter beside it."""

import json
from pathlib import Path

from tests.backends.transformers.tiny import write_adapter, write_model

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END, TURN_END = 2, 3
"""Ids of </s>, which the configuration ends an answer with, and of <|im_end|>."""
SPECIAL = ("<unk>", "<s>", "</s>", "<|im_end|>", "<|im_start|>")


def write_chat_folder(folder: Path, *, template: str = CHATML, shards: str = "") -> Path:
    """A model of drawn weights that reads bytes.

    Args:
        shards: most bytes of a file of weights, as "100KB"; empty: one file has all.
    """
    write_model(folder)
    if shards:
        _cut(folder, shards)
    _write_tokenizer(folder)
    (folder / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    (folder / "added_tokens.json").write_text('{"<|tool|>": 155}')
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def write_chat_adapter(folder: Path, base: Path) -> Path:
    """A LoRA with all that trainers leave beside it."""
    write_adapter(folder, base, "LORA")
    (folder / "README.md").write_text("An adapter.")
    (folder / "training_args.bin").write_bytes(b"\x80\x04N.")
    return folder


def rewrite_json(file: Path, **changes: object) -> None:
    """Set keys of a JSON file, which is made where it is absent."""
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**known, **changes}))


def _cut(folder: Path, most: str) -> None:
    from tests.backends.transformers.tiny import load

    model = load(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(str(folder), max_shard_size=most)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:150]
    texts = [*SPECIAL, *alphabet]
    made = Tokenizer(BPE({text: n for n, text in enumerate(texts)}, [], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(SPECIAL[3:]),
    ).save_pretrained(folder)
