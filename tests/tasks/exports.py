"""Small exports of programs that people label with, made here in their documented shape.

GitHub: `gh issue list --json` (manual of gh, gh-issue-list) and REST, "List repository issues".
Jira: "Export Excel CSV (all fields)" repeats a column for each value; REST v3, "Search for issues".
Label Studio: guide "Export annotations", formats JSON and CSV.
Argilla: `Dataset.records.to_json`, and flattened as `to_datasets` has it.
Excel: "CSV UTF-8" has a byte order mark and, in most of Europe, semicolons; "CSV" is in
windows-1252; "Unicode Text" is UTF-16 with tabs.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

TITLES = (
    "It crashes on “save”",
    "How do I log in?",
    "Add a dark theme, please",
    "Café menu is empty",
)
ISSUES = ("bug", "question", "feature", "bug")
POINTS = (3, 1, 8, 2)
INTENTS = ("lost card", "top up", "lost card", "top up")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def github() -> bytes:
    return _json(
        [
            {
                "body": title if number else "",
                "labels": [
                    {"id": f"LA_{number}", "name": label, "description": "", "color": "d73a4a"},
                    *([{"id": "LA_9", "name": "ui", "color": "ffffff"}] if number == 2 else []),
                ],
                "number": 40 + number,
                "title": title,
            }
            for number, (title, label) in enumerate(zip(TITLES, ISSUES, strict=True))
        ]
    )


def jira_csv() -> bytes:
    header = (
        "Summary,Issue key,Issue id,Description,Labels,Labels,Comment,Comment,"
        "Custom field (Story Points),Custom field (Story Points Estimate),,"
    )
    rows = [
        f'"{title}",P-{n},{n},"First line\n\nh2. {title}, at last",backend,,"a;b;c","",{point}.0,,,'
        for n, (title, point) in enumerate(zip(TITLES, POINTS, strict=True))
    ]
    return "\r\n".join([header, *rows, ""]).encode()


def jira_rest() -> bytes:
    issues = [
        {
            "expand": "operations",
            "key": f"P-{n}",
            "fields": {"summary": title, "description": None, "customfield_10016": float(point)},
        }
        for n, (title, point) in enumerate(zip(TITLES, POINTS, strict=True))
    ]
    return _json({"expand": "names", "startAt": 0, "total": 4, "issues": issues})


def label_studio() -> bytes:
    def result(label: str) -> list[dict[str, object]]:
        choice = {"value": {"choices": [label]}, "id": "x1", "from_name": "intent"}
        return [{**choice, "to_name": "text", "type": "choices", "origin": "manual"}]

    tasks = [
        {
            "id": n,
            "annotations": [
                {"id": n, "completed_by": 1, "result": result(label), "was_cancelled": False}
            ],
            "data": {"text": title},
            "meta": {},
            "predictions": [],
        }
        for n, (title, label) in enumerate(zip(TITLES, INTENTS, strict=True))
    ]
    return _json(tasks)


def label_studio_csv() -> bytes:
    rows = [
        f'1,{n},"{title}",{label},1,4.288,2024-05-06T07:08:09.1Z'
        for n, (title, label) in enumerate(zip(TITLES, INTENTS, strict=True))
    ]
    header = "annotation_id,id,text,sentiment,annotator,lead_time,updated_at"
    return "\n".join([header, *rows, ""]).encode()


def argilla() -> bytes:
    records = [
        {
            "id": f"r{n}",
            "status": "completed",
            "fields": {"text": title},
            "metadata": {},
            "suggestions": {"label": {"value": "top up", "score": None, "agent": None}},
            "responses": {"label": [{"value": label, "user_id": "u1"}]},
            "vectors": {},
        }
        for n, (title, label) in enumerate(zip(TITLES, INTENTS, strict=True))
    ]
    return _json(records)


def argilla_flat() -> bytes:
    rows = [
        {"id": f"r{n}", "text": title, "label.responses": [label], "label.responses.users": ["u1"]}
        for n, (title, label) in enumerate(zip(TITLES, INTENTS, strict=True))
    ]
    return b"".join(_json(row) + b"\n" for row in rows)


def _excel(delimiter: str) -> str:
    rows = [f'"{title}"{delimiter}{label}' for title, label in zip(TITLES, INTENTS, strict=True)]
    empty = [delimiter, delimiter]
    return "\r\n".join([f"text{delimiter}label", *rows, *empty, ""])


FILES: Mapping[str, Callable[[], bytes]] = {
    "issues.json": github,
    "jira.csv": jira_csv,
    "jira.json": jira_rest,
    "label-studio.json": label_studio,
    "label-studio.csv": label_studio_csv,
    "argilla.json": argilla,
    "argilla.jsonl": argilla_flat,
    "excel-utf-8.csv": lambda: _excel(";").encode("utf-8-sig"),
    "excel.csv": lambda: _excel(";").encode("windows-1252"),
    "excel.tsv": lambda: _excel("\t").encode("utf-16"),
}
"""Name of an export -> its bytes."""
HUB = "messages"
"""A folder as `push_to_hub` writes it, with a split that has no labels."""


def write_exports(folder: Path) -> None:
    """All of `FILES`."""
    for name, made in FILES.items():
        (folder / name).write_bytes(made())


def write_hub(folder: Path) -> None:
    """The dataset `HUB`: labels are a `ClassLabel`, -1 where there is none."""
    import datasets

    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=sorted(set(INTENTS))),
        }
    )
    for split, classes in (("train", [0, 1, 0, 1]), ("unlabelled", [-1] * 4)):
        rows = {"text": list(TITLES), "label": classes}
        path = folder / HUB / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = io.BytesIO()
        datasets.Dataset.from_dict(rows, features=features).to_parquet(made)
        path.write_bytes(made.getvalue())
