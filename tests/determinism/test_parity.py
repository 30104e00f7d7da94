"""The same items through two models: what is equal, what differs, and what is not known."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.fake import FakeBackend, FakeSpec
from gateway.backends.llama_cpp.backend import LlamaCppBackend
from gateway.backends.pool import ModelPool
from gateway.core.digests import canonical_json
from gateway.core.errors import BackendUnavailable, ContextOverflow, UnknownModel, Unsupported
from gateway.core.types import Completion, GenerationRequest, LabelScores, RenderedRequest
from gateway.determinism.parity import Parity, parity, verdict
from gateway.evaluation.plan import RunOptions, prepare
from gateway.evaluation.run import Plan
from gateway.models.file import Models
from gateway.models.spec import ModelSpec, PathSource
from gateway.report.pages.parity import parity_json
from tests.conftest import ROOT
from tests.support.grids import prepared

ITEMS = 12


def spec(name: str) -> ModelSpec:
    return FakeSpec(name, PathSource(Path()), parallel=3)


A, B = spec("a"), spec("b")


class Reads(FakeBackend):
    """Reads the same tokens whatever it is asked."""

    def __init__(self, spec: ModelSpec, ids: Sequence[int]) -> None:
        super().__init__(spec)
        self.ids = tuple(ids)

    def render(self, request: GenerationRequest) -> RenderedRequest:
        return RenderedRequest(super().render(request).text, self.ids)


class Silent(FakeBackend):
    """Neither tells what it reads, nor the tokens it writes, nor scores."""

    def render(self, request: GenerationRequest) -> RenderedRequest:
        raise Unsupported("showing its input")

    async def generate(self, request: GenerationRequest) -> Completion:
        done = await FakeBackend(self.spec).generate(request)
        return replace(done, token_ids=())

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        raise Unsupported("label scores")


class Bounds(FakeBackend):
    """Knows no more than bounds of its labels."""

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        scores = await super().score_labels(request, labels)
        return replace(scores, exact=False, bounds=(True,) * len(labels))


class Scores(FakeBackend):
    """Adds to the log-probabilities; gives a bound for items in which a word occurs."""

    def __init__(self, spec: ModelSpec, *added: float, bound: str = "\0") -> None:
        super().__init__(spec)
        self.added = added
        self.bound = bound

    async def score_labels(self, request: GenerationRequest, labels: Sequence[str]) -> LabelScores:
        scores = await super().score_labels(request, labels)
        return replace(
            scores,
            logprobs=tuple(x + y for x, y in zip(scores.logprobs, self.added, strict=True)),
            exact=self.bound not in request.messages[-1].content,
        )


def pool_of(*backends: FakeBackend) -> ModelPool:
    known = {backend.spec.name: backend for backend in backends}
    specs = {name: backend.spec for name, backend in known.items()}
    return ModelPool(Models(specs, "a"), loader=lambda spec, path: known[spec.name])


def plan_of(root: Path, strategy: str = "scored") -> Plan:
    return replace(prepared(root, strategy).plan, models=("a", "b"))


def compared(plan: Plan, a: FakeBackend, b: FakeBackend, *, tokens: int = 20) -> Parity:
    return asyncio.run(parity(plan, pool_of(a, b), tokens=tokens))


def test_two_that_do_the_same_are_equal_in_everything(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), FakeBackend(A), FakeBackend(B))
    totals = made.totals
    assert made.holds
    assert made.differing == ("weights",)
    counts = (totals.asked, totals.compared, totals.inputs_equal, totals.texts_equal)
    assert counts == (ITEMS, ITEMS, ITEMS, ITEMS)
    assert (totals.labels_scored, totals.labels_agree, totals.exact) == (ITEMS, ITEMS, ITEMS)
    assert (totals.mean_difference, totals.max_difference) == (0.0, 0.0)
    assert totals.mean_agreeing_tokens == 20
    assert not any(item.differs for item in made.items)
    labels, bits, texts = verdict(made)
    assert "holds for the other on these items" in labels
    assert "last bit" in bits
    assert "all texts of up to 20 tokens" in texts


def test_other_tokens_are_other_questions_and_the_first_that_differs_is_kept(
    tmp_path: Path,
) -> None:
    made = compared(plan_of(tmp_path), Reads(A, b"a cat"), Reads(B, b"a dog"))
    assert not made.holds
    assert made.totals.inputs_different == ITEMS
    parting = made.items[0].parting
    assert parting is not None
    assert (parting.position, parting.token_ids) == (2, (ord("c"), ord("d")))
    assert parting.texts == ("c", "d")
    (said,) = verdict(made)
    assert said.startswith("They read different tokens on 12 of 12 items: they are not asked the")


@pytest.fixture(scope="module")
def one_item(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = plan_of(tmp_path_factory.mktemp("one"))
    return replace(plan, items=plan.items[:1])


@given(x=st.lists(st.integers(0, 255)), y=st.lists(st.integers(0, 255)))
def test_inputs_part_behind_their_longest_common_beginning(
    one_item: Plan, x: list[int], y: list[int]
) -> None:
    (item,) = compared(one_item, Reads(A, x), Reads(B, y)).items
    assert item.input_tokens == (len(x), len(y))
    assert (item.inputs == "equal") == (x == y) == (item.parting is None)
    if item.parting is not None:
        at = item.parting.position
        assert x[:at] == y[:at]
        assert item.parting.token_ids == tuple(ids[at] if at < len(ids) else None for ids in (x, y))


def test_a_token_that_is_no_text_is_still_named(tmp_path: Path) -> None:
    """The fake's vocabulary ends at 255, so that this token has no text that it can tell."""
    made = compared(plan_of(tmp_path), Reads(A, [7, 300]), Reads(B, [7]))
    parting = made.items[0].parting
    assert parting is not None
    assert (parting.token_ids, parting.texts) == ((300, None), (None, None))


def test_what_a_model_can_not_tell_is_unknown_and_not_equal(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), FakeBackend(A), Silent(B))
    totals = made.totals
    assert not made.holds
    assert (totals.inputs_equal, totals.inputs_different, totals.inputs_unknown) == (0, 0, ITEMS)
    assert (totals.texts_equal, totals.tokens_unknown) == (ITEMS, ITEMS)
    assert totals.mean_agreeing_tokens is None
    assert (totals.labels_scored, totals.mean_difference) == (0, None)
    reason = "this backend does not support showing its input"
    assert made.b.unread == tuple((item.item_id, reason) for item in made.items)
    assert len(made.b.unscored) == ITEMS
    assert (made.a.unread, made.a.unscored, made.b.failures) == ((), (), ())
    unknown, unscored, texts = verdict(made)
    assert unknown.startswith("What they read is not known on 12 of 12 items")
    assert unscored == "Both scored the labels of 0 of 12 items."
    assert texts.startswith("Whatever they read, all texts")


def test_texts_that_differ_agree_up_to_a_token(tmp_path: Path) -> None:
    a = FakeBackend(A, script=lambda _: "the cat sat")
    b = FakeBackend(B, script=lambda _: "the dog sat")
    made = compared(plan_of(tmp_path), a, b)
    assert not made.holds
    assert (made.totals.texts_equal, made.totals.mean_agreeing_tokens) == (0, 4)
    assert made.items[0].texts == ("the cat sat", "the dog sat")
    *_, texts = verdict(made)
    assert texts.startswith("Inputs are the same and texts differ on 12 of 12 items")
    assert compared(plan_of(tmp_path), a, b, tokens=4).holds


def test_labels_are_compared_by_the_best_and_by_each_difference(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    near = compared(plan, FakeBackend(A), Scores(B, -0.5, -0.25))
    assert near.totals.max_difference == pytest.approx(0.5)
    assert near.totals.mean_difference == pytest.approx(0.375)
    opposite = compared(plan, Scores(A, 50.0, 0.0), Scores(B, 0.0, 50.0))
    assert (opposite.totals.labels_scored, opposite.totals.labels_agree) == (ITEMS, 0)
    assert opposite.totals.labels_undecided == 0
    labels = opposite.items[0].labels
    assert labels is not None
    assert labels.best == ("yes", "no")
    said, _ = verdict(opposite)
    assert said.startswith("Inputs are the same and labels differ on 12 of 12 items")


def test_labels_of_which_only_bounds_are_known_neither_agree_nor_differ(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), FakeBackend(A), Bounds(B))
    assert not made.holds
    assert (made.totals.labels_undecided, made.totals.labels_agree) == (ITEMS, 0)
    assert not any(item.differs for item in made.items)
    said, _ = verdict(made)
    assert said.startswith("On 12 of 12 items one of them knows no more than bounds")


def test_labels_that_agree_with_other_scores_are_not_the_same_to_the_bit(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), FakeBackend(A), Scores(B, 1e-9, 1e-9))
    assert made.holds
    assert not any("last bit" in sentence for sentence in verdict(made))


def test_a_bound_is_counted_and_enters_no_difference(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), FakeBackend(A), Scores(B, 0.0, 0.0, bound="cedar"))
    assert (made.totals.not_exact, made.totals.exact) == ((0, 1), ITEMS - 1)
    assert made.totals.labels_scored == made.totals.labels_agree == ITEMS
    far = compared(plan_of(tmp_path), FakeBackend(A), Scores(B, -9.0, -9.0, bound=""))
    assert (far.totals.not_exact, far.totals.mean_difference) == ((0, ITEMS), None)
    assert not any("last bit" in sentence for sentence in verdict(far))


def test_an_item_that_one_did_not_answer_is_in_no_other_count(tmp_path: Path) -> None:
    def no_cedar(prompt: str) -> str:
        if "cedar" in prompt:
            raise ContextOverflow(9, 5)
        return "a text"

    a = FakeBackend(A, script=lambda _: "a text")
    made = compared(plan_of(tmp_path), a, FakeBackend(B, script=no_cedar))
    totals = made.totals
    assert not made.holds
    assert (totals.asked, totals.compared, totals.inputs_equal) == (ITEMS, ITEMS - 1, ITEMS - 1)
    ((item_id, reason),) = made.b.failures
    assert "needs 9 tokens" in reason
    assert item_id not in {item.item_id for item in made.items}
    assert made.a.failures == ()
    assert verdict(made)[0].startswith("1 of 12 items were not answered by both")


def test_where_nothing_was_answered_nothing_follows(tmp_path: Path) -> None:
    small = FakeBackend(replace(B, context_length=20))
    made = compared(plan_of(tmp_path), FakeBackend(A), small)
    assert not made.holds
    assert (made.totals.compared, made.totals.mean_agreeing_tokens) == (0, None)
    assert verdict(made) == ("No item was answered by both models: nothing follows.",)


def test_a_model_that_fails_ends_the_comparison(tmp_path: Path) -> None:
    def down(prompt: str) -> str:
        raise BackendUnavailable("it is down")

    with pytest.raises(BackendUnavailable, match="it is down"):
        compared(plan_of(tmp_path), FakeBackend(A), FakeBackend(B, script=down))


def test_a_name_that_is_unknown_is_an_error_before_anything_is_asked(tmp_path: Path) -> None:
    a = FakeBackend(A)
    with pytest.raises(UnknownModel, match="known: a"):
        asyncio.run(parity(plan_of(tmp_path), pool_of(a)))
    assert a.requests == 0


class Reversed(FakeBackend):
    """Whatever is asked first is answered last."""

    async def _work(self) -> None:
        self.requests += 1
        for _ in range(200 // self.requests):
            await asyncio.sleep(0)


def test_results_are_in_the_order_of_the_data_whoever_answers_first(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    made = compared(plan, Reversed(A), FakeBackend(B))
    assert [item.item_id for item in made.items] == [item.id for item in plan.items]
    assert made.holds


def test_one_model_is_in_memory_at_a_time(tmp_path: Path) -> None:
    pool = pool_of(FakeBackend(A), FakeBackend(B))
    loaded: list[tuple[str, ...]] = []
    asyncio.run(parity(plan_of(tmp_path), pool, on_done=lambda: loaded.append(tuple(pool.loaded))))
    assert loaded == [("a",)] * ITEMS + [("b",)] * ITEMS


def test_labels_are_scored_after_the_reasoning_and_texts_are_of_the_prompt_before_it(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, "reasoned")
    other = FakeBackend(B, script=lambda _: "another thought")
    made = compared(plan, FakeBackend(A, script=lambda _: "a thought"), other)
    totals = made.totals
    assert totals.inputs_equal == ITEMS
    assert totals.texts_equal == 0
    # The labels' scores are of the whole text that they follow, so that other thoughts show.
    assert totals.max_difference is not None
    assert totals.max_difference > 0
    assert made.items[0].texts == ("a thought", "another thought")


def test_a_task_without_labels_is_compared_by_inputs_and_texts() -> None:
    plan = prepare(
        RunOptions(
            task="issue-fields",
            data=str(ROOT / "prompts" / "issue-fields" / "sample.csv"),
            models=("a", "b"),
            strategies=("zero_shot",),
            prompts=ROOT / "prompts",
            limit=2,
        )
    ).plan
    roomy = [FakeBackend(replace(each, context_length=65536)) for each in (A, B)]
    made = compared(plan, *roomy)
    assert made.holds
    assert (made.labels, made.items[0].labels) == ((), None)
    assert len(verdict(made)) == 1


def test_all_of_it_is_json(tmp_path: Path) -> None:
    made = compared(plan_of(tmp_path), Reads(A, b"a cat"), Reads(B, b"a dog"))
    said = json.loads(canonical_json(parity_json(made)))
    assert (said["holds"], said["totals"]["inputs_different"]) == (False, ITEMS)
    assert said["a"]["determinism"] == "unverified"
    assert said["items"][0]["parting"]["texts"] == ["c", "d"]


def issues(folder: Path, *models: str, limit: int) -> Plan:
    """The shipped task on real issue reports."""
    return prepare(
        RunOptions(
            task="issue-triage",
            data=str(folder / "test.csv"),
            models=models,
            strategies=("zero_shot",),
            prompts=ROOT / "prompts",
            limit=limit,
        )
    ).plan


def test_real_weights_under_two_names_are_the_same_to_the_last_bit(
    smollm2: LlamaCppBackend, issue_reports: Path
) -> None:
    twin = replace(smollm2.spec, name="twin")
    pool = ModelPool(Models({s.name: s for s in (smollm2.spec, twin)}, twin.name))
    plan = issues(issue_reports, smollm2.spec.name, "twin", limit=3)

    async def ask() -> Parity:
        try:
            return await parity(plan, pool, tokens=8)
        finally:
            await pool.close()

    made = asyncio.run(ask())
    assert made.holds
    assert made.a.fingerprint == made.b.fingerprint
    assert made.differing == ()
    totals = made.totals
    assert (totals.exact, totals.mean_difference, totals.max_difference) == (3, 0.0, 0.0)


def test_real_models_of_two_vocabularies_are_not_asked_the_same(
    smollm2: LlamaCppBackend, gemma: LlamaCppBackend, issue_reports: Path
) -> None:
    pool = ModelPool(Models({s.name: s for s in (smollm2.spec, gemma.spec)}, smollm2.spec.name))
    plan = issues(issue_reports, smollm2.spec.name, gemma.spec.name, limit=2)

    async def ask() -> Parity:
        try:
            return await parity(plan, pool, tokens=4)
        finally:
            await pool.close()

    made = asyncio.run(ask())
    assert not made.holds
    assert (made.totals.compared, made.totals.inputs_different) == (2, 2)
    assert made.totals.max_difference is not None
    assert made.totals.max_difference > 0
