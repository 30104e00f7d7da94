"""An answer of an Ollama server: its lines put together, and checked against what was asked."""

from gateway.backends.ollama import requests
from gateway.backends.ollama.requests import WireRequest
from gateway.backends.ollama.tokens import ServerReader
from gateway.backends.ollama.wire import Line, TokenEntry
from gateway.core.errors import BackendError, ContextOverflow, Unsupported
from gateway.core.types import (
    UNTOLD_TOKEN,
    Completion,
    Delta,
    FinishReason,
    Reasoning,
    Timings,
    TokenLogprob,
    Usage,
)
from gateway.models.reasoning import CLOSING, OPENING, part, tokens_in

_NS = 1e9


class Answer:
    """The lines of one generation as they come.

    Args:
        asked: what was sent.
        reader: knows the tokens.
        fingerprint: of the model that answers.
    """

    def __init__(self, asked: WireRequest, reader: ServerReader, fingerprint: str) -> None:
        self._asked = asked
        self._reader = reader
        self._fingerprint = fingerprint
        self.entries: list[TokenEntry] = []
        self._text = ""
        self._thought = ""
        self._thought_tokens = 0
        self._told = 0
        self._last: Line | None = None

    def add(self, line: Line) -> Delta | None:
        """Take a line; returns what of it can be passed on."""
        requests.check_line(line, self._asked.model, thinks=self._asked.thinks)
        written = self._written(line)
        self._text += line.text
        self._thought += line.thought
        self.entries += line.logprobs or ()
        self._thought_tokens += len(line.logprobs or ()) if line.thought and not line.text else 0
        self._last = line
        if self._asked.quoted or not written:
            return None
        fresh = self._logprobs(self._told)
        self._told = len(self.entries)
        return Delta(written, logprobs=fresh)

    def _written(self, line: Line) -> str:
        """What a line adds to the whole, in which tags stand around what was thought apart."""
        begins = OPENING if line.thought and not self._thought else ""
        ends = CLOSING if line.text and not self._text and (self._thought or line.thought) else ""
        return f"{begins}{line.thought}{ends}{line.text}"

    def _whole(self, said: str) -> str:
        """The thought within its tags, and what was said."""
        ends = CLOSING if said else ""
        return f"{OPENING}{self._thought}{ends}{said}" if self._thought else said

    def _reasoning(self, said: str) -> Reasoning | None:
        if self._thought:
            return Reasoning(self._thought.strip(), said.lstrip() if said else None)
        return part(said, opened=self._asked.thinking, only=self._asked.formed)

    def completion(self, retries: int = 0) -> Completion:
        """The whole answer, once its last line is there.

        Raises:
            ContextOverflow: prompt and limit do not fit, the server read less than was sent, or it
                stopped where its context ends.
            Unsupported: log-probabilities were asked for and it tells none.
            BackendError: it read more than was sent, or does not say how much.
        """
        last = self._last
        assert last is not None
        assert last.done
        self._check_prompt(last)
        self._check_length(last)
        reason: FinishReason = "length" if last.done_reason == "length" else "stop"
        ids = self._tokens(last)
        said = requests.unquoted(self._text) if self._asked.quoted else self._text
        return Completion(
            text=self._whole(said),
            token_ids=ids,
            finish_reason=reason,
            usage=Usage(last.prompt_eval_count, len(ids), self._tokens_of_thought(said)),
            fingerprint=self._fingerprint,
            logprobs=None if self._asked.alternatives is None else self._logprobs(0),
            timings=Timings(
                queue_s=last.load_duration / _NS,
                prefill_s=last.prompt_eval_duration / _NS,
                decode_s=last.eval_duration / _NS,
                retries=retries,
            ),
            reasoning=self._reasoning(said),
        )

    def _tokens_of_thought(self, said: str) -> int:
        """Those of a thought, as far as the server tells tokens."""
        if self._thought:
            return self._thought_tokens
        ends, data = [], b""
        for entry in self.entries:
            data += entry.data
            ends.append(len(data.decode("utf-8", "ignore")))
        return tokens_in(said, ends, opened=self._asked.thinking, only=self._asked.formed)

    def rest(self, completion: Completion) -> Delta:
        """The last piece: what was not passed on before, and the whole."""
        text = completion.text if self._asked.quoted else ""
        return Delta(text, completion, self._logprobs(self._told))

    def _tokens(self, last: Line) -> tuple[int, ...]:
        """Ids, of which a server that tells no log-probabilities tells only how many there are."""
        if self.entries or not (self._text or self._thought):
            return tuple(self._reader.token_of(entry.data) for entry in self.entries)
        if self._asked.alternatives is not None:
            raise Unsupported(
                "log-probabilities on this Ollama server", hint="0.12.11 is the first that has them"
            )
        return (UNTOLD_TOKEN,) * last.eval_count

    def _logprobs(self, start: int) -> tuple[TokenLogprob, ...]:
        if self._asked.alternatives is None:
            return ()
        return requests.logprobs_of(self.entries[start:], self._asked.alternatives, self._reader)

    def _check_prompt(self, last: Line) -> None:
        sent, read = self._asked.prompt_tokens, last.prompt_eval_count
        if not read:
            raise BackendError(f"{self._asked.model} on Ollama: no count of the prompt's tokens")
        if sent is not None and read < sent:
            raise ContextOverflow(sent, read, hint="the server cut the prompt")
        if sent is not None and read > sent:
            raise BackendError(
                f"{self._asked.model} on Ollama read {read} tokens where {sent} were sent: its "
                "tokenizer is not the one that it tells"
            )

    def _check_length(self, last: Line) -> None:
        """Prompt and limit must fit the context. On route "chat" only the answer tells how long the
        prompt was, and the server goes on past the context in silence, whatever `shift` says.

        An answer that ends for its length before its limit has met the end of the context.
        """
        limit, read = self._asked.max_tokens, last.prompt_eval_count
        if read + limit > self._asked.context_length:
            raise ContextOverflow(read + limit, self._asked.context_length)
        if last.done_reason == "length" and last.eval_count < limit:
            raise ContextOverflow(read + limit, read + last.eval_count)
