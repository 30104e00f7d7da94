"""Cells by group: one row a cell, one column a group, and the mean over groups."""

from collections.abc import Mapping, Sequence

from gateway.report import format as fmt
from gateway.report.sections import Column, Kind, Section, by_columns
from gateway.scoring.groups import ByGroup
from gateway.scoring.metrics import metric_name
from gateway.scoring.results import Metric


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
    return Section("groups", f"By {found.column}", tables=(table,), lines=_learned(found))


def _value(metric: Metric | None) -> str:
    return fmt.number(metric.value if metric else None)


def _learned(found: ByGroup) -> tuple[str, ...]:
    own = f"/per-{found.column}"
    if not any(cell.name.endswith(own) for cell in found.cells):
        return ()
    return (
        f"A baseline with {own} has a model for each {found.column}, which learned from its items "
        "alone; one without learned from all items together.",
    )
