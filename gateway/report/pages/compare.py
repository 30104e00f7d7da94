"""What `gateway compare` prints: two cells, the difference, the test, the counts, the flips."""

from collections.abc import Iterator

from gateway.report import format as fmt
from gateway.report import view
from gateway.report.sections import Section, by_rows, numbers
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import Comparison

MOST_FLIPS = 20


def sections(found: Comparison) -> Iterator[Section]:
    """Differences are a minus b."""
    yield Section(lines=(f"a: {found.a}", f"b: {found.b}"), tone="strong")
    yield Section(
        lines=(
            f"{metric_name(found.metric)}, a minus b: {fmt.difference(found.difference)} "
            f"(95% interval; n = {found.n}; {fmt.direction(found.metric)})",
            f"{found.test or 'no test'}: {fmt.p_statement(found.p_value)}",
        )
    )
    if found.note:
        yield Section(lines=(f"note: {found.note}",), tone="warning")
    rows = [
        ("a right", str(found.both_right), str(found.only_a)),
        ("a wrong", str(found.only_b), str(found.both_wrong)),
    ]
    yield Section(tables=(by_rows(("", *numbers("b right", "b wrong")), rows),))
    yield from _flips(found)
    if note := view.test_note((found,)):
        yield Section(lines=(note,), tone="faint")


def _flips(found: Comparison) -> Iterator[Section]:
    if not found.flips:
        yield Section(lines=("No item is right in exactly one of the two.",))
        return
    said = f"{fmt.plural(len(found.flips), 'item')} right in exactly one of the two:"
    rows = [(flip.item_id, flip.gold, flip.a, flip.b) for flip in found.flips[:MOST_FLIPS]]
    more = len(found.flips) - MOST_FLIPS
    lines = (f"and {more} more (--json lists all)",) if more > 0 else ()
    table = by_rows(("item", "gold", "a", "b"), rows)
    yield Section(lines=(said,))
    yield Section(tables=(table,), lines=lines, tone="faint")
