"""The table of fields is that of the published types: what they offer is read, or taken and without
effect, or refused by its name unless it asks for nothing."""

import re
from copy import deepcopy
from itertools import pairwise
from operator import attrgetter
from typing import Any, get_type_hints

import anthropic.types as anthropic_types
import ollama._types as go
import openai.types.chat as chat
import openai.types.responses as responses
import pytest
from openai.types import completion_create_params, embedding_create_params, shared_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params, response_input_item_param
from pydantic import ValidationError

from gateway.cli.manual import MANUAL
from gateway.server.anthropic import wire as claude
from gateway.server.compatibility import BODIES, Row, rows, tables
from gateway.server.ollama import embedding, models, options
from gateway.server.ollama import wire as ollama_wire
from gateway.server.openai import chat_wire, completions_wire, embeddings, fields, responses_wire
from gateway.server.wire import Wire, fields_by_key
from tests.server.test_asks_for_nothing import TURN, answered, client

__all__ = ["client"]

OPENAI: list[tuple[Any, type[Wire]]] = [
    (chat_create_params.CompletionCreateParamsNonStreaming, chat_wire.ChatRequest),
    (chat_create_params.PromptCacheOptions, fields.PromptCacheOptions),
    (chat.ChatCompletionUserMessageParam, chat_wire.ChatMessage),
    (chat.ChatCompletionAssistantMessageParam, chat_wire.ChatMessage),
    (chat.ChatCompletionToolMessageParam, chat_wire.ChatMessage),
    (chat.ChatCompletionContentPartTextParam, chat_wire.TextPart),
    (chat.ChatCompletionMessageFunctionToolCallParam, chat_wire.CallInMessage),
    (chat.ChatCompletionFunctionToolParam, chat_wire.ToolDefinition),
    (chat.ChatCompletionStreamOptionsParam, fields.StreamOptions),
    (shared_params.FunctionDefinition, chat_wire.StrictFunction),
    (shared_params.ResponseFormatJSONSchema, chat_wire.ResponseFormat),
    (shared_params.Reasoning, responses_wire.Reasoning),
    (
        completion_create_params.CompletionCreateParamsNonStreaming,
        completions_wire.CompletionRequest,
    ),
    (embedding_create_params.EmbeddingCreateParams, embeddings.EmbeddingRequest),
    (response_create_params.ResponseCreateParamsNonStreaming, responses_wire.ResponseRequest),
    (response_create_params.PromptCacheOptions, fields.PromptCacheOptions),
    (responses.EasyInputMessageParam, responses_wire.InputMessage),
    (responses.ResponseOutputMessageParam, responses_wire.InputMessage),
    (responses.ResponseInputTextParam, responses_wire.InputPart),
    (responses.ResponseOutputTextParam, responses_wire.InputPart),
    (responses.ResponseFunctionToolCallParam, responses_wire.CallItem),
    (response_input_item_param.FunctionCallOutput, responses_wire.CallOutputItem),
    (responses.ResponseReasoningItemParam, responses_wire.ReasoningItem),
    (responses.FunctionToolParam, responses_wire.FunctionTool),
    (responses.ResponseTextConfigParam, responses_wire.TextOptions),
    (responses.ResponseFormatTextJSONSchemaConfigParam, responses_wire.TextFormat),
]
CLAUDE: list[tuple[str, type[Wire]]] = [
    ("message_create_params.MessageCreateParamsNonStreaming", claude.MessagesBody),
    ("message_count_tokens_params.MessageCountTokensParams", claude.TokensBody),
    ("UserMessageParam", claude.Turn),
    ("SystemMessageParam", claude.Turn),
    ("TextBlockParam", claude.TextBlock),
    ("ToolUseBlockParam", claude.ToolUseBlock),
    ("ToolResultBlockParam", claude.ToolResultBlock),
    ("ThinkingBlockParam", claude.ThinkingBlock),
    ("RedactedThinkingBlockParam", claude.ThinkingBlock),
    ("ToolParam", claude.ToolOffered),
    ("ToolChoiceAutoParam", claude.ToolChoice),
    ("ToolChoiceToolParam", claude.ToolChoice),
    ("ThinkingConfigEnabledParam", claude.Thinking),
    ("OutputConfigParam", claude.OutputConfig),
    ("MetadataParam", claude.Metadata),
]
GO: list[tuple[Any, type[Wire]]] = [
    (go.ChatRequest, ollama_wire.ChatBody),
    (go.GenerateRequest, ollama_wire.GenerateBody),
    (go.EmbedRequest, embedding.EmbedBody),
    (go.EmbeddingsRequest, embedding.LegacyBody),
    (go.ShowRequest, models.ShowBody),
    (go.Options, options.Options),
    (go.Message, ollama_wire.ChatTurn),
    (go.Tool, ollama_wire.OfferedTool),
]

TOOL = {"type": "function", "function": {"name": "f"}}
LEAST: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [{**TURN[0], "content": [{"type": "text", "text": "Hi"}]}],
        "tools": [TOOL],
    },
    "/v1/completions": {"prompt": "Hi"},
    "/v1/responses": {
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "name": "f"}],
    },
    "/v1/embeddings": {"input": "Hi"},
    "/v1/messages": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "tools": [{"name": "f", "input_schema": {}}],
        "max_tokens": 1,
    },
    "/v1/messages/count_tokens": {"messages": TURN, "tools": [{"name": "f", "input_schema": {}}]},
    "/api/chat": {"messages": TURN, "tools": [TOOL]},
    "/api/generate": {"prompt": "Hi"},
    "/api/embed": {"input": "Hi"},
    "/api/embeddings": {"prompt": "Hi"},
    "/api/show": {},
    "/v1/rerank": {"query": "Hi", "documents": ["Ho"]},
    "/v1/score": {"messages": TURN, "labels": ["a", "b"]},
    "/v1/classify": {"messages": TURN, "labels": ["a", "b"]},
    "/tokenize": {"messages": TURN},
    "/detokenize": {"tokens": [1]},
    "/completion": {"prompt": "Hi"},
}
"""Bodies in which every object that a refused field lies in is there, or can be made of nothing."""
INSIDE: dict[str, dict[str, Any]] = {
    "tools[].tools[].": {
        "tools": [
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
        ]
    }
}
"""What of such a body is another where the field is of one kind of object only."""
NOTHING: list[Any] = [None, "", [], {}]
OURS = ("/v1/score", "/v1/classify", "/tokenize", "/detokenize")
"""Routes of no published API; an empty text is a text in them."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logit_bias": None,
        "logprobs": False,
        "n": 1,
        "parallel_tool_calls": True,
        "store": False,
        "stream": False,
        "top_p": 1,
        "service_tier": "auto",
        "verbosity": "medium",
        "reasoning_effort": "medium",
        "modalities": ["text"],
        "function_call": "none",
        "tool_choice": "none",
        "response_format": {"type": "text"},
        "prompt_cache_retention": "in_memory",
        "stream_options": {"include_obfuscation": True},
        "temperature": 1,
        "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
    },
    "/v1/completions": {
        "best_of": 1,
        "echo": False,
        "frequency_penalty": 0,
        "logit_bias": None,
        "n": 1,
        "max_tokens": 16,
        "presence_penalty": 0,
        "stop": None,
        "stream": False,
        "suffix": None,
        "temperature": 1,
        "top_p": 1,
    },
    "/v1/responses": {
        "background": False,
        "parallel_tool_calls": True,
        "store": True,
        "stream": False,
        "temperature": 1,
        "top_p": 1,
        "truncation": "disabled",
        "tool_choice": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "service_tier": "auto",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "top_logprobs": 0,
        "image": {"context_compression": "auto"},
        "include": None,
        "background_options": {"completion_window": "soonest"},
        "prompt_cache_options": {"mode": "implicit", "prewarm": False, "ttl": "30m"},
        "stream_options": {"include_obfuscation": True},
    },
    "/v1/embeddings": {"encoding_format": "float"},
    "/v1/messages": {
        "stream": False,
        "temperature": 1.0,
        "service_tier": "auto",
        "speed": "standard",
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
        "thinking": {"type": "disabled"},
        "output_config": {"effort": "high"},
    },
    "/api/chat": {
        "stream": False,
        "keep_alive": "5m",
        "think": False,
        "logprobs": False,
        "options": {
            "mirostat": 0,
            "mirostat_eta": 0.1,
            "mirostat_tau": 5.0,
            "num_ctx": 2048,
            "repeat_last_n": 64,
            "seed": 0,
            "num_predict": -1,
            "top_k": 40,
            "top_p": 0.9,
            "min_p": 0.0,
            "temperature": 0.8,
            "typical_p": 1.0,
            "tfs_z": 1,
            "num_keep": 4,
            "num_batch": 512,
            "num_thread": 0,
            "penalize_newline": True,
            "stop": [],
        },
    },
}
"""As the references of the APIs have them (OpenAI's and Anthropic's SDKs, Ollama's api.md)."""


def test_the_manual_s_table_is_the_code_s() -> None:
    page = (MANUAL / "fields.md").read_text(encoding="utf-8")
    assert page.endswith(tables()), "python -m gateway.server.compatibility writes it"


def published(types: Any) -> set[str]:
    """Names of a TypedDict's or a pydantic model's fields, as they are sent."""
    if (known := getattr(types, "model_fields", None)) is not None:
        return {field.alias or name for name, field in known.items()}
    return set(get_type_hints(types))


@pytest.mark.parametrize(
    ("types", "wire"), [*OPENAI, *GO], ids=lambda found: str(getattr(found, "__name__", found))
)
def test_every_published_field_is_known(types: Any, wire: type[Wire]) -> None:
    assert published(types) <= fields_by_key(wire).keys()


@pytest.mark.parametrize(("name", "wire"), CLAUDE)
def test_every_published_field_of_anthropic_s_is_known(name: str, wire: type[Wire]) -> None:
    types = attrgetter(name)(anthropic_types)
    assert published(types) <= fields_by_key(wire).keys()


def put(body: Any, path: str, value: Any) -> dict[str, Any]:
    """A copy of the body with a value at a path; lists on the way have one entry."""
    made = deepcopy(body)
    place = made
    steps = re.findall(r"[^.\[]+|\[\]", path)
    for step, following in pairwise(steps):
        if step == "[]":
            place = place[0]
        else:
            place = place.setdefault(step, [{}] if following == "[]" else {})
    place[steps[-1]] = value
    return made if isinstance(made, dict) else {}


REFUSED = [
    (path, row) for path, wire in BODIES.items() for row in rows(wire) if row.fate == "refused"
]


@pytest.mark.parametrize(("path", "row"), REFUSED, ids=lambda x: getattr(x, "name", x))
def test_what_is_not_done_is_refused_by_its_name_and_its_empty_values_are_not(
    path: str, row: Row
) -> None:
    wire = BODIES[path]
    base = {"model": "m", **LEAST[path]}
    for within, more in INSIDE.items():
        base |= more if row.name.startswith(within) else {}
    *_, last = row.name.split(".")
    with pytest.raises(ValidationError) as caught:
        wire.model_validate(put(base, row.name, "something else"))
    (told,) = caught.value.errors()
    assert last in told["loc"]
    assert row.reason in told["msg"]
    for nothing in NOTHING:
        wire.model_validate(put(base, row.name, nothing))


@pytest.mark.parametrize("path", [path for path in BODIES if path not in OURS])
def test_every_field_that_may_be_absent_may_be_null_or_empty(path: str) -> None:
    wire, base = BODIES[path], {"model": "m", **LEAST[path]}
    for key, field in fields_by_key(wire).items():
        if field.is_required() or key in LEAST[path]:
            continue
        for nothing in NOTHING:
            wire.model_validate({**base, key: nothing})


def test_every_body_is_in_the_table() -> None:
    assert LEAST.keys() == BODIES.keys()


@pytest.mark.parametrize(
    ("path", "field"), [(path, field) for path, known in DEFAULTS.items() for field in known]
)
def test_documented_defaults_are_accepted(client: Any, path: str, field: str) -> None:
    least = {key: value for key, value in LEAST[path].items() if key != "tools"}
    given = {"model": "fake", **least, "stream": False, field: DEFAULTS[path][field]}
    if path == "/v1/embeddings":
        del given["stream"]
    found = answered(client, path, given)
    assert found.status_code == 200, found.text
