"""From a request to the tokens that the model reads: templates, control tokens in data, labels."""

import bisect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import cast

import numpy as np

from gateway.core.digests import digest_text
from gateway.core.errors import ConfigError, ContextOverflow, InvalidRequest, NoChatTemplate
from gateway.core.sequences import common_length
from gateway.core.types import GenerationRequest, Message, RenderedRequest
from gateway.engine.jobs import Vocabulary
from gateway.engine.prompt import PromptReader
from gateway.engine.recent import Recent
from gateway.engine.thinking import ThoughtRules
from gateway.engine.tokenizer import Tokenizer, pattern_of, written_in
from gateway.models import chat_template, reasoning, tool_calls
from gateway.models.chat_template import Written
from gateway.models.families.calls import syntax_named
from gateway.models.families.markup import markup_in
from gateway.models.families.thoughts import OFF, ON, Thoughts, ThoughtTags
from gateway.models.origins import CALLER, TEMPLATE
from gateway.models.spec import NAMED, ModelSpec
from gateway.models.tool_calls import ToolMode

_MARKUP = re.compile(r"<[^<>\s]{2,40}>")
"""How the ends of turns are written, whether a vocabulary has a token for them or not."""
_MERGE = 'system = "merge" in its entry in models.toml puts system messages into the user\'s turn'

_MOST_PIECES = 1 << 16
"""Texts of tokens that are remembered; an answer has few different ones."""
_REMEMBERED_TOKENS = 1 << 18
"""Of the prompts that a reader remembers: those of the requests that are being worked on."""

_REMEMBERED_TAGS = 64
"""Settings of which a reader remembers the tags of thoughts."""

_CHANNEL = "<|channel|>"
"""An answer that begins with it needs no header of another."""

_CHARACTERS_PER_TOKEN = 16
"""Where a search for the length of a text begins; most texts have 3 to 5."""


class Reader:
    """Reads requests as one entry of models.toml says, with the vocabulary of its file."""

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer) -> None:
        self._spec = spec
        self.tokenizer = tokenizer
        self.template_source = template_of(spec, tokenizer)
        self.now = chat_template.day_of(spec.date)
        """What day it is to the chat template."""
        self._recent = Recent(_REMEMBERED_TOKENS)
        self._known_tags: dict[tuple[str, str], ThoughtTags | None] = {}

    def render(self, request: GenerationRequest) -> RenderedRequest:
        """What the model reads. Who asks it to bound an answer asks again to answer, so the last
        prompts are remembered."""
        if request.prompt_tokens:
            return self._as_given(request)
        key = (
            *(request.messages, request.prompt, request.tools, request.answer_start),
            *(request.reasoning, request.template_variables, _is_closed(request)),
            *(request.answer_markup, request.thinks_first),
        )
        return self._recent.get(key, lambda: self._render(request))

    def _render(self, request: GenerationRequest) -> RenderedRequest:
        prompt, thinking = self._prompt(request, closed=_is_closed(request))
        return RenderedRequest(prompt.text, tuple(self._prompts.tokens(prompt)), thinking)

    def count(self, text: str) -> int:
        return len(self.plain_tokens(text))

    def head(self, text: str, tokens: int) -> str:
        return text[: self._fitting(text, tokens, lambda length: text[:length])]

    def tail(self, text: str, tokens: int) -> str:
        fits = self._fitting(text, tokens, lambda length: text[len(text) - length :])
        return text[len(text) - fits :]

    def _fitting(self, text: str, tokens: int, part: Callable[[int], str]) -> int:
        """Most characters whose part of the text is at most that many tokens.

        Characters are searched, not tokens cut: a vocabulary that lacks a byte loses it, so that
        the pieces of some tokens do not join to the text again. The whole text comes first: it
        can be fewer tokens than a part of it ("NULL" is one token and "NUL" two).
        """
        if self.count(text) <= tokens:
            return len(text)
        limit = min(len(text), tokens * _CHARACTERS_PER_TOKEN)
        if self.count(part(limit)) <= tokens:
            limit = len(text)
        lengths = range(1, limit + 1)
        return bisect.bisect_right(lengths, tokens, key=lambda length: self.count(part(length)))

    def split_labels(
        self, request: GenerationRequest, labels: Sequence[str], most: int | None = None
    ) -> tuple[list[int], list[list[int]]]:
        """The tokens that all labels share, and each label's own after them.

        A label is tokenized together with the prompt before it, because a tokenizer may join the
        end of the prompt and the beginning of the label into one token.

        Args:
            most: tokens of the context; None: not limited here.

        Raises:
            ContextOverflow: with the first label the prompt is longer; then no other is looked at.
            InvalidRequest: the labels are wrong, or would be scored inside a thought.
        """
        check_labels(labels)
        prompt, thinking = self._prompt(request, closed=True)
        if thinking:
            raise InvalidRequest(
                f"labels are not scored inside a thought, and the chat template of "
                f"{self._spec.name} begins every answer with {reasoning.OPENING}",
                hint="give its entry in models.toml a chat_template that does not",
            )
        read = self._prompts.tokens
        first = read(prompt.more(labels[0]))
        if most is not None and len(first) > most:
            raise ContextOverflow(len(first), most)
        whole = [first, *(read(prompt.more(label)) for label in labels[1:])]
        shared = min(common_length(whole[0], other) for other in whole)
        shared = min(shared, common_length(whole[0], read(prompt)))
        if shared == 0:
            raise InvalidRequest("the prompt is empty: there is nothing to score labels after")
        continuations = [tokens[shared:] for tokens in whole]
        for label, tokens in zip(labels, continuations, strict=True):
            if not tokens:
                raise InvalidRequest(f"label {label!r} cannot be tokenized after this prompt")
        return whole[0][:shared], continuations

    def _as_given(self, request: GenerationRequest) -> RenderedRequest:
        more = self.plain_tokens(request.answer_start) if request.answer_start else []
        text = self.tokenizer.text_of(request.prompt_tokens)
        return RenderedRequest(text + request.answer_start, (*request.prompt_tokens, *more))

    @property
    def identity(self) -> Mapping[str, str]:
        """What of the rendering of messages may change a byte, by name."""
        template = self.template_source or ""
        merged = {"system": "merged"} if self.merges_system else {}
        tools = {} if self._spec.tools == "auto" else {"tools": self._spec.tools}
        ends = {"turn_end": ", ".join(self.turn_ends)} if self.turn_ends else {}
        return {
            "chat_template": digest_text(template),
            "end_of_turn": self._spec.end_of_turn,
            **merged,
            **tools,
            **ends,
            **self.date,
            **self._thinking_identity,
            **self.tokenizer.identity(template),
        }

    @property
    def date(self) -> Mapping[str, str]:
        """The day that the chat template is told; nothing where it does not ask."""
        if not chat_template.asks_the_date(self.template_source or ""):
            return {}
        return {"date": self.now.isoformat()}

    @property
    def variables(self) -> Mapping[str, object]:
        """What the entry gives the chat template beside a conversation.

        Raises:
            NoChatTemplate: there is none.
        """
        return {**self._special, **self._thoughts.variables(self._spec.reasoning)}

    @property
    def _thinking_identity(self) -> Mapping[str, str]:
        """What the entry says of thoughts, and whether answers are put behind a closed one."""
        told = {"reasoning": self._spec.reasoning, "thinking_budget": self._spec.thinking_budget}
        said = {name: str(value) for name, value in told.items() if value}
        if self.template_source is None or self._spec.can.on_a_server:
            return said
        try:
            off = self._thoughts.off
            closes = bool(off or self._thoughts.closing(off)[0])
        except ConfigError:
            return said  # It does not compile, as the first conversation will tell.
        return {**said, "labels": "behind a closed thought"} if closes else said

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of it a person should know, in one sentence each."""
        end = self._template_end
        says = f"{self._spec.name}: its chat template ends an answer with {end}"
        if end in self.turn_ends:
            ends = [self.tokenizer.token_text(token) for token in self.tokenizer.end_tokens]
            others = " or ".join(ends) or "no token"
            return (f"{says}, and its configuration with {others}: both end one here",)
        if not end or self._spec.end_of_turn or self._token(end) is not None:
            return ()
        said = f'end_of_turn = "{end}" in its entry ends it there'
        return (f"{says}, which is no token of the model, so that it may not stop; {said}",)

    @cached_property
    def turn_ends(self) -> Mapping[str, int]:
        """Tokens that end an answer though the model's configuration does not say so: that which
        the chat template puts behind one, and the control token that the entry's `end_of_turn`
        names. Text -> id.

        Without them such a model never stops. A server's model stops where the server lets it.
        """
        if self._spec.can.on_a_server:
            return {}
        end, named = self._template_end, self._spec.end_of_turn
        found = {end: self._token(end)}
        if (token := self._token(named)) is not None and not self.tokenizer.piece(token):
            found[named] = token  # It has no text, by which `end_of_turn` is found else.
        known = set(self.tokenizer.end_tokens)
        return {text: i for text, i in found.items() if i is not None and i not in known}

    @cached_property
    def _template_end(self) -> str:
        """What the chat template puts behind an answer: a control token, or what is written like
        one. Empty: none is known."""
        control = self.control_pattern
        if self.template_source is None:
            return ""
        try:
            behind = self._chat_template.behind_an_answer(self._special).lstrip()
        except ConfigError:
            return ""  # As in `merges_system`.
        found = (control.match(behind) if control else None) or _MARKUP.match(behind)
        return found.group() if found else ""

    def _token(self, text: str) -> int | None:
        """The one token that a text is where control tokens are read; None: it is none, or one that
        the model has no numbers for."""
        try:
            ids = self.tokenizer.tokenize([(text, True)], add_special=False) if text else []
        except InvalidRequest:
            return None
        return ids[0] if len(ids) == 1 and self.tokenizer.token_text(ids[0]) == text else None

    @cached_property
    def merges_system(self) -> bool:
        """Whether system messages are put into the user's turn: the entry says so, or the chat
        template shows them nowhere else."""
        if self._spec.system != "auto" or self.template_source is None:
            return self._spec.system == "merge"
        try:
            return self._chat_template.needs_merging(self._special)
        except ConfigError:
            return False  # It does not compile, as the first conversation will tell.

    def _conversation(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, as they are given to the chat template.

        Raises:
            InvalidRequest: it would not show a message.
        """
        if len(messages) > 1:
            self._check_shown(messages)
        if any(len(message.tool_calls) > 1 for message in messages) and self._shows_one_call:
            messages = chat_template.one_call_a_turn(messages)
        if not any(message.role == "system" for message in messages):
            return messages
        if self.merges_system:
            return chat_template.merged(messages)
        if why := self._system_refusal:
            raise InvalidRequest(why, hint=_MERGE, parameter="messages")
        return messages

    @cached_property
    def tool_mode(self) -> ToolMode:
        """Who shows tools to the model."""
        return chat_template.tool_mode(self._spec.tools, self.template_source, self._special)

    @cached_property
    def call_syntax(self) -> str:
        """Name of the form in which the model writes calls; see `models.families.calls`."""
        if self.tool_mode != "template" or self.template_source is None:
            return ""
        return chat_template.call_syntax(self.template_source, self._special)

    def _check_shown(self, messages: Sequence[Message]) -> None:
        """Raises:
        InvalidRequest: the chat template drops turns of a role that is there.
        """
        told = messages[:-1] if messages[-1].role == "user" else messages
        lost = [m.role for m in told if m.content and m.role in self._left_out]
        if lost:
            said = {"assistant": "earlier answers", "tool": "what tools answered"}
            raise InvalidRequest(
                f"the chat template of {self._spec.name} leaves out "
                f"{said.get(lost[0], 'all but the last question')}",
                hint="give its entry in models.toml a chat_template that shows them",
                parameter="messages",
            )

    @cached_property
    def _left_out(self) -> frozenset[str]:
        return self._chat_template.leaves_out(self._special)

    @cached_property
    def _takes_texts(self) -> bool:
        return self._chat_template.takes_texts(self._special)

    @cached_property
    def _shows_one_call(self) -> bool:
        return self._chat_template.shows_one_call(self._special)

    @cached_property
    def _system_refusal(self) -> str:
        return self._chat_template.system_refusal(self._special)

    @property
    def _special(self) -> Mapping[str, str]:
        return self.tokenizer.special_tokens

    def _prompt(self, request: GenerationRequest, *, closed: bool) -> tuple[Written, bool]:
        """The text of a request; and whether it ends within a thought.

        Args:
            closed: an answer begins behind it, and no thought, unless one is asked for.
        """
        if request.prompt_tokens:
            raise InvalidRequest("labels are scored after a text, not after token ids")
        if request.prompt is not None:
            given = Written(request.prompt, bytes(len(request.prompt)))
            return given.more(request.answer_start), False
        tools, turns = request.tools, request.messages
        if (tools or tool_calls.are_in(turns)) and self.tool_mode == "fallback":
            tools, turns = (), tool_calls.as_text(turns, tools)
        messages = self._conversation(self._chat_template.with_calls_written(turns))
        asked = self._asked(request)
        # What has to be an answer from its first token on is none within a thought.
        # What a model thought and is to go on from has the tags of it.
        thinks = bool(reasoning.tags_in(request.answer_start))
        closed = not thinks and (closed or asked == OFF)
        variables = {
            **self._thoughts.variables(asked or (OFF if closed else "")),
            **self._told(request.template_variables),
        }
        prompt = self._chat_template.write(
            messages,
            special=self._special,
            control=self.control_pattern,
            tools=tools,
            variables=variables,
            texts=tool_calls.are_in(turns) and self._takes_texts,
        )
        if request.thinks_first:
            return prompt.more(self._tags(variables).opening, TEMPLATE), True
        if closed and not request.answer_start.startswith(_CHANNEL):
            prompt = prompt.more(self._closing(variables), TEMPLATE)
        prompt = _begun(prompt, request)
        return prompt, reasoning.opens(prompt.text, messages, request.answer_start)

    def _asked(self, request: GenerationRequest) -> str:
        """How much is to be thought, by the request or else by the entry."""
        return request.reasoning or self._spec.reasoning

    def _tags(self, variables: Mapping[str, object]) -> ThoughtTags:
        """What stands around a thought.

        Raises:
            InvalidRequest: the chat template tells of none.
        """
        tags = self._thoughts.tags(variables)
        if tags is None:
            raise InvalidRequest(
                f"the chat template of {self._spec.name} knows of no thought that tags end, behind "
                "which an answer of a given form could stand",
                parameter="reasoning_effort",
            )
        return tags

    def thought_rules(self, request: GenerationRequest, *, opened: bool) -> ThoughtRules | None:
        """What holds for what the model thinks; None: nothing does.

        Args:
            opened: the prompt ends within a thought.

        Raises:
            InvalidRequest: as `render`.
        """
        budget = request.thinking_budget or self._spec.thinking_budget or None
        if not request.messages or not (request.thinks_first or budget):
            return None
        if request.constraint is not None and not request.thinks_first:
            return None
        tags = self._tags_asked(self._asked(request), request.template_variables)
        if tags is None:
            return None  # What thinks nothing keeps every budget.
        rules = ThoughtRules(tags, self._prompts.continued, opened=opened, budget=budget)
        return _first(rules, _begun(Written("", b""), request)) if request.thinks_first else rules

    def _tags_asked(self, asked: str, told: str) -> ThoughtTags | None:
        """Of the last requests, since a template is rendered to find them."""
        if (asked, told) not in self._known_tags:
            if len(self._known_tags) >= _REMEMBERED_TAGS:
                self._known_tags.clear()
            given = {**self._thoughts.variables(asked), **self._told(told)}
            self._known_tags[asked, told] = self._thoughts.tags(given)
        return self._known_tags[asked, told]

    def own_thought(self) -> ThoughtTags | None:
        """What stands around the thought that the model writes when it is asked to think; None: its
        chat template knows of none, or its entry leaves it out."""
        return self._own_thought

    @cached_property
    def _own_thought(self) -> ThoughtTags | None:
        if self.template_source is None or self._spec.reasoning == OFF:
            return None
        try:
            return self._thoughts.tags(self._thoughts.variables(self._spec.reasoning or ON))
        except (ConfigError, InvalidRequest):
            return None

    def _told(self, variables: str) -> Mapping[str, object]:
        """What a request gives the chat template beside the conversation.

        Raises:
            InvalidRequest: the template does not read it.
        """
        told = json.loads(variables) if variables else {}
        known = self._chat_template.variables - self._special.keys()
        if unknown := sorted(told.keys() - known):
            raise InvalidRequest(
                f"the chat template of {self._spec.name} does not read {', '.join(unknown)}",
                parameter="chat_template_kwargs",
            )
        return cast(Mapping[str, object], told)

    def _closing(self, variables: Mapping[str, object]) -> str:
        """What is put behind a prompt so that an answer begins there, and no thought.

        Raises:
            InvalidRequest: the vocabulary has no token that ends the thought.
        """
        text, tag = self._thoughts.closing(variables)
        if tag and self._token(tag) is None:
            raise InvalidRequest(
                f"it would stand inside a thought: the chat template of {self._spec.name} begins "
                f"every answer with a thought, and "
                f"{tag}, which would end it, is no token of the model",
                hint="give its entry a chat_template that begins none",
            )
        return text

    @cached_property
    def _thoughts(self) -> Thoughts:
        return Thoughts(self._chat_template, self._special)

    @cached_property
    def control_pattern(self) -> re.Pattern[str] | None:
        """Matches what would be read as a control token. The entry's chat template may write more
        of them than the model's own does."""
        known, template = self.tokenizer.control_pattern, self.template_source or ""
        if not template or template in self.tokenizer.chat_templates.values():
            return known
        more = pattern_of(written_in(template, self.tokenizer.defined_tokens))
        if known is None or more is None:
            return known or more
        return re.compile(f"{more.pattern}|{known.pattern}")

    @cached_property
    def _prompts(self) -> PromptReader:
        return PromptReader(self.tokenizer, self.control_pattern)

    @cached_property
    def _chat_template(self) -> chat_template.ChatTemplate:
        if self.template_source is None and (named := ", ".join(self.tokenizer.chat_templates)):
            raise NoChatTemplate(
                f"model {self._spec.name} has the chat templates {named}, and none is the default",
                hint='chat_template = "NAME" in its entry chooses one',
            )
        if self.template_source is None:
            raise NoChatTemplate(
                f"model {self._spec.name} has no chat template: {self.tokenizer.path.name} is a "
                "base model, or its conversion lost the template",
                hint='send a raw prompt, or give its entry in models.toml chat_template = "plain" '
                "or the path of a Jinja file",
            )
        return chat_template.ChatTemplate(self.template_source, now=self.now)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        ends = {*self.tokenizer.end_tokens, *self.turn_ends.values()}
        stops = set(ends)
        if self._spec.end_of_turn:
            stops |= set(self.tokenizer.tokens_beginning_with(self._spec.end_of_turn))
        piece = lru_cache(_MOST_PIECES)(self._piece)
        return Vocabulary(piece, frozenset(ends), np.array(sorted(stops), dtype=np.intp))

    def _piece(self, token: int) -> bytes:
        """What a token adds to an answer: a control token nothing, unless it parts a thought or a
        call from the rest."""
        return self.tokenizer.piece(token) or self._markup.get(token, b"")

    def mark(self, text: str) -> int | None:
        """The control token of a text that parts an answer and does not end it; None: there is
        none, so that the text is spelled."""
        token = self._token(text)
        if token is None or token in self.vocabulary.end_tokens:
            return None
        is_special = self.tokenizer.guidance_tokenizer.is_special_token(token)
        return token if is_special and self._piece(token) == text.encode() else None

    @cached_property
    def _markup(self) -> Mapping[int, bytes]:
        marks = syntax_named(self.call_syntax).marks if self.call_syntax else ()
        shown = dict.fromkeys((*markup_in(self.template_source or ""), *marks))
        found = {text: self._token(text) for text in shown}
        ends = {*self.tokenizer.end_tokens, *self.turn_ends.values()}
        return {i: text.encode() for text, i in found.items() if i is not None and i not in ends}

    def plain_tokens(self, text: str) -> list[int]:
        return self._prompts.plain(text)


def template_of(spec: ModelSpec, tokenizer: Tokenizer) -> str | None:
    """The Jinja text by which an entry's messages are rendered; None: there is none.

    Raises:
        ConfigError: the entry names one that the model does not have.
    """
    said = spec.chat_template
    if said == "plain":
        return chat_template.PLAIN
    if not said.startswith(NAMED):
        return said or tokenizer.chat_template
    name, known = said.removeprefix(NAMED), tokenizer.chat_templates
    if name not in known:
        has = f"has {', '.join(known)}" if known else "has none of its own"
        raise ConfigError(
            f'model {spec.name}: chat_template = "{name}" is neither a file nor one of the '
            f"model's templates: it {has}",
            hint='"plain", the name of one that it has, or the path of a Jinja file beside '
            "models.toml",
        )
    return known[name]


def _begun(prompt: Written, request: GenerationRequest) -> Written:
    """The prompt and how the answer begins, in which the tags of a thought are control tokens."""
    text, at = request.answer_start, 0
    origin = TEMPLATE if request.answer_markup else CALLER
    for start, end in reasoning.tags_in(text):
        prompt = prompt.more(text[at:start], origin).more(text[start:end], TEMPLATE)
        at = end
    return prompt.more(text[at:], origin)


def _first(rules: ThoughtRules, start: Written) -> ThoughtRules:
    """The rules for a thought behind which an answer begins so."""
    tags = rules.tags
    if not start.text.startswith(_CHANNEL) or _CHANNEL not in tags.tag:
        return replace(rules, first=True, start=start)
    # A channel stands in place of the one in which answers are told.
    tag = tags.tag.partition(_CHANNEL)[0] + start.text
    return replace(rules, first=True, tags=replace(tags, tag=tag, behind=""))


def _is_closed(request: GenerationRequest) -> bool:
    """Whether what is written has to be the answer from its first token on."""
    given = request.constraint is not None or bool(request.answer_start)
    return given and not request.thinks_first


def check_labels(labels: Sequence[str]) -> None:
    """Raises:
    InvalidRequest: there are none, one is empty, or two are equal.
    """
    if not labels:
        raise InvalidRequest("no labels to score", parameter="labels")
    if not all(labels):
        raise InvalidRequest("a label is empty", parameter="labels")
    if len(set(labels)) != len(labels):
        raise InvalidRequest("two labels are equal", parameter="labels")
