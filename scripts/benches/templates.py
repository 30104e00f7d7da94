"""scripts/bench templates FOLDER: every chat template of a folder beside transformers' renderer.

Seven kinds of conversation are rendered by both, byte for byte. Then it is asked where labels would
be scored: within a thought or before a channel they must be refused. At last calls of tools are
rendered, read back, and rendered again.

The folder is llama.cpp's models/templates, of the sdist of llama-cpp-python for instance:
pip download --no-binary :all: --no-deps llama-cpp-python==0.3.36
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from transformers.utils import chat_template_utils

from gateway.core.errors import GatewayError
from gateway.core.types import Message, Tool, ToolCall
from gateway.models.chat_template import DAY, ChatTemplate
from gateway.models.families.calls import BARE, found_in, syntax_named
from gateway.models.families.thoughts import Thoughts
from gateway.models.families.values import schemas_of
from gateway.models.reasoning import CLOSES, OPENS, opens

CONTROL = re.compile(r"<[^<> ]+>")
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": 'Where; "quoted", <b> & é'},
        "days": {"type": "integer", "enum": [1, 2]},
    },
    "required": ["city"],
}
FUNCTIONS: Sequence[Mapping[str, Any]] = (
    {"name": "weather", "description": "Of a city", "parameters": SCHEMA},
    {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}},
)
TOOLS = tuple(
    Tool(str(f["name"]), str(f["description"]), json.dumps(f["parameters"]), json.dumps(f))
    for f in FUNCTIONS
)
QUESTION, LABEL = "the-question-of-a-probe", "the-label-of-a-probe"
THOUGHT = re.compile(
    r"<\|think\|><\|end\|><\|begin\|>assistant|"
    rf"(?:{OPENS.pattern})(?:(?!{OPENS.pattern}).)*?(?:(?:{CLOSES.pattern})|$)|(?:{CLOSES.pattern})$",
    re.IGNORECASE | re.DOTALL,
)
USER = Message("user", "  What is it like in <b>Zürich</b> & 'Bern'?\n")
ANSWER = Message("assistant", "Fine.")
CALL = ToolCall("abcdefghi", "weather", '{"city": "Zürich", "days": 2}')
CONVERSATIONS: Mapping[str, tuple[tuple[Message, ...], tuple[Tool, ...]]] = {
    "plain": ((USER, ANSWER, Message("user", "And tomorrow?")), ()),
    "system": ((Message("system", "Be brief."), USER), ()),
    "tools": ((USER,), TOOLS),
    "tools, system": ((Message("system", "Be brief."), USER), TOOLS),
    "tool history": (
        (
            USER,
            Message("assistant", "", (CALL,)),
            Message("tool", '{"sky": "clear"}', (), CALL.id),
            ANSWER,
            Message("user", "And tomorrow?"),
        ),
        TOOLS,
    ),
    "reasoning": (
        (
            USER,
            Message("assistant", "Fine.", reasoning="They ask for the weather."),
            Message("user", "And tomorrow?"),
        ),
        (),
    ),
    "reasoning in the text": (
        (
            USER,
            Message("assistant", "<think>\nThey ask.\n</think>\n\nFine."),
            Message("user", "And tomorrow?"),
        ),
        (),
    ),
}


class FixedDay(datetime):
    """The day that both renderers are told."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "FixedDay":
        del tz
        return cls(DAY.year, DAY.month, DAY.day)


def given(source: str, message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    """A message as a user of transformers writes it."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        keys = [k for k in ("reasoning_content", "thinking", "reasoning") if f".{k}" in source]
        turn |= dict.fromkeys(keys or ["reasoning_content"], message.reasoning)
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn |= {"tool_call_id": message.tool_call_id, "name": names[message.tool_call_id]}
    return turn


def reference(source: str, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """What transformers renders."""
    names = {call.id: call.name for m in messages for call in m.tool_calls}
    shown, _ = chat_template_utils.render_jinja_template(
        conversations=[[given(source, m, names) for m in messages]],
        tools=[{"type": "function", "function": json.loads(t.definition)} for t in tools] or None,
        chat_template=source,
        add_generation_prompt=True,
        **SPECIAL,
    )
    return str(shown[0])


def compared(source: str, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
    """ "equal", "refused: WHY" or "differs ..."."""
    try:
        theirs: str | None = reference(source, messages, tools)
    except Exception as exc:  # noqa: BLE001 - whatever a template does
        theirs, why = None, f"{type(exc).__name__}: {exc}"
    try:
        ours = ChatTemplate(source).write(messages, special=SPECIAL, control=CONTROL, tools=tools)
    except GatewayError as exc:
        said = exc.message.splitlines()[0][:90]
        return f"refused by both: {said}" if theirs is None else f"refused: {said}"
    if theirs is None:
        return f"here only: transformers refuses: {why[:60]}"
    if ours.text == theirs:
        return "equal"
    at = next((n for n, (a, b) in enumerate(zip(ours.text, theirs, strict=False)) if a != b), -1)
    return f"differs at {at}: {ours.text[at : at + 40]!r}, transformers {theirs[at : at + 40]!r}"


def place_of_labels(source: str) -> str:
    """Where labels are scored: "safe", or "refused: WHY", or "UNSAFE" with the prompt's end."""
    template = ChatTemplate(source)
    thoughts = Thoughts(template, SPECIAL)
    asked = (Message("user", QUESTION),)
    answered = (*asked, Message("assistant", LABEL))
    try:
        begun = template.render(asked, special=SPECIAL, variables=thoughts.off)
        shown = template.render(
            answered, special=SPECIAL, begin_answer=False, variables=thoughts.off
        )
    except GatewayError as exc:
        return f"refused: {exc.message.splitlines()[0][:80]}"
    prompt = begun + thoughts.closing(thoughts.off)[0]
    if opens(prompt, asked):
        return f"UNSAFE: within a thought: {prompt[-40:]!r}"
    mine, theirs = (_bare(text) for text in (prompt, shown.rpartition(LABEL)[0]))
    return "safe" if mine == theirs else f"UNSAFE: {mine[-40:]!r}, the template {theirs[-40:]!r}"


TYPED = Tool(
    "look_up",
    "Looks up",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "A text"},
                "count": {"type": "integer", "description": "A number"},
                "ratio": {"type": "number", "description": "A number"},
                "sure": {"type": "boolean", "description": "Whether"},
                "many": {"type": "array", "items": {"type": "string"}, "description": "Texts"},
                "deep": {
                    "type": "object",
                    "properties": {"n": {"type": "integer"}},
                    "additionalProperties": {"type": "string"},
                    "description": "More",
                },
            },
        }
    ),
)
TEXTS = (
    "",
    "5",
    "true",
    'it"s',
    "two\nlines",
    " spaces ",
    "é😀",
    "<b>&amp;</b>",
    '{"a": 1}',
    "a, b=2)",
)
ARGUMENTS: Sequence[Mapping[str, object]] = (
    *({"text": text, "count": 2} for text in TEXTS),
    *({"count": -5}, {"ratio": 1.5}, {"sure": True}, {"sure": False}, {}),
    *({"many": ["x", "y"]}, {"many": []}, {"deep": {"n": 1, "m": "t"}}),
    {"many": ["x"], "text": "t", "deep": {"n": 1}},
)


def round_trip(source: str) -> str:
    """Whether calls that the template renders are read back as they are: "equal", "none: WHY" or
    "differs: ..."."""
    template = ChatTemplate(source)
    if not (name := template.call_syntax(SPECIAL)):
        return "none: tools are shown in the system message, or refused"
    tried = [_called(template, name, arguments) for arguments in ARGUMENTS]
    if all(each is None for each in tried):
        return f"none: {name}; the template refuses earlier calls"
    wrong = [a for a, each in zip(ARGUMENTS, tried, strict=True) if each is not None and each != a]
    return f"differs: {name}: {wrong}" if wrong else "equal"


def _called(
    template: ChatTemplate, name: str, arguments: Mapping[str, object]
) -> Mapping[str, object] | None:
    """The arguments as they are read back; None: the template refuses the turn."""
    call = ToolCall("abcdefghi", TYPED.name, json.dumps(arguments))
    turns = (Message("user", QUESTION), Message("assistant", "", (call,)))
    try:
        asked = template.render(turns[:1], special=SPECIAL, tools=(TYPED,))
        shown = template.render(
            template.with_calls_written(turns),
            special=SPECIAL,
            tools=(TYPED,),
            begin_answer=False,
            texts=template.takes_texts(SPECIAL),
        )
    except GatewayError:
        return None
    behind = shown.rpartition(QUESTION)[2]
    if name == BARE:
        # A model ends its answer with a token that is not shown.
        behind = re.split(r"<\|eot(?:_id)?\|>|<\|eom_id\|>|<\|im_end\|>", shown[len(asked) :])[0]
    found = found_in(behind, syntax_named(name), schemas_of([TYPED]))[1]
    return found[0].arguments if len(found) == 1 else {"found": len(found)}


def _bare(text: str) -> str:
    """What of a prompt stands behind the question, without thoughts and spaces at its end."""
    behind, shorter = text.rpartition(QUESTION)[2].rstrip(), ""
    while (shorter := THOUGHT.sub("", behind).rstrip()) != behind:
        behind = shorter
    return behind


def main() -> int:
    """Print a line for each template and behaviour that is not equal, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    chat_template_utils.datetime = FixedDay
    paths = sorted(parser.parse_args().folder.glob("*.jinja"))
    counts: Counter[tuple[str, str]] = Counter()
    for path in paths:
        source = path.read_text(encoding="utf-8")
        place = place_of_labels(source)
        counts["labels", place.partition(":")[0]] += 1
        if place != "safe":
            print(f"{path.stem[:36]:<36}  {'labels':<22} {place}")
        calls = round_trip(source)
        counts["calls", calls.partition(":")[0]] += 1
        if calls != "equal":
            print(f"{path.stem[:36]:<36}  {'calls':<22} {calls}")
        for kind, (messages, tools) in CONVERSATIONS.items():
            found = compared(source, messages, tools)
            verdict = found.partition(":")[0].split(" at ")[0]
            counts[kind, verdict] += 1
            if verdict != "equal":
                print(f"{path.stem[:36]:<36}  {kind:<22} {found}")
    print(f"\n{len(paths)} templates      equal  refused by both  refused  differs  here only")
    for kind in CONVERSATIONS:
        verdicts = ("equal", "refused by both", "refused", "differs", "here only")
        row = [counts[kind, verdict] for verdict in verdicts]
        print(f"{kind:<22}" + "{:>5}{:>17}{:>9}{:>9}{:>11}".format(*row))
    labels = [counts["labels", verdict] for verdict in ("safe", "refused", "UNSAFE")]
    print("labels: {} safe, {} refused, {} unsafe".format(*labels))
    trips = [counts["calls", verdict] for verdict in ("equal", "none", "differs")]
    print("calls read back: {} equal, {} without, {} differ".format(*trips))
    return int(any(verdict in ("differs", "UNSAFE") for _, verdict in counts))


if __name__ == "__main__":
    sys.exit(main())
