"""Requests to every route of the server: valid ones, and ones in which something is not.

Each is drawn from the fields of the wire formats with values from their edges. A test that sends
them looks at what becomes of the server, not at what a model says.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]


@dataclass(frozen=True, slots=True)
class Field:
    """What a field may hold, and what it may nearly hold."""

    valid: Values
    nearly: Values


_JUNK: Values = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 2**31, 2**64, -(2**70), 0.5, -0.0, 1e300, "", "0", "x"),
        *([], {}, [[]], [None], {"a": None}, [1, "a"], {"type": "text"}, "\ud800", "a\0b"),
        *(["x"] * 200, {"type": "image_url"}, [{}], "none", "auto", [0], [-1], [2**40]),
    ]
)


def of(valid: Sequence[Any] | Values, nearly: Sequence[Any] | Values = _JUNK) -> Field:
    """A field with these values."""
    return Field(_one_of(valid), _one_of(nearly))


def _one_of(given: Sequence[Any] | Values) -> Values:
    return given if isinstance(given, st.SearchStrategy) else st.sampled_from(given)


_TEXTS = (
    *("Hi", "The capital of France is", "é", "e\u0301", "\U0001f600", "\u200b", "\ufeff", " "),
    *("<|im_end|>", "<|im_start|>assistant\n", "<tool_call>\n", "a\tb", "\ue0001\ue001", "\n"),
    *("word " * 30, "\\", '"', "{}", "\r\n", "日本語", "NULL"),
)
texts = st.sampled_from(_TEXTS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
_text = of(texts, ["", "x" * 9000, "\ud800", "a\0b", 5, None])
_flag = of([True, False], ["yes", 0, 1.0])
_ids = st.lists(st.sampled_from([0, 1, 2, 17, 100, 49151]), min_size=1, max_size=4)
_foreign_ids = st.lists(st.sampled_from([49152, 2**31 - 1, -1, 2**31, 1.5]), max_size=3)
_prompt = of(
    texts | st.lists(texts, min_size=1, max_size=3) | _ids | st.lists(_ids, min_size=1, max_size=2),
    st.sampled_from(["", [], [""], [[]], ["a", 1], [1, "a"], {"a": 1}]) | _foreign_ids,
)
_few = of([1, 2, 3, 3.0, 5], [0, -1, -2, None, 2.5, 10**12])
_number = [0, 0.0, 0.3, 0.5, 1]
_stops = of(texts | st.lists(texts, max_size=3), ["", [""], ["a"] * 17, [1]])
_SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"const": 1}}},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}}},
]
_schema = of(
    _SCHEMAS,
    [
        {"$ref": "#/$defs/none"},
        {"type": "nothing"},
        {"type": "array", "uniqueItems": True},
        {"type": "string", "pattern": "^(?=a)b$"},
        {"type": "string", "pattern": "(("},
        {"type": "string", "format": "unknown"},
        {"not": {}},
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"allOf": [{"type": "object"}, {"properties": {"b": {}}}]},
        {"type": "array", "items": {"type": "string", "enum": ["a"]}, "minItems": 10**6},
        {"type": "string", "pattern": "a{100000}"},
    ],
)
_name = of(["f", "get_weather"], ["a b", "", "x" * 200])
_CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
_USER = {"role": "user", "content": "What is it?"}
_told = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": texts},
        optional={"name": texts},
    ),
    min_size=1,
    max_size=3,
)
_CALLED: list[dict[str, Any]] = [
    _USER,
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]
_turns = of(
    _told | st.just(_CALLED),
    [
        *([], [{}], [{"role": "user"}], [{"role": "x", "content": "a"}], [_CALLED[2]]),
        [_USER, {"role": "user", "content": [{"type": "image_url"}]}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": ""}],
        [_USER, {"role": "assistant", "tool_calls": [{**_CALL, "function": {"name": "f"}}]}],
        [{"role": "user", "content": "word " * 2000}],
    ],
)
_functions = st.fixed_dictionaries(
    {"name": _name.valid}, optional={"description": texts, "parameters": _schema.valid}
)
_bad_function = st.fixed_dictionaries({"name": _name.nearly}) | st.builds(
    lambda schema: {"name": "f", "parameters": schema}, _schema.nearly
)
_tools = of(
    st.lists(st.builds(lambda f: {"type": "function", "function": f}, _functions), max_size=1),
    st.lists(st.builds(lambda f: {"type": "function", "function": f}, _bad_function), max_size=2),
)
_flat_tools = of(
    st.lists(st.builds(lambda f: {"type": "function", **f}, _functions), max_size=1),
    st.lists(st.builds(lambda f: {"type": "function", **f}, _bad_function), max_size=2),
)
_choice = of(["auto", "none", "required"], ["x", {"type": "function", "name": "g"}, {}])
_SAMPLING: Mapping[str, Field] = {
    "temperature": of(_number, [-1, 101, 1e-9, "hot"]),
    "top_p": of([0.1, 0.9, 1], [0, 1.5, -1]),
    "top_k": of([-1, 0, 1, 40], [10**9, 1.5]),
    "min_p": of([0, 0.1], [1, -0.1]),
    "seed": of([0, 1, 2**63], [2**64, -1, 0.5]),
    "presence_penalty": of(_number, [-3, 3]),
    "frequency_penalty": of(_number, [-3, 3]),
    "stop": _stops,
}
_OPENAI: Mapping[str, Field] = {
    **_SAMPLING,
    "repetition_penalty": of([1, 1.3], [0, 11]),
    "n": of([1, 2], [0, 129]),
    "logit_bias": of(
        [{}, {"17": 100}, {"0": -100, "2": 5.5}, {"49151": 1}],
        [{"49152": 1}, {"x": 1}, {"-1": 1}, {"17": 101}, {"9999999999": 1}, {"1": 1, "01": 2}],
    ),
    "stream": _flag,
    "user": _text,
}
_block: list[dict[str, Any]] = [
    {"type": "text", "text": "Hi"},
    {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
    {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
    {"type": "thinking", "thinking": "hm", "signature": ""},
]
_blocks = st.lists(st.sampled_from(_block), min_size=1, max_size=3)
_claude_turns = of(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant"]), "content": texts | _blocks}
        ),
        min_size=1,
        max_size=3,
    ),
    [
        [],
        [{"role": "system", "content": "Hi"}],
        [{"role": "user", "content": []}],
        [{"role": "assistant", "content": ""}],
        [{"role": "user", "content": [{"type": "image", "source": {}}]}],
        [{"role": "user", "content": [{**_block[2], "content": [{"type": "image"}]}]}],
    ],
)
_items = of(
    texts
    | st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system"]), "content": texts}
        ),
        min_size=1,
        max_size=3,
    )
    | st.just(
        [
            _USER,
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        ]
    ),
    [
        *("", [], [{}], [{"type": "item_reference", "id": "x"}], [{"role": "user"}]),
        [{"type": "function_call_output", "call_id": "c1", "output": "rain"}],
        [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": "["}],
        [{"type": "reasoning", "summary": []}],
    ],
)
_options = of(
    st.fixed_dictionaries(
        {"num_predict": _few.valid},
        optional={
            **{name: field.valid for name, field in _SAMPLING.items() if name != "stop"},
            "stop": st.lists(texts, max_size=2),
            "num_ctx": st.sampled_from([0, 64, 512, 10**6]),
            "num_gpu": st.sampled_from([0, -1, 99]),
        },
    ),
    [
        *({"num_predict": 0}, {"num_ctx": 1}, {"num_ctx": -1}, {"mirostat": 1}, {"stop": "a"}),
        *({"num_predict": -1}, {"num_predict": -2}, {"wizardry": 1}, {"top_k": 10**9}),
    ],
)
_keep = of(["5m", -1, "1h", 10**9], ["soon", "1e9h", [], "9" * 60 + "s"])
_OLLAMA_CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
_ollama_turns = of(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system"]), "content": texts},
            optional={"thinking": texts, "images": st.just([])},
        ),
        max_size=3,
    )
    | st.just(
        [
            _USER,
            {"role": "assistant", "content": "", "tool_calls": [_OLLAMA_CALL]},
            {"role": "tool", "tool_name": "f", "content": "rain"},
        ]
    ),
    [
        [{"role": "tool", "content": "x"}],
        [{"role": "user", "content": "x", "images": ["aGk="]}],
        [{"role": "user"}],
        [{"role": "user", "content": "x", "tool_calls": [_OLLAMA_CALL]}],
    ],
)
_OLLAMA: Mapping[str, Field] = {
    "stream": _flag,
    "format": Field(st.sampled_from(["", "json"]) | _schema.valid, _schema.nearly),
    "keep_alive": _keep,
    "truncate": _flag,
}
_labels = of(
    st.lists(texts, min_size=2, max_size=4, unique=True), [[], ["a"], ["a", "a"], ["", "b"]]
)
_format = Field(
    st.builds(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        _schema.valid,
    )
    | st.sampled_from([{"type": "json_object"}, {"type": "text"}]),
    st.builds(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        _schema.nearly,
    ),
)
_flat_format = Field(
    st.builds(
        lambda schema: {"format": {"type": "json_schema", "name": "x", "schema": schema}},
        _schema.valid,
    ),
    st.builds(
        lambda schema: {"format": {"type": "json_schema", "name": "x", "schema": schema}},
        _schema.nearly,
    ),
)
_claude_tools = Field(
    st.lists(
        st.fixed_dictionaries({"name": _name.valid, "input_schema": _schema.valid}), max_size=1
    ),
    st.lists(st.fixed_dictionaries({"name": _name.nearly, "input_schema": _schema.nearly})),
)

Fields = Mapping[str, Field]
_ROUTES: Mapping[str, tuple[Fields, Fields]] = {
    "/v1/chat/completions": (
        {"messages": _turns, "max_tokens": _few},
        {
            **_OPENAI,
            "logprobs": _flag,
            "response_format": _format,
            "tools": _tools,
            "tool_choice": _choice,
            "parallel_tool_calls": _flag,
        },
    ),
    "/v1/completions": (
        {"prompt": _prompt, "max_tokens": _few},
        {**_OPENAI, "echo": of([False], [True]), "logprobs": of([0, 2], [21])},
    ),
    "/v1/responses": (
        {"input": _items, "max_output_tokens": _few},
        {
            "instructions": _text,
            "stream": _flag,
            "temperature": _SAMPLING["temperature"],
            "text": _flat_format,
            "tools": _flat_tools,
            "tool_choice": _choice,
            "include": of(
                [[], ["reasoning.encrypted_content"], ["message.output_text.logprobs"]], [["x"]]
            ),
            "top_logprobs": of([0, 3], [-1, 21]),
        },
    ),
    "/v1/responses/input_tokens": ({"input": _items}, {"tools": _flat_tools}),
    "/v1/embeddings": (
        {"input": _prompt},
        {
            "encoding_format": of(["float", "base64"], ["x"]),
            "dimensions": of([576], [1, 0, 10**9]),
        },
    ),
    "/v1/messages": (
        {"messages": _claude_turns, "max_tokens": _few},
        {
            "system": of(texts, [[], [{"type": "image"}]]),
            "stream": _flag,
            "temperature": _SAMPLING["temperature"],
            "top_k": of([0, 5], [-1]),
            "stop_sequences": of(st.lists(texts, max_size=2), [[""]]),
            "tools": _claude_tools,
        },
    ),
    "/v1/messages/count_tokens": ({"messages": _claude_turns}, {"system": of(texts)}),
    "/v1/rerank": (
        {"query": _text, "documents": of(st.lists(texts, min_size=1, max_size=3), [[], [1], "a"])},
        {"top_n": of([1, 2], [0, -1]), "return_documents": _flag},
    ),
    "/v1/score": ({"labels": _labels, "prompt": _text}, {"answer_start": _text}),
    "/v1/classify": (
        {"labels": _labels, "messages": _turns},
        {"score_rule": of(["sum", "mean", "per_byte"], ["x"])},
    ),
    "/tokenize": (
        {"content": _text},
        {"add_special": _flag, "parse_special": _flag, "with_pieces": _flag},
    ),
    "/detokenize": ({"tokens": Field(_ids, _foreign_ids)}, {}),
    "/completion": (
        {"prompt": _prompt, "n_predict": _few},
        {**_SAMPLING, "n_probs": of([0, 2], [21]), "json_schema": _schema, "stream": _flag},
    ),
    "/apply-template": ({"messages": _turns}, {"tools": _tools, "max_tokens": _few}),
    "/api/chat": ({"messages": _ollama_turns, "options": _options}, {**_OLLAMA, "tools": _tools}),
    "/api/generate": (
        {"prompt": _text, "options": _options},
        {**_OLLAMA, "system": _text, "raw": of([False], [True]), "suffix": of([""], ["x"])},
    ),
    "/api/embed": (
        {"input": of(texts | st.lists(texts, max_size=3), ["", [""], [[1]]])},
        {"truncate": _flag},
    ),
    "/api/embeddings": ({"prompt": _text}, {"keep_alive": _keep}),
    "/api/show": ({}, {"verbose": _flag, "system": of([""])}),
}
ROUTES = tuple(_ROUTES)


@dataclass(frozen=True, slots=True)
class AnyRequest:
    """A body for a route."""

    path: str
    body: Any

    @property
    def content(self) -> bytes:
        """The body as it is sent; what has no UTF-8 form is escaped."""
        return json.dumps(self.body).encode()


@st.composite
def any_request(draw: st.DrawFn, models: Sequence[str]) -> AnyRequest:
    """A request to one of the routes. Half of them are valid; of the others one field holds what
    it nearly may, or something is changed anywhere in the body."""
    path = draw(st.sampled_from(ROUTES))
    needed, optional = _ROUTES[path]
    more = draw(st.lists(st.sampled_from(sorted(optional)), max_size=4)) if optional else []
    fields = {**needed, **{name: optional[name] for name in more}}
    body = {"model": draw(st.sampled_from(models))}
    body |= {name: draw(field.valid) for name, field in fields.items()}
    how = draw(st.sampled_from(["valid", "valid", "nearly", "changed"]))
    if how == "nearly" and fields:
        name = draw(st.sampled_from(sorted(fields)))
        body[name] = draw(fields[name].nearly)
    return AnyRequest(path, _changed(draw, body) if how == "changed" else body)


def _changed(draw: st.DrawFn, body: Any) -> Any:
    """A copy in which one value, somewhere, is another, absent or new."""
    if isinstance(body, list) and body:
        number = draw(st.integers(0, len(body) - 1))
        return [*body[:number], _changed(draw, body[number]), *body[number + 1 :]]
    if not isinstance(body, dict) or not body:
        return draw(_JUNK)
    name = draw(st.sampled_from([*body, "something_new"]))
    if draw(st.integers(0, 3)) == 0:
        return {key: value for key, value in body.items() if key != name}
    return {**body, name: _changed(draw, body.get(name)) if draw(st.booleans()) else draw(_JUNK)}
