"""A task that a model of two layers learns in seconds: one word of the text says the label."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.core.draws import seeded_rank
from gateway.tasks.task import load_task
from gateway.tuning.job import TrainingJob, TuningOptions, job_of
from gateway.tuning.recipe import Recipe
from gateway.tuning.training import Watching
from gateway.tuning.tune import Estimate
from tests.backends.transformers.tiny import write_model
from tests.support.bases import entry
from tests.support.grids import write_task

RECIPE = Recipe(
    rank=16, learning_rate=5e-3, epochs=10, batch=4, patience=10, held_out=0.2, max_tokens=64
)
_TOLD = {"yes": ("sun", "dry"), "no": ("rain", "wet")}
WORDS = [
    "amber",
    "birch",
    "cedar",
    "dune",
    "elm",
    "fjord",
    "grove",
    "heath",
    "iris",
    "jade",
    "kelp",
    "lichen",
    "moss",
    "oak",
    "pine",
]


def write_world(folder: Path, kind: str = "llama") -> Path:
    """A base of two layers whose tokens are whole words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    told = [word for words in _TOLD.values() for word in words]
    words = ["<unk>", "<s>", "</s>", "Answer:", "yes", "no", *told, *WORDS]
    model = Tokenizer(WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    model.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<unk>", eos_token="</s>", bos_token="<s>"
    )
    write_model(folder, kind)
    tokenizer.save_pretrained(folder)
    return folder


def write_items(path: Path, count: int = 40) -> Path:
    """Items of two labels, half and half, each of words of its own."""
    rows = ["id,label,text"]
    for n in range(count):
        label = ("yes", "no")[n % 2]
        drawn = sorted(WORDS, key=lambda word: seeded_rank(n, "word", word))[: 4 + n % 5]
        told = _TOLD[label][n // 2 % 2]
        rows.append(f"i{n},{label},{' '.join([*drawn[:2], told, *drawn[2:]])}")
    path.write_text("\n".join(rows) + "\n")
    return path


def a_job(base: Path, root: Path, name: str = "learned", **changes: object) -> TrainingJob:
    """What is learned of `write_items`, by the template "scored" or what `changes` say."""
    root.mkdir(parents=True, exist_ok=True)
    asked = TuningOptions(
        name=name,
        task="mine",
        train=str(write_items(root / "train.csv")),
        strategy="scored",
        prompts=write_task(root),
        recipe=RECIPE,
        threads=1,
    )
    spec = entry(base, chat_template="plain", context_length=128)
    changed = replace(asked, **changes)  # type: ignore[arg-type]
    job, _ = job_of(changed, spec, root / "adapters" / name)
    return job


def unwatched(_: Estimate, __: int) -> Watching:
    return Watching(lambda _: None, lambda: None, lambda _: None)


def labels(root: Path) -> Sequence[str]:
    return [label.name for label in load_task("mine", root / "prompts").labels]
