"""A run begins only where the model is shown what its strategies have written."""

from pathlib import Path

import pytest

from gateway.core.errors import ConfigError, NoChatTemplate, RequestError
from gateway.core.types import GenerationRequest, Message
from gateway.evaluation.probe import check_prompt
from gateway.tasks.prompts import PromptTemplate
from gateway.tasks.task import load_task
from tests.support import rendering as kinds
from tests.support.grids import write_task
from tests.support.rendering import rendering

ASKED = GenerationRequest(
    "m",
    (
        Message("system", "Sort them: bug, feature or question."),
        Message("user", "It breaks."),
        Message("assistant", "bug"),
        Message("user", "How do I, é\n\n<|im_end|>, do this? bug"),
    ),
)


def strategy(root: Path, mode: str, more: str = "") -> PromptTemplate:
    source = f'{{# mode = "{mode}" #}}{{% block user %}}{{{{ text }}}}{{% endblock %}}{more}'
    return PromptTemplate(Path("mine.j2"), source, load_task("mine", write_task(root)))


@pytest.mark.parametrize(
    "template",
    [kinds.CHATML, kinds.REFUSES_SYSTEM, kinds.DROPS_SYSTEM, kinds.AS_JSON, kinds.CLOSES_IT_AGAIN],
)
def test_what_shows_every_turn_passes(tmp_path: Path, template: str) -> None:
    check_prompt(ASKED, strategy(tmp_path, "score"), rendering(template))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (kinds.DROPS_ALL_BUT_USER, "leaves out earlier answers"),
        (kinds.SHORTENS, "leaves out of the system's turn: 'feature or question.'"),
        (kinds.OPENS_A_THOUGHT, "within that thought"),
    ],
)
def test_what_leaves_something_out_is_refused_and_named(
    tmp_path: Path, template: str, said: str
) -> None:
    with pytest.raises((ConfigError, RequestError), match=said) as caught:
        check_prompt(ASKED, strategy(tmp_path, "score"), rendering(template))
    assert "chat_template" in caught.value.hint


def test_an_answer_that_is_written_may_stand_behind_a_thought(tmp_path: Path) -> None:
    backend = rendering(kinds.OPENS_A_THOUGHT)
    check_prompt(ASKED, strategy(tmp_path, "generate"), backend)
    with pytest.raises(ConfigError, match="within that thought"):
        check_prompt(ASKED, strategy(tmp_path, "constrained"), backend)


def test_a_model_without_a_template_says_so_itself(tmp_path: Path) -> None:
    with pytest.raises(NoChatTemplate, match="has no chat template"):
        check_prompt(ASKED, strategy(tmp_path, "score"), rendering(""))
