"""The arithmetic of a comparison, its limits, and its words: numbers in, sentences out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from studio.export.verify.compare import Full, Listed, agreement, measured
from studio.export.verify.verdict import Case, verdict_on
from studio.export.verify.verification import (
    LEVELS,
    AnswerPair,
    Check,
    TokenMeasures,
    Verification,
    verification_from,
)

NEAR = TokenMeasures(300, 1.0, 0.001, 0.01, 3.0, 3.0)
CASE = Case("it.gguf", "llama.cpp", "Q4_K_M", "", NEAR, (), ())


def _distributions(seed: int, places: int = 5, vocabulary: int = 40):  # type: ignore[no-untyped-def]
    import torch

    torch.manual_seed(seed)
    return torch.log_softmax(3 * torch.randn(places, vocabulary), -1)


def _top(log_probabilities, count: int) -> Listed:  # type: ignore[no-untyped-def]
    values, ids = log_probabilities.topk(count, -1)
    return Listed(ids, values)


def test_divergence_agreement_and_perplexity_are_those_of_their_formulas() -> None:
    live, other = _distributions(1), _distributions(2)
    answer = [3, 1, 4, 1, 5]
    found = measured([(live, Full(other), answer)])
    kl = (live.exp() * (live - other)).sum(-1)
    assert found.mean_kl == pytest.approx(float(kl.mean()), rel=1e-5)
    assert found.highest_kl == pytest.approx(float(kl.max()), rel=1e-5)
    assert found.top1_agreement == float((live.argmax(-1) == other.argmax(-1)).float().mean())
    likely = [float(live[at, token]) for at, token in enumerate(answer)]
    assert found.live_perplexity == pytest.approx(math.exp(-sum(likely) / 5), rel=1e-5)
    assert found.tokens == 5 and not found.kl_is_lower_bound


def test_the_same_distributions_are_no_distance_apart() -> None:
    live = _distributions(3)
    for same in (Full(live), _top(live, 30)):
        found = measured([(live, same, [0] * 5)])
        assert found.mean_kl == pytest.approx(0, abs=1e-6) and found.top1_agreement == 1
        assert found.perplexity_rise == pytest.approx(0, abs=1e-5) or isinstance(same, Listed)


def test_listed_tokens_give_a_little_less_than_the_whole_divergence() -> None:
    live, other = _distributions(4), _distributions(5)
    whole = measured([(live, Full(other), [0] * 5)])
    parts = [measured([(live, _top(other, count), [0] * 5)]) for count in (5, 20, 39)]
    assert [one.mean_kl for one in parts] == sorted(one.mean_kl for one in parts)
    assert 0.9 * whole.mean_kl < parts[-1].mean_kl <= whole.mean_kl + 1e-5
    assert all(one.kl_is_lower_bound for one in parts)
    assert parts[0].top1_agreement == whole.top1_agreement


def test_rounding_in_a_programs_softmax_is_no_divergence() -> None:
    live = _distributions(6)
    found = measured([(live, Listed(_top(live, 38).ids, _top(live, 38).log_probabilities + 1e-4),
                       [0] * 5)])
    assert found.mean_kl < 1e-5


def test_a_padded_vocabulary_is_compared_where_both_have_tokens() -> None:
    import torch

    live = _distributions(7)
    padded = torch.cat([live, torch.full((5, 8), -30.0)], 1)
    assert measured([(live, Full(padded), [0] * 5)]).mean_kl == pytest.approx(0, abs=1e-5)
    assert measured([(live, _top(padded, 44), [0] * 5)]).mean_kl == pytest.approx(0, abs=1e-3)


def test_agreement_counts_tokens_up_to_the_first_difference() -> None:
    assert agreement([1, 2, 3, 4], [1, 2, 9, 4]) == 0.5
    assert agreement([1, 2], [1, 2, 3, 4]) == 0.5
    assert agreement([], []) == 1


def test_the_worse_the_numbers_the_lower_the_level() -> None:
    levels = [verdict_on(replace(CASE, measures=replace(NEAR, mean_kl=kl))).level
              for kl in (0.001, 0.03, 0.1, 0.9, 4.0)]
    assert levels == list(LEVELS)
    rises = [verdict_on(replace(CASE, measures=replace(NEAR, artifact_perplexity=3 * (1 + rise))))
             .level for rise in (-0.1, 0.04, 0.2, 1.0, 5.0)]
    assert rises == list(LEVELS)


def test_a_dear_rounding_is_warned_of_in_words() -> None:
    dear = replace(NEAR, mean_kl=0.8, top1_agreement=0.75, artifact_perplexity=4.5)
    [warning] = verdict_on(replace(CASE, measures=dear)).warnings
    assert "Q4_K_M costs too much" in warning and "every 4th token" in warning
    assert "q5_k_m" in warning
    some = verdict_on(replace(CASE, measures=replace(dear, mean_kl=0.2, top1_agreement=0.9,
                                                     artifact_perplexity=3.1)))
    assert some.level == "changed" and "costs something" in some.warnings[0]


def test_where_nothing_was_rounded_a_distance_is_a_mistake() -> None:
    far = replace(NEAR, mean_kl=0.2)
    verdict = verdict_on(replace(CASE, precision="", measures=far))
    assert verdict.level == "broken" and "not the weights of the run" in verdict.warnings[0]
    others = replace(NEAR, top1_agreement=0.8)
    assert verdict_on(replace(CASE, precision="", measures=others)).level == "broken"
    qlora = verdict_on(replace(CASE, precision="", live_precision="4bit", measures=far))
    assert qlora.level == "changed" and "trained over its base in 4bit" in qlora.warnings[0]


def test_answers_that_do_not_end_are_told() -> None:
    pair = AnswerPair("Hi", "Hello.", "Hello.\nuser", 0.5, live_ends=True, artifact_ends=False)
    [warning] = verdict_on(replace(CASE, answers=(pair, pair))).warnings
    assert "2 of 2 answers go on" in warning


def test_a_verification_comes_back_from_plain_values() -> None:
    pair = AnswerPair("Hi", "Hello.", "Hello.", 1.0, live_ends=True, artifact_ends=True)
    found = Verification(
        "it.gguf", "GGUF", "orders", "starter", "llama.cpp", "12 records.", "same", "As it should.",
        NEAR, (pair,), (Check("template", True, "Same tokens."),), ("Mind the gap.",), (), 3.0,
        {"torch": "2"})
    assert verification_from(found.to_dict()) == found
    assert found.answer_agreement == 1 and found.is_good
    assert not replace(found, checks=(Check("template", False, "Other."),)).is_good


def test_rounding_what_was_rounded_before_may_take_back_what_was_learned() -> None:
    from studio.export.shared_base import SharedBase
    from studio.export.verify.check import _notes

    starter = SharedBase("small", note="Its weights come from a 4-bit copy.")
    assert "take back" in _notes(CASE, starter)[0]
    for case, base in ((replace(CASE, precision=""), starter), (CASE, None),
                       (CASE, SharedBase("small"))):
        assert not any("take back" in note for note in _notes(case, base))
