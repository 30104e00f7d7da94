"""Who is better is said by one module, of a claim, and every sentence agrees with the facts."""

import ast
import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import gateway.report
from gateway.core.types import Answer, TaskKind
from gateway.report.sentences import contest_sentences, summary_sentences
from gateway.scoring.items import is_right
from gateway.scoring.metrics import merit
from gateway.scoring.report import Report
from gateway.scoring.results import Prediction, Status
from tests.evaluation.test_verdicts import judged
from tests.scoring.cells import LABELS, cell

_WORDS = re.compile(
    r"\b(better|best|beats?|beating|leads?|leading|equivalent|told apart|not worse|worse|wins?)\b"
)
_OTHER_MEANINGS = (
    "lower is better",
    "higher is better",
    "lead of the best label",
    "lead without a number",
    "lead how far",
    "best epoch",
    "best label",
    "lead of the best",
    "lead ",
    "What is said of two cells",
    "Not said to beat ",
)
"""Which way a metric goes; a label's lead over the next one; the epoch whose weights are kept."""


def strings(path: Path) -> Iterator[str]:
    """What a module may print: its strings without docstrings and names."""
    tree = ast.parse(path.read_text())
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in told:
            continue
        if isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def test_nothing_but_the_claims_says_who_is_better() -> None:
    root = Path(gateway.report.__file__).parent
    said = []
    for path in sorted(root.rglob("*.py")):
        if path == root / "claims.py":
            continue
        for text in strings(path):
            for phrase in _OTHER_MEANINGS:
                text = text.replace(phrase, "")
            if _WORDS.search(text):
                said.append(f"{path.relative_to(root)}: {text}")
    assert said == []


# Every sentence of random reports, parsed back

_NUMBER = r"[+-]?\d+\.\d+"
_BASIS = (
    r"(?:p (?:=|<) (?P<p>[\d.]+)(?:, corrected for (?P<family>\d+) comparisons by max-T)?"
    r"|no p-value)"
)
_FEW = (
    r"(?:only (?P<few>\d+) items? decides?, and fewer than 6 cannot reach p < 0\.05"
    r"|no item decides)"
)
_ON = r"(?: on the (?P<n>\d+) items? (?:of (?P<total>\d+) )?that both answered)?"
_VALUE = r"(?P<value>[+-]?[\d.]+)(?: \[(?P<low>[^ ]+), (?P<high>[^ ]+)\])?"
_OPEN = _BASIS.replace("?P<p>", "?P<p2>").replace("family", "family2")
_DIFFERENCE = re.compile(
    rf"(?P<metric>.+) of (?P<a>\S+) less that of (?P<b>\S+): {_VALUE}"
    rf"{_ON} \((?:no interval|95%(?: in (?P<joint>\d+) comparisons together)?, "
    rf"(?:score interval|.+? bootstrap))\): (?:(?P<winner>\S+) is better \({_BASIS}\)"
    rf"|(?P<open>not told apart) \({_OPEN}\)"
    rf"|too few items to tell them apart \({_FEW}\))\."
)
_BASELINE = re.compile(
    rf"(?:(?P<cell>\S+): )?(?P<verb>Beats|Does not beat|Not said to beat) (?P<baseline>[^ ,]+?)"
    rf"(?P<worse>, it is worse)?: (?P<metric>.+?) differs by {_VALUE}{_ON}"
    rf"(?:(?:, not told apart)? \({_BASIS}\)|, but {_FEW})\."
)
_TASKS: dict[TaskKind, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "number": ("mae", "within_one"),
    "extraction": ("exact_match",),
}


def test_a_precision_says_of_how_many_items_it_is() -> None:
    golds = ["bug"] * 10 + ["feature"] * 10
    sure = cell("sure", golds, ["bug", *["feature"] * 19])
    every = cell("every", golds, ["bug"] * 20)
    (first, *_) = summary_sentences(judged("classification", "precision:bug", [sure, every]))
    assert first.startswith("First here: sure, precision of bug 1.000")
    assert "n = 20, 1 of them answered so" in first


def drawn(seed: int) -> tuple[TaskKind, str, list[list[Prediction]], list[list[Prediction]]]:
    """A small result of any kind: what was answered, and the baselines."""
    rnd = random.Random(seed)  # noqa: S311
    kind: TaskKind = rnd.choice(("classification", "number", "extraction"))
    n = rnd.randint(3, 40)
    golds: list[Answer] = [_answer(rnd, kind) for _ in range(n)]

    def made(name: str, skill: float, silence: float) -> list[Prediction]:
        answers = [
            None if rnd.random() < silence else gold if rnd.random() < skill else _answer(rnd, kind)
            for gold in golds
        ]
        return cell(name, golds, answers)

    models = [
        made(f"m{i}", rnd.random(), rnd.choice((0.0, 0.0, 0.3))) for i in range(rnd.randint(1, 4))
    ]
    baselines = [made(f"baseline:{i}", rnd.random(), 0.0) for i in range(rnd.randint(0, 2))]
    return kind, rnd.choice(_TASKS[kind]), models, baselines


def _answer(rnd: random.Random, kind: TaskKind) -> Answer:
    match kind:
        case "classification":
            return rnd.choice(LABELS)
        case "number":
            return float(rnd.randint(1, 8))
        case "extraction":
            return {"type": rnd.choice(LABELS), "size": rnd.choice(("s", "m"))}


def of_common(kind: TaskKind, metric: str, a: list[Prediction], b: list[Prediction]) -> list[int]:
    """Positions of the items that two cells are compared on."""
    if metric != "mae":
        return list(range(len(a)))
    return [i for i in range(len(a)) if a[i].status is b[i].status is Status.OK]


def right_more(kind: TaskKind, a: list[Prediction], b: list[Prediction]) -> list[int]:
    """Of each item: 1 where only a is right, -1 where only b is, else 0."""
    rights = [[is_right(item, kind) is True for item in side] for side in (a, b)]
    return [int(x) - int(y) for x, y in zip(*rights, strict=True)]


def error(item: Prediction) -> float:
    assert isinstance(item.answer, float)
    assert isinstance(item.gold, float)
    return abs(item.answer - item.gold)


def check(seed: int) -> int:
    """Hold every sentence about two cells against the facts; how many there were."""
    kind, metric, models, baselines = drawn(seed)
    cells = {each[0].cell: each for each in (*models, *baselines)}
    report = judged(kind, metric, models, baselines, resamples=20)
    family = len(report.comparisons) + sum(
        said.difference is not None for each in report.cells for said in each.verdicts
    )
    count = 0
    for pair in report.comparisons:
        sentences = contest_sentences(pair)
        found = _DIFFERENCE.fullmatch(sentences[0])
        assert found, sentences[0]
        groups = found.groupdict()
        _agrees(groups, kind, metric, cells, family, groups["winner"])
        of_both = cells[groups["a"] or ""], cells[groups["b"] or ""]
        for sentence in sentences[1:]:
            _beside(sentence, kind, metric, of_both, shown=groups["winner"] is not None)
        count += len(sentences)
    for sentence in summary_sentences(report):
        if found := _BASELINE.fullmatch(sentence):
            groups = {**found.groupdict(), "a": found["cell"], "b": found["baseline"]}
            winner = {"Beats": groups["a"], "Does not beat": groups["b"]}.get(found["verb"])
            _agrees(groups, kind, metric, cells, family, winner)
            count += 1
        else:
            _summed_up(report, sentence)
    return count


def _agrees(
    said: dict[str, str | None],
    kind: TaskKind,
    metric: str,
    cells: dict[str, list[Prediction]],
    family: int,
    winner: str | None,
) -> None:
    a, b = cells[said["a"] or ""], cells[said["b"] or ""]
    at = of_common(kind, metric, a, b)
    assert int(said["n"] or len(a)) == len(at), said
    p = said.get("p") or said.get("p2")
    corrected = said.get("family") or said.get("family2")
    if p is not None:
        assert int(corrected or 1) == family, said
        assert (float(p) <= 0.05) == (winner is not None) or float(p) == 0.05, said
    assert int(said.get("joint") or family) == family, said
    if said["low"] is not None and said["high"] is not None:
        outside = float(said["low"]) > 0 or float(said["high"]) < 0
        assert outside == (winner is not None), said
    value = float(said["value"] or 0)
    if metric == "mae":
        errors = [error(a[i]) - error(b[i]) for i in at]
        assert value == pytest.approx(np.mean(errors), abs=6e-4)
    elif metric != "macro_f1":
        signs = right_more(kind, a, b)
        plus, minus = signs.count(1), signs.count(-1)
        assert value == pytest.approx((plus - minus) / len(at), abs=6e-4)
        assert (p is None) == (plus + minus < 6), said
        if winner is not None:
            assert binomtest(plus, plus + minus, 0.5).pvalue <= 0.05, said
    sign = merit(metric, value)
    if winner is not None:
        assert winner == (said["a"] if sign > 0 else said["b"]), said


_ALONE = re.compile(
    r"Permutation test(?: of these two alone: p (?P<sign>=|<) (?P<p>[\d.]+) \((?:all|a sample of) "
    r"(?P<ways>[\d,]+) ways to swap (?P<items>\d+) items?\)|: (?P<why>.+))\."
)
_RIGHT_ALONE = re.compile(
    r"Right in \S+ alone: (?P<a>\d+) of (?P<n>\d+) items?, in \S+ alone: (?P<b>\d+); "
    r"(?P<said>.+)\."
)
_EXACT = re.compile(r"exact McNemar p (?P<sign>=|<) (?P<p>[\d.]+), mid-p (?P<mid><?[\d.]+)")
_POWER = re.compile(r"With (?P<n>\d+) items? (?:a difference in .+ of (?P<least>[\d.]+)|no diff).+")
_SAVED = re.compile(
    r"Looked at one by one, right answers would have decided the same after (?P<after>\d+) of "
    r"(?P<n>\d+) items?; (?P<saved>\d+) items? saved\."
)


def _beside(
    sentence: str,
    kind: TaskKind,
    metric: str,
    cells: tuple[list[Prediction], list[Prediction]],
    *,
    shown: bool,
) -> None:
    """What stands beside the difference of two cells."""
    signs = right_more(kind, *cells)
    plus, minus, common = signs.count(1), signs.count(-1), of_common(kind, metric, *cells)
    if found := _ALONE.fullmatch(sentence):
        _of_swaps(found, cells, common)
    elif found := _RIGHT_ALONE.fullmatch(sentence):
        assert (int(found["n"]), int(found["a"]), int(found["b"])) == (len(signs), plus, minus)
        exact = _EXACT.search(found["said"])
        assert (exact is None) == (plus + minus == 0), sentence
        if exact:
            p = float(binomtest(plus, plus + minus, 0.5).pvalue)
            assert float(exact["p"]) == pytest.approx(max(p, 0.001), abs=6e-4), sentence
            assert (plus + minus < 6) == ("cannot reach p < 0.05" in sentence), sentence
    elif found := _POWER.fullmatch(sentence):
        assert not shown
        assert int(found["n"]) == len(common)
        assert found["least"] is None or float(found["least"]) > 0
    else:
        found = _SAVED.fullmatch(sentence)
        assert found, sentence
        assert shown
        assert int(found["after"]) + int(found["saved"]) == int(found["n"]) == len(signs)


def _of_swaps(
    said: re.Match[str], cells: tuple[list[Prediction], list[Prediction]], common: list[int]
) -> None:
    if said["why"] is not None:
        assert "nothing to test" in said["why"] or "fewer than 6" in said["why"], said[0]
        return
    a, b = cells
    apart = [i for i in common if (a[i].status, a[i].answer) != (b[i].status, b[i].answer)]
    assert int(said["items"]) == len(apart), said[0]
    ways = int(said["ways"].replace(",", ""))
    assert ways == 2 ** len(apart) or "a sample of" in said[0], said[0]
    assert float(said["p"]) >= (1 / (ways + 1) if said["sign"] == "=" else 0.001) - 6e-4, said[0]


def _summed_up(report: Report, sentence: str) -> None:
    """The other sentences of a summary."""
    claims = [each.claim.verdict.value for each in report.against_best]
    behind = claims.count("worse")
    if sentence.startswith("Best here:"):
        assert claims
        assert behind == len(claims)
    elif sentence.startswith("First here:"):
        assert not claims or behind < len(claims)
        assert report.best is not None
        assert sentence.startswith(f"First here: {report.best.name},")
        assert f"n = {report.n}" in sentence
    elif sentence.startswith("Its lead over"):
        assert behind == len(claims)
    elif found := re.match(r"Its lead is shown over (\d+) of (\d+) other cells", sentence):
        assert (int(found[1]), int(found[2])) == (behind, len(claims))
    elif sentence.startswith("Its lead is shown over no other cell"):
        assert behind == 0
    elif found := re.match(r"Cells that do not beat every baseline: (\d+) of", sentence):
        models = [each for each in report.cells if each.kind == "model"]
        short = [each for each in models if any(v.verdict.value != "better" for v in each.verdicts)]
        assert int(found[1]) == len(short)
    else:
        known = ("What follows:", "No cell has", "Not said to beat")
        assert any(part in sentence for part in known), sentence


def test_every_sentence_of_random_reports_agrees_with_the_facts() -> None:
    assert sum(check(seed) for seed in range(40)) > 150


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 2100, 250))
def test_every_sentence_of_two_thousand_random_reports_agrees_with_the_facts(first: int) -> None:
    """In parts, so that workers share them."""
    assert sum(check(seed) for seed in range(first, first + 250)) > 1000
