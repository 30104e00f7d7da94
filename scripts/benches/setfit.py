"""SetFit on the labelled issues: an encoder is trained on pairs of texts, then a head on it.

    scripts/bench setfit FOLDER [test] [all] [projects]

SetFit (Tunstall et al. 2022, arXiv 2209.11055) trains a sentence encoder until two texts of one
label have a cosine of 1, and others of 0. Here all pairs of a batch are learned from, so that a
text is read once for 15 of them. Sentence Transformers trains (`pip install sentence-transformers
accelerate`, and the extras `encoders` and `hf`), on one thread. Nothing is downloaded, and
GATEWAY_ENCODER names another encoder to begin with.

`all` is one encoder of all projects, `projects` one of each, and without a name there are both.
Scores are of the held-out items, with `test` of the test items. As in any run, a training item
that is nearly one of those is left out. FOLDER keeps the split and the encoders. What is in it is
not trained again, so a change of this file needs another folder.
"""

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import DATA
from datasets import Dataset
from rich.console import Console
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)

from gateway.backends.encoder import find_encoder, read_encoder
from gateway.cli.common import show
from gateway.cli.progress import counted
from gateway.evaluation.baselines import Encoded, encoded, text_of
from gateway.evaluation.plan import Prepared, RunOptions, prepare, record
from gateway.evaluation.summary import evaluate
from gateway.models.environment import prompts_root
from gateway.report.pages.run import brief
from gateway.scoring.baselines import ENCODER_LOGREG
from gateway.tasks.dataset import load_dataset
from gateway.tasks.task import Item, load_task
from gateway.tuning.checks.leakage import without_copies
from gateway.tuning.checks.split import split
from gateway.tuning.split_files import write_split

ISSUES = DATA / "issue-reports"
TASK = "issue-triage"
TOKENS = 128
"""That training reads of a text. The head reads as many as the encoder was made for."""
RECIPE = {
    "num_train_epochs": 4,
    "per_device_train_batch_size": 16,
    "learning_rate": 1e-4,
    "warmup_steps": 0.1,
    "bf16": True,
    "seed": 0,
}

counting = partial(counted, "texts encoded", console=Console(stderr=True))


class Pairs(torch.nn.Module):  # type: ignore[misc]
    """The squared error of the cosines of all pairs of a batch. Those of one label weigh, in all,
    as much as the others."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Iterable[dict[str, Any]], labels: torch.Tensor) -> torch.Tensor:
        (texts,) = features
        vectors = self.model(texts)["sentence_embedding"].float()
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
        one, other = torch.triu_indices(len(vectors), len(vectors), 1)
        cosines, same = (vectors @ vectors.T)[one, other], labels[one] == labels[other]
        kinds = [errors for errors in (cosines[same] - 1, cosines[~same]) if len(errors)]
        return torch.stack([errors.square().mean() for errors in kinds]).mean()


def write_parts(folder: Path) -> tuple[Path, Path]:
    """What is trained on, and what is held out. None of it copies a test item."""
    task = load_task(TASK, prompts_root())
    learned, tested = (
        load_dataset(str(ISSUES / f"{part}.csv"), task).items for part in ("train", "test")
    )
    kept, _ = without_copies(learned, tested)
    return write_split(str(ISSUES / "train.csv"), split(kept), folder)


def train(items: Sequence[Item], folder: Path) -> None:
    """Train an encoder, and write it to a folder of its own."""
    begun, encoder = time.perf_counter(), find_encoder(wanted=True)
    assert encoder is not None
    torch.set_num_threads(1)
    torch.manual_seed(RECIPE["seed"])
    # To draw what attention drops takes as long as attention itself.
    undropped = {"attention_probs_dropout_prob": 0.0}
    model = SentenceTransformer(str(encoder.folder), device="cpu", config_kwargs=undropped)
    model.max_seq_length = TOKENS
    labels = sorted({str(item.gold) for item in items})
    rows = {
        "text": [text_of(item) for item in items],
        "label": [labels.index(str(item.gold)) for item in items],
    }
    with TemporaryDirectory() as logs:
        said = {"use_cpu": True, "logging_steps": 10, "save_strategy": "no", "report_to": "none"}
        wanted = SentenceTransformerTrainingArguments(logs, **RECIPE, **said)
        data = Dataset.from_dict(rows)
        SentenceTransformerTrainer(model, wanted, train_dataset=data, loss=Pairs(model)).train()
    model.max_seq_length = encoder.most_tokens
    unfinished = folder.with_suffix(".part")
    model.save(str(unfinished))
    unfinished.rename(folder)
    print(f"# {folder.name}: {len(items)} items, {time.perf_counter() - begun:.0f} s", flush=True)


def encode(items: Sequence[Item], learned: Sequence[Item], folder: Path) -> Encoded:
    """Vectors of items, by an encoder that learns from others if it is not there yet."""
    if not folder.is_dir():
        train(learned, folder)
    return encoded(read_encoder(folder), items, counting)


def by_all(prepared: Prepared, folder: Path) -> Encoded:
    return encode((*prepared.plan.items, *prepared.clean), prepared.clean, folder / "all")


def by_projects(prepared: Prepared, folder: Path) -> Encoded:
    """The vector of a text is of its own project's encoder, so no head fits those of all."""
    made = []
    for project in sorted({item.group for item in prepared.clean}):
        asked, learned = (
            [item for item in items if item.group == project]
            for items in (prepared.plan.items, prepared.clean)
        )
        made.append(encode((*asked, *learned), learned, folder / project.rpartition("/")[2]))
    return replace(made[0], embeddings={k: v for each in made for k, v in each.embeddings.items()})


def main() -> None:
    if len(sys.argv) < 2 or {*sys.argv[2:]} - {"test", "all", "projects"}:
        raise SystemExit(__doc__)
    kept, names = Path(sys.argv[1]), sys.argv[2:]
    kept.mkdir(parents=True, exist_ok=True)
    learned, held_out = write_parts(kept)
    data = ISSUES / "test.csv" if "test" in names else held_out
    wanted = RunOptions(
        TASK, str(data), train=str(learned), strategies=("zero_shot",), per="repo", encoder=False
    )
    prepared = prepare(wanted)
    for name, by in (("all", by_all), ("projects", by_projects)):
        if name in names or not {"all", "projects"} & {*names}:
            made = record(replace(prepared, encoded=by(prepared, kept)), [])
            if name == "projects":
                heads = (each for each in made.baselines if each.cell != ENCODER_LOGREG)
                made = replace(made, baselines=tuple(heads))
            print(f"\n# encoders of {name}: {len(prepared.clean)} items learned", flush=True)
            show(brief(evaluate(made, {}, {}, compare=False)))


main()
