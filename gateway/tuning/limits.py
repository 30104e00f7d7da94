"""How long an input may be, counted as exactly as is known: in a model's tokens or in characters,
of the whole conversation or of an item's text."""

from gateway.core.types import GenerationRequest
from gateway.engine.reader import Reader
from gateway.models.spec import ModelSpec
from gateway.tasks.similarity import text_of
from gateway.tasks.task import Item
from gateway.tuning.chats import ChatMaker
from gateway.tuning.checks.lengths import Length, LengthLimit, in_characters

UNKNOWN_MODEL = 4096
"""Tokens that an input may have where no model is named: the context of an entry that names
none."""

_END = 1
"""The token that ends an answer."""


def length_limit(
    maker: ChatMaker | None, model: tuple[ModelSpec, Reader] | None, most: int | None
) -> LengthLimit:
    """A limit on what is trained on.

    Args:
        maker: counts the conversation with its answer; None: an item's text alone.
        model: counts its tokens; None: characters are counted, four for a token.
        most: tokens; None: the context of the model's entry, or `UNKNOWN_MODEL`.
    """
    what = f"the conversation ({maker.template.strategy})" if maker else "an item's text"
    if model is None:
        limit = in_characters(most or UNKNOWN_MODEL)

        def characters(item: Item) -> Length:
            if maker is None:
                return limit.measure(item)
            return Length(sum(len(message.content) for message in maker.chat(item).messages))

        return LengthLimit(characters, limit.most, f"{limit.unit}, {what}")
    spec, reader = model

    def tokens(item: Item) -> Length:
        if maker is None:
            return Length(reader.count(text_of(item)))
        chat = maker.chat(item)
        *shown, answer = chat.messages
        request = GenerationRequest(spec.name, tuple(shown), answer_start=answer.content)
        return Length(len(reader.render(request).token_ids) + _END, chat.shortened)

    return LengthLimit(tokens, most or spec.context_length, f"tokens of {spec.name}, {what}")
