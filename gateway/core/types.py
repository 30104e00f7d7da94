"""The values that cross the backend seam. Frozen, standard library only.

A `GenerationRequest` goes in; a `Completion`, `Delta`s or `LabelScores` come out. Evaluation and
serving share everything here and differ only in where the request comes from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway.core.errors import InvalidRequest

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length"]
ConstraintKind = Literal["choices", "json_schema", "regex", "lark"]

Answer = str | float | Mapping[str, str]
"""What a parsed completion or a gold value is: a label, a number, or named fields."""

MAX_TOKENS_LIMIT = 1_000_000
SEED_LIMIT = 2**64
SAMPLE_LIMIT = 2**32
TOKEN_ID_LIMIT = 2**31
UNTOLD_TOKEN = -1
"""Stands for a token whose id a server does not tell: it names none, one of several with the same
bytes, or a part of a character."""

TaskKind = Literal["classification", "extraction", "number"]

Searching = Literal["auto", "full", "best"]
"""Whether all labels are finished, or "best": of many those alone that may be the best. "auto" is
"full", and leaves it to whoever says otherwise."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask the caller to run."""

    name: str
    description: str = ""
    parameters: str = "{}"
    """JSON schema of its arguments, as JSON text."""
    definition: str = field(default="", repr=False)
    """The whole as its caller wrote it, a JSON object: what a chat template is shown. Empty: it is
    made of the others."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to have a function run."""

    id: str
    name: str
    arguments: str
    """A JSON object, as text."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn: what it asked for."""
    tool_call_id: str = ""
    """Of a tool's turn: which call it answers."""
    reasoning: str = field(default="", repr=False)
    """Of an assistant's turn: what it thought before, without tags. Templates show or drop it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Every field is always sent; no server default is inherited.

    Raises:
        InvalidRequest: a field is not finite or outside the range given below.
    """

    temperature: float = 0.0
    """0 is a greedy argmax (lowest token id wins a tie), never a small positive number."""
    seed: int = 0
    """Key of the request's own random generator, 0 <= seed < 2**64; unused when greedy."""
    sample: int = 0
    """Which of several samples for one seed this is, 0 <= sample < 2**32: each has a generator of
    its own, so that the n-th answer is the same however many are asked for."""
    max_tokens: int = 256
    """Most tokens to generate, at least 1."""
    stop: tuple[str, ...] = ()
    """Generation ends before the first of these texts, which is not part of the answer."""
    top_p: float = 1.0
    """Nucleus mass, 0 < top_p <= 1 (Holtzman et al. 2020)."""
    top_k: int = 0
    """Keep only the k most likely tokens; 0 keeps all."""
    min_p: float = 0.0
    """Drop tokens less likely than min_p times the most likely one, 0 <= min_p < 1."""
    repetition_penalty: float = 1.0
    """Divides positive logits, and multiplies negative ones, of every token of the prompt and the
    answer so far; 0 < penalty <= 10, 1 changes nothing (Keskar et al. 2019)."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token of the answer so far, -2 to 2 (OpenAI API)."""
    frequency_penalty: float = 0.0
    """The same, once for each time that the token occurred, -2 to 2 (OpenAI API)."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, added to its logit), each token once, -100 to 100 (OpenAI API)."""

    def __post_init__(self) -> None:
        _require(0.0 <= self.temperature <= 100.0, "temperature", self.temperature, "0 to 100")
        _require(0 <= self.seed < SEED_LIMIT, "seed", self.seed, "0 to 2**64 - 1")
        _require(0 <= self.sample < SAMPLE_LIMIT, "sample", self.sample, "0 to 2**32 - 1")
        _require(
            1 <= self.max_tokens <= MAX_TOKENS_LIMIT, "max_tokens", self.max_tokens, "1 to 1000000"
        )
        _require(0.0 < self.top_p <= 1.0, "top_p", self.top_p, "above 0, at most 1")
        _require(0 <= self.top_k <= MAX_TOKENS_LIMIT, "top_k", self.top_k, "0 to 1000000")
        _require(0.0 <= self.min_p < 1.0, "min_p", self.min_p, "0 to below 1")
        penalty = self.repetition_penalty
        _require(0.0 < penalty <= 10.0, "repetition_penalty", penalty, "above 0, at most 10")
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            _require(-2.0 <= value <= 2.0, name, value, "-2 to 2")
        for token, bias in self.logit_bias:
            _require(-100.0 <= bias <= 100.0, "logit_bias", bias, "-100 to 100")
            _require(0 <= token < TOKEN_ID_LIMIT, "logit_bias", token, "ids of tokens")
        once = len({token for token, _ in self.logit_bias}) == len(self.logit_bias)
        _require(once, "logit_bias", self.logit_bias, "each token once")
        for text in self.stop:
            _require(text != "", "stop", text, "texts that are not empty")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a completion may be: one of `choices`, a JSON document of a schema, or a regex match."""

    kind: ConstraintKind
    value: tuple[str, ...] | str
    """`choices`: the texts. `json_schema`: the schema as JSON text. `regex`: the pattern."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One question to one model: `messages` (chat), `prompt` (raw text) or `prompt_tokens`.

    Raises:
        InvalidRequest: not exactly one of the three is given.
    """

    model: str
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    prompt_tokens: tuple[int, ...] = ()
    """The very ids to read; nothing is put before them."""
    tools: tuple[Tool, ...] = ()
    """Shown to the model by the chat template; only with `messages`."""
    answer_start: str = ""
    """Text with which the answer has already begun; the model goes on from it."""
    answer_markup: bool = False
    """Control tokens that `answer_start` spells are control tokens: the gateway wrote it."""
    sampling: Sampling = field(default_factory=Sampling)
    constraint: Constraint | None = None
    reasoning: str = ""
    """How much the model thinks before it answers: "off", "on" or a level such as "low". Empty: as
    its entry says, or else its chat template."""
    thinking_budget: int | None = None
    """Most tokens of what it thinks, the tags around it apart, 1 or more; then the thought is
    closed. None: as its entry says."""
    thinks_first: bool = False
    """`answer_start` and `constraint` hold for what stands behind a thought, which is written
    first. False: they hold from the first token on."""
    template_variables: str = ""
    """What the chat template is given beside the conversation: a JSON object, as text."""
    logprobs: int | None = None
    """None: no log-probabilities. k >= 0: those of each token and of the k best alternatives."""
    group: str = ""
    """Of what the request is about, such as a repository, for a model that has learned one thing of
    each. Empty: not known, or nobody asks."""

    def __post_init__(self) -> None:
        given = (bool(self.messages), self.prompt is not None, bool(self.prompt_tokens))
        if sum(given) != 1:
            raise InvalidRequest(
                "a request has either messages, a prompt or a prompt's tokens",
                hint="give exactly one of the three",
            )
        if self.tools and not self.messages:
            raise InvalidRequest("tools go with messages", parameter="tools")
        if self.logprobs is not None:
            _require(0 <= self.logprobs <= 1000, "logprobs", self.logprobs, "0 to 1000")
        if (most := self.thinking_budget) is not None:
            _require(1 <= most <= MAX_TOKENS_LIMIT, "thinking_budget", most, "1 to 1000000")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request; the same whatever was cached."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = field(default=0, compare=False)
    """Of the completion's, those of a thought, tags and spaces around it apart. It follows from
    text and tokens, so that it is not kept with them."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the seconds went. Measured, so never part of what is compared or replayed."""

    queue_s: float = 0.0
    """From submission until the request first took part in a forward pass."""
    prefill_s: float = 0.0
    decode_s: float = 0.0
    cached_tokens: int = 0
    """Prompt tokens that were already in memory and not computed again."""
    retries: int = 0
    """How many times a server had to be asked again before it answered."""

    @property
    def total_s(self) -> float:
        return self.queue_s + self.prefill_s + self.decode_s


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural log-probability of one generated token, from the full softmax before any mask."""

    token_id: int
    text: str
    logprob: float
    top: tuple[tuple[int, str, float], ...] = ()
    """The best alternatives: (token id, text, log-probability), most likely first."""
    allowed_logprob: float | None = None
    """Among what could be chosen: after penalties, bias and constraint, at temperature 1. None
    where the request has none of them, because it is then `logprob`."""
    allowed_top: tuple[tuple[int, str, float], ...] = ()
    """As `top`, of what could be chosen; fewer where fewer could. Empty as `allowed_logprob`."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought before its answer, parted from it."""

    text: str
    """The thought, without the tags around it."""
    answer: str | None
    """What stands behind the thought; None: the text ended within it."""
    before: str = ""
    """What was said before a thought that does not end; such a text has no `answer`."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished generation."""

    text: str
    """All that was written, a thought and its tags included: what a stream's pieces join to."""
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    fingerprint: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    timings: Timings = field(default_factory=Timings)
    reasoning: Reasoning | None = None
    """None: it wrote no thought."""

    @property
    def answer(self) -> str | None:
        """What is to be read as the answer; None: it is still to come, behind the thought."""
        return self.text if self.reasoning is None else self.reasoning.answer

    @property
    def said(self) -> str:
        """All that was told so far and is no thought, whether the answer is whole or not."""
        if self.reasoning is None:
            return self.text
        return self.reasoning.before if self.answer is None else self.answer


@dataclass(frozen=True, slots=True)
class Delta:
    """One piece of a streamed generation; the last one carries the whole `completion`."""

    text: str
    completion: Completion | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of the tokens since the piece before, where they were asked for; joined over all pieces they
    are the completion's."""


Length = Literal["", "tokens", "bytes"]
"""What a rule divides a label's log-probability by: nothing, its tokens, its bytes."""

EXACT_SHARE = 1e-6
"""A probability that is off by no more than this is exact: what is shown has six digits."""


@dataclass(frozen=True, slots=True)
class LabelSearch:
    """That labels need not all be finished, and what has to be certain of them all the same."""

    corrections: tuple[tuple[float, ...], ...]
    """For each rule that will read the scores, the nats that it subtracts from each label's
    log-probability, in the labels' order. By each of them the best label is certain."""
    tolerance: float = 1.0
    """By how much a label's probability among all labels may be off, by each of the rules. 1: by
    any, since only the best is asked for."""
    lengths: tuple[Length, ...] = ()
    """For each rule, what it divides a label's log-probability by; empty: nothing."""

    def __post_init__(self) -> None:
        _require(bool(self.corrections), "corrections", self.corrections, "one or more")
        rules = len(self.corrections)
        _require(len(self.lengths) in (0, rules), "lengths", self.lengths, f"none, or {rules}")
        _require(0.0 < self.tolerance <= 1.0, "tolerance", self.tolerance, "above 0, at most 1")

    def divisors(self, tokens: Sequence[int], sizes: Sequence[int]) -> tuple[Sequence[int], ...]:
        """For each rule, what it divides each label's log-probability by.

        Args:
            tokens, sizes: of each label, as `LabelScores.token_counts` and `byte_counts`.
        """
        known: dict[Length, Sequence[int]] = {
            "tokens": tokens,
            "bytes": sizes,
            "": [1] * len(tokens),
        }
        none: Length = ""
        return tuple(known[each] for each in self.lengths or (none,) * len(self.corrections))

    def check(self, labels: Sequence[str]) -> None:
        """Raise InvalidRequest where a correction is not of these labels, or not finite."""
        for row in self.corrections:
            fits = len(row) == len(labels) and all(map(math.isfinite, row))
            _require(fits, "corrections", row, f"{len(labels)} finite numbers a rule")


@dataclass(frozen=True, slots=True)
class LabelScores:
    """For each label, ln P(the model answers exactly this label and stops | prompt).

    All tuples have one entry per label, in the order asked.
    """

    labels: tuple[str, ...]
    logprobs: tuple[float, ...]
    """Sum over the label's tokens and the end of the turn, in nats."""
    token_counts: tuple[int, ...]
    """Tokens summed over, the end of the turn included."""
    byte_counts: tuple[int, ...]
    """UTF-8 length of each label."""
    tokens_evaluated: int
    """Tokens a computation without any cache forwards: the prompt once, the label trie once."""
    prompt_tokens: int
    exact: bool
    """False when a log-probability is a bound or an approximation, and a probability made of it may
    be off by more than `EXACT_SHARE`."""
    fingerprint: str
    timings: Timings = field(default_factory=Timings)
    bounds: tuple[bool, ...] = ()
    """Of which labels no more is known than that the log-probability is at most what stands there.
    Empty: of none."""
    unfinished: tuple[tuple[int, ...], ...] = ()
    """Labels, by their places, that were not finished, those with one beginning together: their
    probabilities sum to at most that of the beginning, which is the bound of each."""
    ending: float = 0.0
    """Mean log-probability of the end behind the labels that were finished. Those that were not are
    taken to end so, where more than a bound is wanted."""


def bounds_of(unfinished: Sequence[Sequence[int]], labels: int) -> tuple[bool, ...]:
    """`LabelScores.bounds` of a search; empty where all labels were finished."""
    places = {i for group in unfinished for i in group}
    return tuple(i in places for i in range(labels)) if places else ()


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector a text, shape (texts, dimensions)."""

    vectors: tuple[tuple[float, ...], ...]
    prompt_tokens: int
    fingerprint: str
    unit: bool = True
    """They have length 1, unless the model's entry says otherwise."""

    @property
    def width(self) -> int:
        """Dimensions of a vector."""
        return len(self.vectors[0])

    def cut(self, dimensions: int) -> "Embeddings":
        """The first dimensions of each, as models are trained for that know of it (Kusupati et al.
        2022, Matryoshka representation learning); unit vectors are scaled to length 1 again.

        Raises:
            InvalidRequest: the vectors have fewer.
        """
        if not 1 <= dimensions <= self.width:
            raise InvalidRequest(
                f"dimensions is {dimensions}; this model has {self.width}", parameter="dimensions"
            )
        if dimensions == self.width:
            return self
        heads = [vector[:dimensions] for vector in self.vectors]
        lengths = [math.hypot(*head) if self.unit else 1.0 for head in heads]
        scaled = (
            tuple(x / (length or 1.0) for x in head)
            for head, length in zip(heads, lengths, strict=True)
        )
        return replace(self, vectors=tuple(scaled))


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a reranker says of each document for one query, in the documents' order."""

    scores: tuple[float, ...]
    """As the model gives them, the higher the better: of most models the logit of relevance, of
    some a probability."""
    prompt_tokens: int
    fingerprint: str


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        holds = False
    if not holds:
        raise InvalidRequest(f"{name} is {value!r}; allowed: {allowed}", parameter=name)


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """The exact input of a request: what the model reads."""

    text: str
    token_ids: tuple[int, ...]
    thinking: bool = False
    """It ends within a thought that the chat template began."""


EmbeddingInput = str | Sequence[int]
"""A text, or the ids of its tokens."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """What went wrong in the engine of a loaded model; a request that was wrong is none of it."""

    count: int
    last: str
    """The last one's error."""
    down: bool
    """Whether it serves nobody now; the next request has it try again."""


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a loaded model takes, in bytes."""

    weights: int
    """Shared by every entry on the same file."""
    cache: int
    """Keys and values of all sequences, and states; prompts' beginnings are kept in it, and it
    never grows."""
    scratch: int
    """For the intermediate values of a forward pass."""
    where: str = ""
    """What lies on the processor and what on a card; empty: it is not in this process."""
    state: int = 0
    """Of the cache, the states of recurrent layers, which do not grow with the tokens."""
