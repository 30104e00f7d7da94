"""Datasets of Hugging Face -> a table; numbers of classes become their names."""

from collections.abc import Mapping
from typing import Any

from gateway.core import bars
from gateway.core.errors import DataError
from gateway.tasks.tables.arrow import table_of
from gateway.tasks.tables.source import HUB_PREFIX
from gateway.tasks.tables.table import Row, Table, Unreadable, brief

_UNLABELLED = -1
"""What datasets writes where an example of a class has none."""
_SHOWN = 12
_OTHER_SPLIT = "another split may have labels, as in hf:NAME@train; or filter these rows out"


def read_hub(source: str) -> Table:
    """A split of a dataset, `hf:NAME[:CONFIG][@SPLIT]`.

    Raises:
        DataError: it cannot be loaded, or has several splits and none is named.
    """
    bars.silence()
    name, _, split = source.removeprefix(HUB_PREFIX).partition("@")
    name, _, config = name.partition(":")
    found = _load(source, name, config or None)
    splits = list(found)
    if (not split and len(splits) > 1) or (split and split not in splits):
        raise DataError(
            f"{source}: name one of its splits: {', '.join(splits)}",
            hint=f"{source.partition('@')[0]}@{splits[0]}",
        )
    chosen = found[split or splits[0]]
    # As Arrow: the library's own rows would decode images and sounds that no field reads.
    table = table_of(source, chosen.with_format("arrow")[:])
    return _named(table, chosen.features)


def _load(source: str, name: str, config: str | None) -> Mapping[str, Any]:
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        builder = datasets.load_dataset_builder(name, config)
        # pandas reads "NA", "null" and "None" as nothing; here they are what is written.
        csv = hasattr(builder.config, "keep_default_na")
        as_written = {"keep_default_na": False, "na_values": [""]} if csv else {}
        loaded: Mapping[str, Any] = datasets.load_dataset(name, config, **as_written)
    except (OSError, ValueError, RuntimeError, TypeError, DatasetsError) as exc:
        raise DataError(f"{source}: cannot be loaded: {brief(exc)}") from exc
    return loaded


def _named(table: Table, features: Mapping[str, Any]) -> Table:
    """With the names of classes in the place of their numbers, within lists and objects too."""
    named = {column: feature for column, feature in features.items() if _has_classes(feature)}
    if not named:
        return table
    rows = tuple(
        Row(
            row.line,
            {
                column: _name(named[column], value) if column in named else value
                for column, value in row.values.items()
            },
        )
        for row in table.rows
    )
    return Table(table.source, table.columns, rows, table.header, table.notes, table.doubts)


def _has_classes(feature: Any) -> bool:
    if isinstance(feature, Mapping):
        return any(map(_has_classes, feature.values()))
    return hasattr(feature, "int2str") or _has_classes_within(feature)


def _has_classes_within(feature: Any) -> bool:
    inner = getattr(feature, "feature", None)
    return inner is not None and _has_classes(inner)


def _name(feature: Any, value: Any) -> Any:
    if isinstance(feature, Mapping) and isinstance(value, Mapping):
        return {key: _name(feature.get(key), part) for key, part in value.items()}
    if isinstance(value, list):
        return [_name(getattr(feature, "feature", None), part) for part in value]
    if not isinstance(value, int) or not hasattr(feature, "int2str"):
        return value
    if value == _UNLABELLED:
        return Unreadable("-1, which means that there is no label", value, _OTHER_SPLIT)
    try:
        return feature.int2str(value)
    except ValueError:
        names = ", ".join(feature.names[:_SHOWN])
        return Unreadable(f"{value}, which is none of the classes {names}", value)
