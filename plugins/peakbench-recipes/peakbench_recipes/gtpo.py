"""Group-relative Trajectory-based Policy Optimization (GTPO) as pure functions of tensors.

Source: Simoni, Fontana, Rossolini, Saracino, Mori, "GTPO: Stabilizing Group Relative Policy Optimization via Gradient
and Entropy Control", arXiv:2508.03772, and the code the authors publish with it. For a group of G answers ``o_i`` to
one prompt, with rewards ``R_i``::

    A_i    = R_i - mean(R)                              not divided by the standard deviation
    S+     = {i: A_i > 0},  S- = {i: A_i < 0}           answers with A_i = 0 make no conflict and have none
    slot   = t from the first token (left view); |o_i| - 1 - t from the last one (right view)
    a token of an answer in S+ or S- conflicts, in a view, where the same token stands at that slot in an answer of S+
    and in an answer of S-
    F_i    = the unbroken run of conflicting tokens from the first token on; B_i = from the last token backwards
    lambda = 1 outside F_i and B_i; inside: 0 in S- (what good answers share is not penalised), 2 in S+
    H_i    = mean over the tokens of the policy's entropy (nats, whole vocabulary, no gradient)
    A'_i   = A_i - gamma H_i where H_i <= ln 2, else 0
    L      = -(1/G) sum_i (1/|o_i|) sum_t r_it lambda_it A'_i,   r_it = pi(o_it) / stopgrad(pi(o_it))

There is no clipping, no KL term and no reference model. ``ln 2`` bounds the confidence from below: H >= -ln p_max for
every distribution, so H < ln 2 means p_max > 1/2.

``gtpo_advantages`` returns ``lambda_it A'_i`` for every token: what a GRPO loss takes in place of its advantages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

ConflictScope = Literal["all", "structure"]
EntropyOver = Literal["all", "values"]

LN2 = math.log(2.0)


@dataclass(frozen=True, slots=True)
class Quirks:
    """Where the authors' code does something else than the formulas; all off by default.

    ``overlap_multiplies``: a token in both runs of a good answer counts 2 x 2 = 4 times, not twice (in short answers of
    one layout the runs often overlap). ``divide_by_run``: the loss of an answer is divided by the length of the longer
    of its two runs, at least 1 (the code counts the union of both, but the right run in reversed order, where both
    begin at slot 0). ``sum_over_group``: the loss of a group is summed over its answers, not averaged. The entropy
    threshold of that code, 0.7 in place of ln 2, is ``h_max``.
    """

    overlap_multiplies: bool = False
    divide_by_run: bool = False
    sum_over_group: bool = False

    @classmethod
    def authors(cls) -> Quirks:
        """All of them on, as the published code runs (together with ``h_max=0.7``)."""
        return cls(overlap_multiplies=True, divide_by_run=True, sum_over_group=True)


NO_QUIRKS = Quirks()


@dataclass(frozen=True, slots=True)
class Conflicts:
    """The runs of conflicting tokens: boolean tensors of shape (answers, tokens), in the order of the tokens."""

    left: torch.Tensor
    right: torch.Tensor

    @property
    def either(self) -> torch.Tensor:
        """Tokens in F or in B."""
        return self.left | self.right


def group_advantages(rewards: torch.Tensor, group: int, *, scale: bool = False) -> torch.Tensor:
    """Return each reward less the mean of its group; ``scale`` divides by the group's standard deviation (GRPO).

    Args:
        rewards: shape (answers,), the answers of one prompt in a row.
        group: answers a prompt.
        scale: divide by the sample standard deviation of the group + 1e-4.

    >>> group_advantages(torch.tensor([1.0, 0.0, 0.5, 0.5]), 2).tolist()
    [0.5, -0.5, 0.0, 0.0]
    """
    grouped = _grouped(rewards, group)
    centred = grouped - grouped.mean(1, keepdim=True)
    if scale:
        centred = centred / (grouped.std(1, keepdim=True) + 1e-4)
    return centred.reshape(-1)


def conflict_runs(
    ids: torch.Tensor, mask: torch.Tensor, advantages: torch.Tensor, group: int, *, tolerance: float = 1e-6
) -> Conflicts:
    """Find the runs of conflicting tokens from both ends of every answer.

    Args:
        ids: token ids, shape (answers, tokens), answers aligned at their first token.
        mask: 1 where an answer has a token (its end-of-sequence token among them); ones, then zeros.
        advantages: A, shape (answers,).
        group: answers a prompt; the answers of a prompt stand in a row.
        tolerance: an advantage no larger counts as zero: the mean of equal rewards is not always equal to them.

    Raises:
        ValueError: the shapes do not fit, or a mask has a hole.

    >>> ids = torch.tensor([[1, 2, 9, 4], [1, 2, 8, 4]])
    >>> runs = conflict_runs(ids, torch.ones_like(ids), torch.tensor([0.5, -0.5]), 2)
    >>> runs.left.int().tolist(), runs.right.int().tolist()
    ([[1, 1, 0, 0], [1, 1, 0, 0]], [[0, 0, 0, 1], [0, 0, 0, 1]])
    """
    present = _checked_mask(ids, mask, advantages)
    slots = torch.arange(ids.shape[1], device=ids.device)
    backwards = present.sum(1, keepdim=True) - 1 - slots  # its own inverse: the slot in the other view
    index = backwards.clamp(min=0)
    left = _runs(ids, present, advantages, group, tolerance)
    right = _runs(ids.gather(1, index), backwards >= 0, advantages, group, tolerance)
    return Conflicts(left & present, right.gather(1, index) & present)


def conflict_weights(
    runs: Conflicts,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    *,
    positive: float = 2.0,
    scope_mask: torch.Tensor | None = None,
    overlap_multiplies: bool = False,
) -> torch.Tensor:
    """Return lambda: 1 outside the runs, inside 0 for bad answers and ``positive`` for good ones; 0 past the end.

    ``scope_mask`` (answers, tokens): only there do runs change a weight, the runs themselves stay as they are.

    >>> ids = torch.tensor([[1, 2, 9], [1, 2, 8]])
    >>> A = torch.tensor([0.5, -0.5])
    >>> conflict_weights(conflict_runs(ids, torch.ones_like(ids), A, 2), torch.ones_like(ids), A).tolist()
    [[2.0, 2.0, 1.0], [0.0, 0.0, 1.0]]
    """
    left, right = runs.left, runs.right
    if scope_mask is not None:
        left, right = left & scope_mask.bool(), right & scope_mask.bool()
    one = torch.ones(left.shape, dtype=advantages.dtype, device=left.device)
    raised = torch.where(left | right, positive, one)
    if overlap_multiplies:
        raised = torch.where(left & right, positive * positive, raised)
    inside = torch.where(advantages[:, None] > 0, raised, torch.zeros_like(one))
    return torch.where(left | right, inside, one) * mask


def row_entropy(entropies: torch.Tensor, mask: torch.Tensor, values: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean entropy of each answer, over ``values`` alone if given and the answer has any.

    >>> H = torch.tensor([[0.2, 0.4, 9.0]])
    >>> [round(x, 3) for x in row_entropy(H, torch.tensor([[1, 1, 0]])).tolist()]
    [0.3]
    """
    present = mask.to(entropies.dtype)
    if values is not None:
        chosen = present * values
        present = torch.where(chosen.any(1, keepdim=True), chosen, present)
    return (entropies * present).sum(1) / present.sum(1).clamp(min=1)


def gtpo_advantages(
    ids: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    entropies: torch.Tensor,
    group: int,
    *,
    gamma: float = 0.1,
    h_max: float | None = LN2,
    positive: float = 2.0,
    conflict_scope_mask: torch.Tensor | None = None,
    entropy_mask: torch.Tensor | None = None,
    quirks: Quirks = NO_QUIRKS,
    skip_flat: bool = False,
    tolerance: float = 1e-6,
) -> torch.Tensor:
    """Return ``lambda_it A'_i`` for every token, shape (answers, tokens), without gradient; 0 past the end.

    A group of equal rewards still has ``A'_i = -gamma H_i``: every answer to a prompt that is solved is made a little
    less likely. ``skip_flat`` leaves such groups out.

    Args:
        ids: token ids, shape (answers, tokens); whole groups, the answers of a prompt in a row.
        mask: 1 where an answer has a token; ones, then zeros.
        advantages: rewards less the mean of their group (``group_advantages``), shape (answers,).
        entropies: the policy's entropy at each token in nats, shape (answers, tokens).
        group: answers a prompt.
        gamma: weight of the entropy in the advantage.
        h_max: answers of a higher entropy get weight 0; None keeps all.
        positive: weight of a conflicting token of a good answer.
        conflict_scope_mask: where conflicts count (conflict_scope "structure"); None for everywhere.
        entropy_mask: tokens over which the entropy is averaged (entropy_over "values"); None for all.
        quirks: what the authors' code does differently.
        skip_flat: groups whose rewards are all equal get weight 0 (not so in the paper).
        tolerance: an advantage no larger counts as zero.

    >>> ids = torch.tensor([[1, 2, 9, 4], [1, 2, 8, 4]])
    >>> ones = torch.ones_like(ids)
    >>> gtpo_advantages(ids, ones, torch.tensor([0.5, -0.5]), 0.0 * ones, 2).tolist()
    [[1.0, 1.0, 0.5, 1.0], [-0.0, -0.0, -0.5, -0.0]]
    """
    with torch.no_grad():
        runs = conflict_runs(ids, mask, advantages, group, tolerance=tolerance)
        weights = conflict_weights(
            runs,
            mask,
            advantages,
            positive=positive,
            scope_mask=conflict_scope_mask,
            overlap_multiplies=quirks.overlap_multiplies,
        )
        entropy = row_entropy(entropies, mask, entropy_mask)
        shaped = advantages - gamma * entropy
        if h_max is not None:
            shaped = torch.where(entropy <= h_max, shaped, torch.zeros_like(shaped))
        if skip_flat:
            flat = (_grouped(advantages, group).abs() <= tolerance).all(1)
            shaped = torch.where(flat.repeat_interleave(group), torch.zeros_like(shaped), shaped)
        if quirks.divide_by_run:
            shaped = shaped / torch.maximum(runs.left.sum(1), runs.right.sum(1)).clamp(min=1)
        if quirks.sum_over_group:
            shaped = shaped * group
        return shaped[:, None] * weights


def gtpo_statistics(
    ids: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    entropies: torch.Tensor,
    group: int,
    *,
    h_max: float | None = LN2,
    conflict_scope_mask: torch.Tensor | None = None,
    entropy_mask: torch.Tensor | None = None,
    tolerance: float = 1e-6,
) -> dict[str, float]:
    """Return what a step did, for its log.

    ``conflict_share``: tokens whose weight a conflict changes. ``silenced_share``: of the tokens of bad answers, those
    of weight 0 for a conflict. ``dropped_share``: answers over the entropy threshold. ``entropy``: mean over answers.
    ``flat_groups``: groups whose rewards are all equal.
    """
    runs = conflict_runs(ids, mask, advantages, group, tolerance=tolerance)
    inside = runs.either if conflict_scope_mask is None else runs.either & conflict_scope_mask.bool()
    entropy = row_entropy(entropies, mask, entropy_mask)
    bad = mask.bool() & (advantages < -tolerance)[:, None]
    dropped = entropy > h_max if h_max is not None else torch.zeros_like(entropy)
    flat = (_grouped(advantages, group).abs() <= tolerance).all(1)
    return {
        "conflict_share": float(inside.sum() / mask.sum().clamp(min=1)),
        "silenced_share": float((inside & bad).sum() / bad.sum().clamp(min=1)),
        "dropped_share": float(dropped.float().mean()),
        "entropy": float(entropy.mean()),
        "flat_groups": float(flat.float().mean()),
    }


def structural_mask(pieces: Sequence[str]) -> list[bool]:
    """Tell for each piece of a JSON text whether it is structure alone: no character of a value in it.

    Structure: braces, brackets, colons, commas, white space, keys with their quotes, and the quotes around string
    values. Text that is no JSON is read as far as it looks like it; what stands outside of objects is a value. A piece
    without text (the end of the sequence) is structure.

    >>> structural_mask(['{"type": "', "coat", '", "size": ', "null", "}", ""])
    [True, False, True, False, True, True]
    """
    scanner = _Scanner()
    result = []
    for piece in pieces:
        characters = [scanner.structural(character) for character in piece]  # the scanner has to see them all
        result.append(all(characters))
    return result


def structural_masks(ids: torch.Tensor, mask: torch.Tensor, piece: Callable[[int], str]) -> torch.Tensor:
    """Return ``structural_mask`` of every answer, shape (answers, tokens); ``piece`` gives the text of a token id.

    >>> table = {5: '{"size": "', 6: "xl", 7: '"}'}
    >>> structural_masks(torch.tensor([[5, 6, 7, 0]]), torch.tensor([[1, 1, 1, 0]]), table.__getitem__).tolist()
    [[True, False, True, False]]
    """
    result = torch.zeros(ids.shape, dtype=torch.bool)
    lengths = mask.sum(1).tolist()
    for row, (tokens, length) in enumerate(zip(ids.tolist(), lengths, strict=True)):
        result[row, :length] = torch.tensor(structural_mask([piece(token) for token in tokens[:length]]))
    return result.to(ids.device)


class _Scanner:
    """Reads JSON character by character and never fails."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._key = False  # the next string is a key
        self._string: Literal["", "key", "value"] = ""
        self._escaped = False

    def structural(self, character: str) -> bool:
        """Take the next character: is it structure?"""
        if self._string:
            return self._inside_string(character)
        if character == '"':
            self._string = "key" if self._key else "value"
        elif character in "{[":
            self._open.append(character)
            self._key = character == "{"
        elif character in "}]":
            if self._open:
                self._open.pop()
            self._key = False
        elif character == ":":
            self._key = False
        elif character == ",":
            self._key = bool(self._open) and self._open[-1] == "{"
        elif not character.isspace():
            return False
        return bool(self._open) or character in '}] \n\t\r"'

    def _inside_string(self, character: str) -> bool:
        is_key = self._string == "key"
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._string = ""
            return True
        return is_key


def _grouped(rows: torch.Tensor, group: int) -> torch.Tensor:
    if group < 1 or rows.shape[0] % group:
        raise ValueError(f"{rows.shape[0]} answers are no whole groups of {group}; give whole groups to one process")
    return rows.reshape(-1, group, *rows.shape[1:])


def _checked_mask(ids: torch.Tensor, mask: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    if ids.dim() != 2 or mask.shape != ids.shape or advantages.shape != ids.shape[:1]:
        raise ValueError(
            f"ids {tuple(ids.shape)}, mask {tuple(mask.shape)} and advantages {tuple(advantages.shape)} do not fit: "
            "expected (answers, tokens) twice and (answers,)"
        )
    present = mask.bool()
    if bool((present[:, 1:] & ~present[:, :-1]).any()):
        raise ValueError("a mask has a hole or begins with padding: expected ones, then zeros, in every row")
    return present


def _runs(
    ids: torch.Tensor, present: torch.Tensor, advantages: torch.Tensor, group: int, tolerance: float
) -> torch.Tensor:
    """Return the unbroken runs of conflicting tokens from slot 0 on, shape (answers, tokens)."""
    tokens, there, advantage = _grouped(ids, group), _grouped(present, group), _grouped(advantages, group)
    good, bad = advantage > tolerance, advantage < -tolerance
    same = (tokens[:, :, None] == tokens[:, None]) & there[:, None]  # (prompts, answers, other answers, slots)
    in_good = (same & good[:, None, :, None]).any(2)
    in_bad = (same & bad[:, None, :, None]).any(2)
    conflict = in_good & in_bad & there & (good | bad)[:, :, None]
    return conflict.int().cumprod(2).bool().reshape(ids.shape)
