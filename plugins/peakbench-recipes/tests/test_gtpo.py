"""GTPO's functions against tables worked by hand from the formulas of arXiv:2508.03772."""

from __future__ import annotations

import math
import random

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'peakbench-recipes[train]'")

from peakbench_recipes.gtpo import (  # noqa: E402
    Quirks,
    conflict_runs,
    conflict_weights,
    group_advantages,
    gtpo_advantages,
    gtpo_statistics,
    row_entropy,
    structural_mask,
    structural_masks,
)


def rows(*answers):
    """Pad answers at their end; returns ids and mask."""
    width = max(map(len, answers))
    ids = torch.tensor([[*answer, *[0] * (width - len(answer))] for answer in answers])
    mask = torch.tensor([[1] * len(answer) + [0] * (width - len(answer)) for answer in answers])
    return ids, mask


def weights(answers, advantages, group=None, **options):
    ids, mask = rows(*answers)
    advantages = torch.tensor(advantages)
    runs = conflict_runs(ids, mask, advantages, group or len(answers))
    return conflict_weights(runs, mask, advantages, **options).tolist()


def test_shared_prefix_and_suffix():
    assert weights([[1, 2, 9, 4, 5], [1, 2, 8, 4, 5]], [1.0, -1.0]) == [[2, 2, 1, 2, 2], [0, 0, 1, 0, 0]]


def test_a_run_ends_at_the_first_token_without_conflict():
    # slot 2 is shared again, but lies behind a difference in both views
    assert weights([[9, 1, 2, 1, 7], [8, 1, 2, 1, 6]], [1.0, -1.0]) == [[1] * 5, [1] * 5]


def test_suffixes_of_unequal_lengths_are_aligned_at_their_ends():
    ids, mask = rows([1, 9, 9, 5], [2, 7, 5])
    runs = conflict_runs(ids, mask, torch.tensor([1.0, -1.0]), 2)
    assert runs.left.int().tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert runs.right.int().tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]


def test_an_answer_that_is_the_beginning_of_another():
    # left view: 1 2 conflict in both; the padding of the shorter one is no token. right view: 3 is not 2
    ids, mask = rows([1, 2, 3], [1, 2])
    runs = conflict_runs(ids, mask, torch.tensor([1.0, -1.0]), 2)
    assert runs.left.int().tolist() == [[1, 1, 0], [1, 1, 0]]
    assert not runs.right.any()


def test_a_padding_id_that_is_also_a_token():
    # id 0 is both padding and the last token of the first answer
    ids, mask = torch.tensor([[1, 0, 0], [1, 5, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    runs = conflict_runs(ids, mask, torch.tensor([1.0, -1.0]), 2)
    assert runs.left.int().tolist() == [[1, 0, 0], [1, 0, 0]]
    assert not runs.right.any()


@pytest.mark.parametrize("advantages", [[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [0.0, 1.0]])
def test_without_opposite_signs_there_is_no_conflict(advantages):
    assert weights([[1, 2], [1, 2]], advantages) == [[1, 1], [1, 1]]


def test_rows_of_advantage_zero_make_no_conflict_and_have_none():
    assert weights([[1, 2], [1, 2], [1, 3]], [1.0, 0.0, -1.0]) == [[2, 1], [1, 1], [0, 1]]


def test_an_advantage_that_is_a_rounding_error_is_zero():
    rewards = torch.tensor([0.1, 0.1, 0.1, 0.7, 0.7, 0.7])
    advantages = group_advantages(rewards, 3)
    assert advantages.abs().max() < 1e-6
    ids, mask = rows(*[[1, 2]] * 6)
    perturbed = advantages + torch.tensor([1e-8, -1e-8, 0, 0, 1e-8, -1e-8])
    assert not conflict_runs(ids, mask, perturbed, 3).either.any()


def test_groups_do_not_touch_each_other():
    answers = [[1, 2], [1, 3], [1, 2], [1, 3]]
    assert weights(answers, [1.0, 1.0, -1.0, -1.0], group=2) == [[1, 1]] * 4
    assert weights(answers, [1.0, -1.0, -1.0, 1.0], group=2) == [[2, 1], [0, 1], [0, 1], [2, 1]]


def test_several_answers_share_by_slot():
    # slot 0: 5 in all; slot 1: 6 in good a and bad b, 4 only in bad d (its run ends); slot 2: 7 in good c and none bad
    answers = [[5, 6, 1], [5, 6, 2], [5, 6, 3], [5, 4, 4]]
    assert weights(answers, [0.5, -0.5, 0.25, -0.25]) == [[2, 2, 1], [0, 0, 1], [2, 2, 1], [0, 1, 1]]


def reference_runs(answers, advantages):
    """The definition, token by token, for one group."""

    def run(sequences):
        result = []
        for sequence, own in zip(sequences, advantages, strict=True):
            length = 0
            for slot, token in enumerate(sequence):
                holders = [a for s, a in zip(sequences, advantages, strict=True) if slot < len(s) and s[slot] == token]
                if own == 0 or not (any(a > 0 for a in holders) and any(a < 0 for a in holders)):
                    break
                length += 1
            result.append(length)
        return result

    return run(answers), run([answer[::-1] for answer in answers])


def test_runs_agree_with_the_definition_on_random_groups():
    rng = random.Random(3)
    found = 0
    for _ in range(200):
        answers = [[rng.randrange(1, 3) for _ in range(rng.randrange(1, 7))] for _ in range(4)]
        advantages = [rng.choice([-0.5, 0.0, 0.5]) for _ in answers]
        ids, mask = rows(*answers)
        runs = conflict_runs(ids, mask, torch.tensor(advantages), 4)
        left, right = reference_runs(answers, advantages)
        assert runs.left.int().tolist() == [[int(t < n) for t in range(ids.shape[1])] for n in left]
        expected = [
            [int(len(a) - n <= t < len(a)) for t in range(ids.shape[1])] for a, n in zip(answers, right, strict=True)
        ]
        assert runs.right.int().tolist() == expected
        found += sum(left) + sum(right)
    assert found > 500


def test_entropy_shapes_and_filters():
    ids, mask = rows([1, 2], [1, 2], [1, 3])
    entropies = torch.tensor([[0.1, 0.1], [0.1, 0.1], [1.0, 1.0]])
    result = gtpo_advantages(ids, mask, torch.tensor([1.0, 0.0, -1.0]), entropies, 3)
    expected = torch.tensor([[1.98, 0.99], [-0.01, -0.01], [0.0, 0.0]])
    assert torch.allclose(result, expected)
    kept = gtpo_advantages(ids, mask, torch.tensor([1.0, 0.0, -1.0]), entropies, 3, h_max=None)
    assert torch.allclose(kept[2], torch.tensor([0.0, -1.1]))


def test_the_sign_of_lambda_is_that_of_the_raw_advantage():
    # entropy turns 0.01 into -0.04; the token keeps the weight of a good answer
    ids, mask = rows([1, 2], [1, 3])
    result = gtpo_advantages(ids, mask, torch.tensor([0.01, -0.01]), torch.full((2, 2), 0.5), 2)
    assert torch.allclose(result, torch.tensor([[-0.08, -0.04], [0.0, -0.06]]))


def test_the_threshold_itself_is_kept():
    ids, mask = rows([1], [2])
    entropies = torch.tensor([[0.5], [0.5]])
    assert gtpo_advantages(ids, mask, torch.tensor([1.0, -1.0]), entropies, 2, h_max=0.5, gamma=0.0).tolist() == [
        [1.0],
        [-1.0],
    ]


def test_entropy_over_values_and_its_fallback():
    entropies = torch.tensor([[0.0, 0.8, 0.0, 7.0], [0.3, 0.5, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
    values = torch.tensor([[False, True, False, True], [False, False, False, False]])
    assert row_entropy(entropies, mask).tolist() == pytest.approx([0.8 / 3, 0.4])
    assert row_entropy(entropies, mask, values).tolist() == pytest.approx([0.8, 0.4])


def test_the_scope_changes_weights_not_runs():
    ids, mask = rows([1, 2, 3], [1, 2, 4])
    scope = torch.tensor([[1, 0, 1], [1, 0, 1]])
    result = gtpo_advantages(ids, mask, torch.tensor([1.0, -1.0]), torch.zeros(2, 3), 2, conflict_scope_mask=scope)
    assert result.tolist() == [[2, 1, 1], [0, -1, -1]]


def test_a_group_of_equal_rewards_is_pushed_down_unless_skipped():
    ids, mask = rows([1, 2], [1, 2], [1, 3], [1, 4])
    advantages, entropies = torch.tensor([0.0, 0.0, 0.5, -0.5]), torch.full((4, 2), 0.5)
    options = {"ids": ids, "mask": mask, "advantages": advantages, "entropies": entropies, "group": 2}
    assert torch.allclose(gtpo_advantages(**options)[:2], torch.full((2, 2), -0.05))
    skipped = gtpo_advantages(**options, skip_flat=True)
    assert not skipped[:2].any()
    assert torch.equal(skipped[2:], gtpo_advantages(**options)[2:])


def test_quirks_one_by_one():
    ids, mask = rows([1, 2, 3], [1, 2, 3], [1, 5, 3])
    advantages, entropies = torch.tensor([1.0, -0.5, -0.5]), torch.zeros(3, 3)

    def first(**quirks):
        return gtpo_advantages(ids, mask, advantages, entropies, 3, quirks=Quirks(**quirks)).tolist()[0]

    assert first() == [2, 2, 2]
    assert first(overlap_multiplies=True) == [4, 4, 4]
    assert first(divide_by_run=True) == pytest.approx([2 / 3] * 3)
    assert first(sum_over_group=True) == [6, 6, 6]
    assert Quirks.authors() == Quirks(True, True, True)


def test_divide_by_run_takes_the_longer_run():
    ids, mask = rows([1, 2, 9, 4], [1, 2, 8, 4])  # F 2 tokens, B 1: the union has 3, the code divides by 2
    result = gtpo_advantages(
        ids, mask, torch.tensor([1.0, -1.0]), torch.zeros(2, 4), 2, quirks=Quirks(divide_by_run=True)
    )
    assert result.tolist() == [[1, 1, 0.5, 1], [0, 0, -0.5, 0]]


def test_low_entropy_means_confidence():
    # H >= -ln p_max (Renyi entropies fall with their order), so H < ln 2 means p_max > 1/2
    generator = torch.Generator().manual_seed(0)
    seen = 0
    for _ in range(2000):
        p = torch.softmax(torch.randn(30, generator=generator) * torch.rand((), generator=generator) * 12, 0).double()
        p = p / p.sum()
        entropy = float(-(p * p.clamp_min(1e-300).log()).sum())
        assert entropy >= -math.log(float(p.max())) - 1e-12
        if entropy < math.log(2):
            seen += 1
            assert p.max() > 0.5
    assert seen > 200


def test_group_advantages_scaled_as_grpo_does():
    rewards = torch.tensor([0.0, 1.0, 0.3, 0.3])
    expected = [-0.5 / (math.sqrt(0.5) + 1e-4), 0.5 / (math.sqrt(0.5) + 1e-4), 0.0, 0.0]
    assert group_advantages(rewards, 2, scale=True).tolist() == pytest.approx(expected)


def test_there_is_no_gradient_and_no_weight_past_the_end():
    ids, mask = rows([1, 2, 3], [1])
    entropies = torch.rand(2, 3, requires_grad=True)
    result = gtpo_advantages(ids, mask, torch.tensor([1.0, -1.0]), entropies, 2)
    assert not result.requires_grad
    assert result[1, 1:].tolist() == [0, 0]


def test_statistics():
    ids, mask = rows([1, 2, 9, 4], [1, 2, 8, 4], [5, 5, 5, 5], [5, 5, 5, 5])
    entropies = torch.tensor([[0.1] * 4, [0.1] * 4, [0.9] * 4, [0.1] * 4])
    found = gtpo_statistics(ids, mask, torch.tensor([1.0, -1.0, 0.0, 0.0]), entropies, 2)
    assert found == pytest.approx(
        {"conflict_share": 6 / 16, "silenced_share": 3 / 4, "dropped_share": 1 / 4, "entropy": 0.3, "flat_groups": 0.5}
    )


@pytest.mark.parametrize(
    ("ids", "mask", "advantages", "group", "message"),
    [
        (torch.ones(3, 2), torch.ones(3, 2), torch.ones(3), 2, "whole groups"),
        (torch.ones(2, 3), torch.ones(2, 2), torch.ones(2), 2, "do not fit"),
        (torch.ones(2, 3), torch.tensor([[1, 0, 1], [1, 1, 1]]), torch.ones(2), 2, "hole"),
        (torch.ones(2, 3), torch.tensor([[0, 1, 1], [1, 1, 1]]), torch.ones(2), 2, "padding"),
    ],
)
def test_wrong_shapes_are_refused(ids, mask, advantages, group, message):
    with pytest.raises(ValueError, match=message):
        conflict_runs(ids, mask, advantages, group)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["{", '"a"', ": ", "1", ', "b": ', '"x"', "}"], [1, 1, 1, 0, 1, 0, 1]),
        (['{"a": ["', "x", '", "', "y", '"]}'], [1, 0, 1, 0, 1]),
        (['{"a": {"b": ', "null", "}}"], [1, 0, 1]),
        (['{"a, b": "', "c: {", '"}'], [1, 0, 1]),  # marks inside of strings are no structure
        (['{"a\\"b": "', 'say \\"', '"}'], [1, 0, 1]),
        (["A ", "navy", " coat", "."], [0, 0, 0, 0]),
        (['{"a": "', "cut"], [1, 0]),
        (["}", "}", ""], [1, 1, 1]),
    ],
)
def test_structural_mask(pieces, expected):
    assert structural_mask(pieces) == [bool(x) for x in expected]


def test_structural_masks_stop_at_the_end_of_a_row():
    table = {0: "", 1: '{"a": ', 2: "null", 3: "}"}
    ids = torch.tensor([[1, 2, 3, 0], [2, 2, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert structural_masks(ids, mask, table.__getitem__).int().tolist() == [[1, 0, 1, 1], [0, 0, 0, 0]]
