"""Cells by group: one row a cell, one column a group, and the mean over groups."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.core.lists import first_of
from gateway.report import format as fmt
from gateway.report import view
from gateway.report.pages.cells import kinds
from gateway.report.sections import Column, Kind, Section, by_columns
from gateway.scoring.clusters import FEWEST
from gateway.scoring.groups import ByGroup
from gateway.scoring.metrics import FEWEST_OF_A_CLASS, metric_name
from gateway.scoring.report import Report
from gateway.scoring.results import Metric

_MOST_NAMED = 5


def of_report(report: Report, *, brief: bool = False) -> Iterator[Section]:
    """The table of a report that has groups.

    Args:
        brief: as `section`.
    """
    if report.groups is not None:
        order = [cell.name for cell in view.ranked(report)]
        of = dict(zip(order, kinds(report), strict=True))
        yield section(report.groups, order, of, brief=brief)


def section(
    found: ByGroup, order: Sequence[str], kinds: Mapping[str, Kind], *, brief: bool = False
) -> Section:
    """The table of a report.

    Args:
        order: names of the cells, as the report has them.
        kinds: cell -> what its row is about.
        brief: the mean alone has its interval, so that more groups find room.
    """
    known = {cell.name: cell for cell in found.cells}
    cells = [known[name] for name in order if name in known]
    columns = [Column("mean", tuple(fmt.estimate(cell.mean) for cell in cells))]
    show = _value if brief else fmt.estimate
    for group, ids in found.members.items():
        shown = tuple(show(cell.groups.get(group)) for cell in cells)
        columns.append(Column(f"{group} ({len(ids):,})", shown))
    caption = (
        f"{metric_name(found.metric)} by {found.column}, with the items of each, and the mean over "
        f"them ({fmt.direction(found.metric)}); 95% intervals in brackets."
    )
    names = [cell.name for cell in cells]
    table = by_columns(
        caption, "cell", names, columns, kinds=tuple(kinds.get(name, "") for name in names)
    )
    lines = (*_unsure(found), *_learned(found))
    return Section("groups", f"By {found.column}", tables=(table,), lines=lines)


def _value(metric: Metric | None) -> str:
    return fmt.number(metric.value if metric else None)


def _unsure(found: ByGroup) -> Iterator[str]:
    """Of which groups an interval promises more than it holds."""
    if found.few_clusters:
        named = first_of(found.few_clusters, _MOST_NAMED)
        yield (
            f"Items form fewer than {FEWEST} clusters in {named}: no interval there is to be "
            "trusted."
        )
    if found.rare_classes:
        named = first_of(found.rare_classes, _MOST_NAMED)
        yield (
            f"Some class has fewer than {FEWEST_OF_A_CLASS} items in {named}: intervals hold less "
            "often than 95 times in 100 there."
        )


def _learned(found: ByGroup) -> tuple[str, ...]:
    own = f"/per-{found.column}"
    if not any(cell.name.endswith(own) for cell in found.cells):
        return ()
    return (
        f"A baseline with {own} has a model for each {found.column}, which learned from its items "
        "alone; one without learned from all items together.",
    )
