"""What `gateway parity` prints."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gateway.determinism.parity import ItemParity, Parity, Parting, Reasons, Side, verdict
from gateway.evaluation.settings import other_settings
from gateway.models.certificates import level_of
from gateway.models.environment import certificates_file
from gateway.report.format import ABSENT, plural
from gateway.report.sections import Section, by_rows

_SHOWN = 10
"""Items or reasons that are named; --json has all of them."""


def sections(made: Parity) -> Iterator[Section]:
    """The two models, one row a fact, the first items that differ, and what follows."""
    heads = ("", "model", "backend", "fingerprint", "determinism")
    yield Section(tables=(by_rows(heads, _models(made)),))
    yield Section(
        facts=tuple((name, str(value)) for name, value in _facts(made)),
        lines=(*_remarks(made), *_differing(made), *verdict(made)),
    )


def parity_json(made: Parity) -> dict[str, Any]:
    """Everything, for canonical JSON."""
    shown = asdict(made)
    for side, key in ((made.a, "a"), (made.b, "b")):
        shown[key]["determinism"] = _level(side)
    return shown | {
        "totals": asdict(made.totals),
        "differing": made.differing,
        "holds": made.holds,
        "verdict": verdict(made),
    }


def _models(made: Parity) -> Iterator[tuple[str, ...]]:
    for letter, side in (("A", made.a), ("B", made.b)):
        yield letter, side.model, side.backend, side.fingerprint[:12], _level(side)


def _facts(made: Parity) -> list[tuple[str, object]]:
    totals = made.totals
    rows: list[tuple[str, object]] = [
        ("items", totals.asked),
        ("failed, A", len(made.a.failures)),
        ("failed, B", len(made.b.failures)),
        ("compared", totals.compared),
        ("inputs equal", totals.inputs_equal),
        ("inputs different", totals.inputs_different),
        ("inputs unknown", totals.inputs_unknown),
        ("texts equal", totals.texts_equal),
        (f"mean agreeing tokens, of up to {made.tokens}", _number(totals.mean_agreeing_tokens)),
        ("agreeing tokens unknown", totals.tokens_unknown),
    ]
    if made.labels:
        rows += [
            ("labels scored by both", totals.labels_scored),
            ("best label not known of both", totals.labels_undecided),
            ("labels agree", totals.labels_agree),
            ("label scores not exact, A", totals.not_exact[0]),
            ("label scores not exact, B", totals.not_exact[1]),
            ("label scores exact in both", totals.exact),
            ("mean |difference| of their log-probabilities", _number(totals.mean_difference)),
            ("max |difference| of their log-probabilities", _number(totals.max_difference)),
        ]
    return rows


def _remarks(made: Parity) -> Iterator[str]:
    if made.differing:
        yield f"A and B are two models, which differ in: {', '.join(made.differing)}"
        yield from other_settings(made.a.identity, made.b.identity, ("A", "B"))
    else:
        yield "A and B are one model by all that makes a fingerprint"
    for letter, side in (("A", made.a), ("B", made.b)):
        yield from (f"{letter}: {warning}" for warning in side.warnings)
        yield from _reasons(f"{letter} failed on", side.failures)
        yield from _reasons(f"{letter} cannot say what it reads on", side.unread)
        yield from _reasons(f"{letter} cannot score labels on", side.unscored)


def _reasons(what: str, reasons: Reasons) -> Iterator[str]:
    for reason, count in Counter(reason for _, reason in reasons).most_common(_SHOWN):
        first = next(id_ for id_, why in reasons if why == reason)
        yield f"{what} {plural(count, 'item')}, {first} the first: {reason}"


def _differing(made: Parity) -> Iterator[str]:
    differing = [item for item in made.items if item.differs]
    for item in differing[:_SHOWN]:
        yield f"item {item.item_id}: {'; '.join(_differences(item))}"
    if len(differing) > _SHOWN:
        yield f"{plural(len(differing) - _SHOWN, 'item')} more"


def _differences(item: ItemParity) -> Iterator[str]:
    if item.parting is not None:
        yield f"inputs part at token {item.parting.position}, {_tokens(item.parting)}"
    if item.texts[0] != item.texts[1]:
        agreeing = item.agreeing_tokens
        known = ABSENT if agreeing is None else agreeing
        yield f"texts differ, tokens that agree: {known}"
    if item.labels is not None and not item.labels.agree:
        yield f"labels {' and '.join(filter(None, item.labels.best))}"


def _tokens(parting: Parting) -> str:
    return " and ".join(map(_token, parting.token_ids, parting.texts))


def _token(token: int | None, text: str | None) -> str:
    if token is None:
        return "the end"
    if text is None:
        return f"{token}"
    return f"{token} {text!r}" if text else f"{token} (a control token)"


def _level(side: Side) -> str:
    return level_of(side.fingerprint, certificates_file()).value


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4g}"
