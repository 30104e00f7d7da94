"""A small task of its own and a fake model, for tests of what runs a grid."""

import csv
from collections.abc import Callable
from pathlib import Path

from gateway.backends.fake import FakeBackend, FakeSpec, Script
from gateway.backends.pool import ModelPool
from gateway.backends.protocol import Backend
from gateway.evaluation.plan import Prepared, RunOptions, prepare
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource

TASK = """
kind = "classification"
[fields]
text = ["text"]
[answer]
label = ["label"]
[[labels]]
name = "yes"
[[labels]]
name = "no"
"""

ASK = "{% block user %}{{ text }}{% endblock %}\n"
TEMPLATES = {
    "scored": '{# mode = "score" #}' + ASK,
    "shown": '{# mode = "score"\nexemplars = 1 #}' + ASK,
    "written": '{# mode = "generate"\nmax_tokens = 80 #}' + ASK,
    "constrained": '{# mode = "constrained" #}' + ASK,
    "reasoned": '{# mode = "score"\n[reasoning]\ntokens = 12\nstop = ["!"] #}'
    + ASK
    + "{% block answer %} So: {% endblock %}",
}

WORDS = "amber birch cedar dune elm fjord grove heath iris jade kelp lichen"


def write_task(root: Path) -> Path:
    """A folder of tasks with the one task "mine"."""
    folder = root / "prompts" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.toml").write_text(TASK)
    for name, source in TEMPLATES.items():
        (folder / f"{name}.j2").write_text(source)
    return root / "prompts"


def write_data(path: Path, words: str = WORDS) -> str:
    rows = [f"{w},{'yes' if n % 2 else 'no'},{w} {w}ish\n" for n, w in enumerate(words.split())]
    path.write_text("id,label,text\n" + "".join(rows))
    return str(path)


def shortest(table: Path, target: Path, count: int) -> Path:
    """The shortest rows of a real table: what is asked of a model about them takes less time."""
    csv.field_size_limit(10**9)
    with table.open(newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    with target.open("w", newline="", encoding="utf-8") as file:
        few = sorted(rows, key=lambda row: sum(map(len, row)))[:count]
        csv.writer(file).writerows([names, *few])
    return target


def prepared(
    root: Path,
    *strategies: str,
    train: bool = False,
    rules: tuple[str, ...] = (),
    limit: int | None = None,
    seed: int = 0,
) -> Prepared:
    root.mkdir(exist_ok=True)
    train_words = "moss nettle oak pine quartz reed sage thorn"
    return prepare(
        RunOptions(
            task="mine",
            data=write_data(root / "test.csv"),
            models=("fake",),
            strategies=strategies,
            prompts=write_task(root),
            train=write_data(root / "train.csv", train_words) if train else None,
            rules=rules,
            limit=limit,
            seed=seed,
        )
    )


class FakePool(ModelPool):
    """A pool with one fake model, which stays reachable for its counters."""

    def __init__(self, script: Script | None = None, *, context_length: int = 4096) -> None:
        spec = FakeSpec(
            "fake",
            PathSource(Path()),
            context_length=context_length,
            parallel=3,
        )
        self.backend = FakeBackend(spec, script=script)
        load: Callable[[ModelSpec, Path], Backend] = lambda *_: self.backend  # noqa: E731
        super().__init__(Models({"fake": spec}, "fake"), loader=load)
