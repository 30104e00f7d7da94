"""`options`: how tokens are chosen and how many. Absent or null: the gateway's default, which is
temperature 0, seed 0 and no penalty, not Ollama's."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.core.types import SEED_LIMIT, Sampling
from gateway.core.whole import Whole
from gateway.server.ollama.unsupported import (
    NoMirostat,
    NotAModel,
    NoTypical,
    OfMirostat,
    OperatorsChoice,
)
from gateway.server.wire import MOST_STOPS, Text, Wire


def _no_zero(value: Any) -> Any:
    if type(value) is int and value == 0:
        raise ValueError("0 means no token to some and no limit to others; send -1 for no limit")
    return value


class Options(Wire):
    """Every option of Ollama's; those that cannot be honoured say so when they are sent."""

    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    seed: Annotated[Whole, Field(ge=0, lt=SEED_LIMIT)] | None = None
    top_k: Annotated[Whole, Field(ge=-1)] | None = None
    """0 and -1 keep all, which is the default."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    """As `Sampling.repetition_penalty`; 1 changes nothing, and is the default."""
    repeat_last_n: Annotated[Whole, Field(ge=-1)] | None = None
    """Where there is a penalty, only -1: penalties look at the whole prompt and answer."""
    penalize_newline: bool | None = None
    """Where there is a penalty, only true: it is a token like any other."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    num_predict: Annotated[
        Annotated[Whole, Field(ge=-2)] | None,
        BeforeValidator(_no_zero),
    ] = None
    """Most tokens of the answer. -1, -2 and absent: all that the prompt leaves of the context."""
    num_ctx: Annotated[Whole, Field(ge=0)] | None = None
    """Most tokens of prompt and answer together; the model's own context bounds it, and is meant by
    0."""
    stop: Annotated[list[Text], Field(max_length=MOST_STOPS)] | None = None

    mirostat: NoMirostat = None
    mirostat_tau: OfMirostat = None
    mirostat_eta: OfMirostat = None
    typical_p: NoTypical = None
    tfs_z: NoTypical = None
    num_keep: OperatorsChoice = None
    """Of a prompt that is cut, which none is."""
    numa: OperatorsChoice = None
    num_batch: OperatorsChoice = None
    num_gpu: OperatorsChoice = None
    main_gpu: OperatorsChoice = None
    num_thread: OperatorsChoice = None
    low_vram: OperatorsChoice = None
    f16_kv: OperatorsChoice = None
    use_mmap: OperatorsChoice = None
    use_mlock: OperatorsChoice = None
    logits_all: OperatorsChoice = None
    vocab_only: NotAModel = None
    embedding_only: NotAModel = None
    draft_num_predict: OperatorsChoice = None

    @model_validator(mode="after")
    def _penalties_are_of_all(self) -> Self:
        if not self._penalizes:
            return self
        if self.repeat_last_n not in (None, -1):
            raise ValueError("repeat_last_n: penalties look at the whole prompt and answer: -1")
        if self.penalize_newline is False:
            raise ValueError("penalize_newline: penalties are of every token: true")
        return self

    @property
    def _penalizes(self) -> bool:
        others = (self.presence_penalty, self.frequency_penalty)
        return self.repeat_penalty not in (None, 1) or any(others)

    def sampling(self) -> Sampling:
        """How tokens are chosen; how many there may be only the prompt's length tells."""
        return Sampling(
            temperature=self.temperature or 0.0,
            seed=self.seed or 0,
            max_tokens=1,
            stop=tuple(self.stop or ()),
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            repetition_penalty=1.0 if self.repeat_penalty is None else self.repeat_penalty,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
        )

    def context(self, available: int) -> int:
        """Tokens of context that a request may use.

        Args:
            available: tokens of the model's context, which no request makes larger.
        """
        return min(self.num_ctx or available, available)

    @property
    def most_tokens(self) -> int | None:
        """Of the answer; None: no limit but the context."""
        return self.num_predict if self.num_predict and self.num_predict > 0 else None
