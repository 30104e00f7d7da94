"""An answer in a mark of its own becomes a line; what is no answer stays as it is."""

import pytest

from gateway.tasks.marked import as_lines


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("so \\boxed{5}", ["5"]),
        ("$$\\boxed{\\text{5 points}}$$", ["5 points"]),
        ("\\boxed{\\frac{1}{2}}", ["1/2"]),
        ("<answer> bug </answer>", ["bug"]),
        ("<final_answer>bug</final_answer>", ["bug"]),
        ("3 + 5 = 8\n#### 8\n", ["8"]),
        ('{"label": "bug", "reason": "a \\"feature\\""}', ["bug"]),
        ('```json\n{"story_points": 5, "confidence": 0.9}\n```', ["5"]),
        ('{"answer": true}', ["true"]),
        ('{"label": "bug", "type": "ui"}', ["bug", "ui"]),
        ('{"size": "M"} {"answer": ["a", "b"]}', ["a, b"]),
        ('{"answer": {"label": "bug"}}', []),
        ('{"min": 3, "max": 5}', []),
        ("#### 1. Read it", []),
        ("{" * 5_000, []),
    ],
)
def test_marks_become_lines(text: str, answers: list[str]) -> None:
    lines = as_lines(text).splitlines()
    found = [line.removeprefix("answer: ") for line in lines if line.startswith("answer: ")]
    assert found == answers


def test_a_member_is_the_answer_by_the_tasks_own_name() -> None:
    assert as_lines('{"size": 3}', ["size"]).strip() == "answer: 3"
