"""A sentence encoder of two layers with drawn weights: a text takes a millisecond."""

import json
from pathlib import Path

from tests.support.bases import write_tokenizer

MOST_TOKENS = 12
WIDTH = 16


def write_encoder(folder: Path) -> Path:
    """As Sentence Transformers saves one; its words are w0 to w159."""
    import torch
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=160,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(folder)
    write_tokenizer(folder, parted=True)
    write_steps(folder, "Transformer", "Pooling", "Normalize")
    write_pooling(folder, pooling_mode_mean_tokens=True, pooling_mode_cls_token=False)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": MOST_TOKENS})
    return folder


def write_steps(folder: Path, *kinds: str) -> None:
    """What it does one after the other."""
    paths = {"Pooling": "1_Pooling"}
    steps = [{"type": f"sentence_transformers.models.{k}", "path": paths.get(k, "")} for k in kinds]
    _write(folder / "modules.json", steps)


def write_pooling(folder: Path, **modes: bool) -> None:
    """How its tokens become one vector."""
    (folder / "1_Pooling").mkdir(exist_ok=True)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": WIDTH, **modes})


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value))
