"""Paired and unpaired differences and their tests, against scipy, sacrebleu, and published tables."""

import itertools
import math

import numpy as np
import pytest
import sacrebleu.significance as theirs
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import TER

from peakbench.statistics import (
    Bootstrap,
    Difference,
    Moments,
    Ratio,
    bca,
    bootstrap_p,
    clopper_pearson,
    holm,
    hypotheses,
    independent,
    influence,
    mcnemar,
    samples_needed,
    student,
    swap_tests,
    unpaired,
)

MEAN = Ratio(0, 1)
CHANGE = Difference(Ratio(0, 1), Ratio(2, 3))


def columns(values):
    values = np.asarray(values, dtype=float)
    return np.column_stack([values, np.ones(len(values))])


def two_runs(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 10, size=n) / 9
    return first, np.clip(first + shift + rng.integers(-3, 4, size=n) / 9, 0, 1)


def pooled_runs(n, seed, rates=(0.7, 0.8)):
    """F1 of two runs: numerators 2c, denominators that differ between the sides."""
    rng = np.random.default_rng(seed)
    sides = []
    for right in rates:
        correct = rng.binomial(6, right, size=n)
        sides.append(np.column_stack([2 * correct, correct + 6 + rng.integers(0, 3, size=n)]).astype(float))
    return sides


def permuted(first, second, resamples, kind="samples"):
    return scipy.stats.permutation_test(
        (first, second),
        lambda a, b, axis=-1: b.mean(axis=axis) - a.mean(axis=axis),
        permutation_type=kind,
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue


class TestSwap:
    @pytest.mark.parametrize("seed", range(4))
    def test_exact_is_scipys(self, seed):
        first, second = two_runs(12, seed, 0.1)
        [ours] = swap_tests(columns(first), columns(second), [MEAN])
        assert ours.method == "exact"
        assert ours.p == pytest.approx(permuted(first, second, np.inf), abs=1e-12)

    def test_sampled_is_scipys(self):
        first, second = two_runs(150, 3, 0.02)
        [ours] = swap_tests(columns(first), columns(second), [MEAN])
        expected = permuted(first, second, 20_000)
        assert (ours.method, ours.n, ours.nonzero) == ("sampled", 150, int((first != second).sum()))
        assert 0.05 < expected < 0.9
        assert ours.p == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) * 1.5e-4))

    @pytest.mark.parametrize("seed", range(3))
    def test_pooled_ratio_by_brute_force(self, seed):
        first, second = pooled_runs(8, seed)
        observed = MEAN.of(second.sum(axis=0)[None])[0] - MEAN.of(first.sum(axis=0)[None])[0]
        extreme = 0
        for flips in itertools.product([False, True], repeat=8):
            one, two = (
                np.where(np.array(flips)[:, None], second, first),
                np.where(np.array(flips)[:, None], first, second),
            )
            change = two[:, 0].sum() / two[:, 1].sum() - one[:, 0].sum() / one[:, 1].sum()
            extreme += abs(change) >= abs(observed) - 1e-12
        [ours] = swap_tests(first, second, [MEAN])
        assert ours.nonzero < 14
        assert ours.p == pytest.approx(extreme / 256, abs=1e-12)

    def test_hand_worked(self):
        # d = 1, 2, 3: |sum| = 6 in 2 of 8 sign patterns. d = 1, 2, -4: |sum| >= 1 in all.
        zeros = columns([0.0, 0.0, 0.0])
        assert swap_tests(zeros, columns([1, 2, 3]), [MEAN])[0].p == 0.25
        assert swap_tests(zeros, columns([1, 2, -4]), [MEAN])[0].p == 1.0

    def test_the_counting_of_drawn_exchanges(self):
        # All of 14 differences equal 1: only the two extreme patterns of 16,384 are as extreme; 2 / 16384 * 500 = 0.06.
        [found] = swap_tests(columns(np.zeros(14)), columns(np.ones(14)), [MEAN], resamples=500, seed=0)
        assert found.method == "sampled"
        assert found.p in {1 / 501, 2 / 501}

    def test_nothing_differs(self):
        first, _ = two_runs(40, 0)
        [found] = swap_tests(columns(first), columns(first), [MEAN])
        assert (found.p, found.method, found.n, found.nonzero) == (1.0, "none", 40, 0)

    def test_a_run_without_a_value(self):
        [found] = swap_tests(np.zeros((3, 2)), columns([1.0, 0.5, 0.2]), [MEAN])
        assert (found.p, found.method) == (1.0, "none")

    def test_what_is_tested_with_it_does_not_matter(self):
        one, two = two_runs(60, 1), two_runs(60, 2)
        rows = [np.column_stack([columns(one[side]), columns(two[side])]) for side in (0, 1)]
        both = swap_tests(*rows, [Ratio(0, 1), Ratio(2, 3)], resamples=2000, seed=5)
        alone = [swap_tests(*rows, [ratio], resamples=2000, seed=5)[0] for ratio in (Ratio(0, 1), Ratio(2, 3))]
        assert both == alone
        assert alone[0] == swap_tests(columns(one[0]), columns(one[1]), [MEAN], resamples=2000, seed=5)[0]

    def test_neither_do_blocks(self, monkeypatch):
        first, second = (columns(side) for side in two_runs(70, 4))
        whole = swap_tests(first, second, [MEAN], resamples=777)
        monkeypatch.setattr(hypotheses, "_BLOCK", 1000)
        assert swap_tests(first, second, [MEAN], resamples=777) == whole

    def test_unscored_pairs_do_not_count(self):
        first, second = two_runs(50, 6)
        holes = np.zeros((10, 2))
        padded = swap_tests(np.vstack([columns(first), holes]), np.vstack([columns(second), holes]), [MEAN])[0]
        assert (padded.n, padded.nonzero) == (50, int((first != second).sum()))

    @pytest.mark.parametrize(
        "sides", [tuple(map(columns, two_runs(900, 7, 0.008))), tuple(pooled_runs(900, 9, (0.7, 0.71)))]
    )
    def test_normal_agrees_with_the_draws(self, sides, monkeypatch):
        first, second = sides
        second = np.where(np.arange(900)[:, None] % 7 == 0, second, first)
        [drawn] = swap_tests(first, second, [MEAN], resamples=20_000)
        monkeypatch.setattr(hypotheses, "KEPT", 500)
        [normal] = swap_tests(first, second, [MEAN])
        assert (drawn.method, normal.method) == ("sampled", "normal")
        assert 0.001 < drawn.p < 0.95
        assert normal.p == pytest.approx(drawn.p, abs=0.02)

    def test_pairs_are_needed(self):
        with pytest.raises(ValueError, match="pairs are needed"):
            swap_tests(np.ones((3, 2)), np.ones((4, 2)), [MEAN])

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])), max_size=25))
    def test_either_side_first(self, pairs):
        first, second = (columns([pair[side] for pair in pairs]) for side in (0, 1))
        [forth], [back] = (
            swap_tests(first, second, [MEAN], resamples=200),
            swap_tests(second, first, [MEAN], resamples=200),
        )
        assert forth == back
        assert 0 < forth.p <= 1


class Mean:
    """A metric as sacrebleu's tests want it: corpus statistics are (sum, count), real numbers."""

    def __init__(self, values):
        self.values = np.column_stack([values, np.ones(len(values))])

    def _extract_corpus_statistics(self, hypotheses, references):
        return self.values

    def _aggregate_and_compute(self, stats):
        return self._compute_score_from_stats(np.asarray(stats).sum(axis=0))

    def _compute_score_from_stats(self, stats):
        return type("Score", (), {"score": stats[0] / stats[1]})


class TestSacrebleu:
    # A corpus TER is edits over reference words: a pooled ratio. Sentences by hand.
    REFERENCES = [
        "the red dress has long sleeves",
        "a blue shirt",
        "black leather boots with a zip",
        "one grey sock",
    ] * 10
    FIRST = ["the red dress has sleeves", "blue shirt", "black boots with zip", "one sock", "dress red"] * 8
    SECOND = ["a red dress has long sleeves", "a blue shirt", "black leather boots zip", "grey sock"] * 10

    def test_paired_bootstrap_is_theirs_on_the_same_draws(self):
        metric, n = TER(), len(self.REFERENCES)
        stats = [
            np.array(metric._extract_corpus_statistics(side, [self.REFERENCES])) for side in (self.FIRST, self.SECOND)
        ]
        base = metric._aggregate_and_compute(stats[0].tolist())
        for resamples, seed in ((200, 5), (1000, 12345)):
            _, found = theirs._paired_bs_test(
                {"TER": (stats[0].tolist(), base)},
                "second",
                self.SECOND,
                [self.REFERENCES],
                {"TER": metric},
                resamples,
                seed=seed,
            )
            drawn = np.random.default_rng(seed).choice(n, size=(resamples, n), replace=True)
            sums = np.hstack([side[drawn].sum(axis=1) for side in stats]).astype(float)
            total = np.hstack([side.sum(axis=0) for side in stats])[None].astype(float)
            value = float(CHANGE.of(total)[0])
            assert value * 100 == pytest.approx(found["TER"].score - base.score)
            assert bootstrap_p(value, CHANGE.of(sums)) == found["TER"].p_value

    @pytest.mark.parametrize("shift", [0.004, 0.012])
    def test_paired_bootstrap_is_theirs_where_it_is_not_extreme(self, shift):
        first, second = np.random.default_rng(2).random((2, 120))
        second = first + 0.2 * (second - second.mean()) + shift
        base = type("Score", (), {"score": first.mean()})
        _, found = theirs._paired_bs_test(
            {"m": (columns(first), base)}, "second", [""] * 120, [], {"m": Mean(second)}, 20_000, seed=3
        )
        boot = Bootstrap(np.hstack([columns(first), columns(second)]), resamples=20_000, seed=0)
        ours = bootstrap_p(second.mean() - first.mean(), boot.resampled(CHANGE))
        assert 0.005 < found["m"].p_value < 0.6
        assert ours == pytest.approx(found["m"].p_value, abs=0.015)

    @pytest.mark.parametrize("shift", [0.004, 0.012])
    def test_approximate_randomization_is_theirs(self, shift):
        first, second = np.random.default_rng(4).random((2, 120))
        second = first + 0.2 * (second - second.mean()) + shift
        base = type("Score", (), {"score": first.mean()})
        _, found = theirs._paired_ar_test(
            {"m": (columns(first), base)}, "second", [""] * 120, [], {"m": Mean(second)}, 10_000, seed=3
        )
        [ours] = swap_tests(columns(first), columns(second), [MEAN])
        assert 0.01 < found["m"].p_value < 0.99
        assert ours.p == pytest.approx(found["m"].p_value, abs=0.02)

    def test_one_tail_is_counted(self):
        # d* = 0.4, 0.6, 0.5; mean 0.5; |d*| - mean = -0.1, 0.1, 0: one beyond 0.05, none beyond 0.2.
        resampled = np.array([0.4, 0.6, 0.5])
        assert bootstrap_p(0.05, resampled) == 2 / 4
        assert bootstrap_p(-0.2, resampled) == 1 / 4

    def test_a_run_against_itself_is_no_evidence(self):
        assert bootstrap_p(0.0, np.zeros(1000)) == 1.0


class TestMcNemar:
    @settings(deadline=None, max_examples=80)
    @given(st.integers(0, 400), st.integers(0, 400))
    def test_scipy(self, better, worse):
        expected = scipy.stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
        assert mcnemar(better, worse) == pytest.approx(expected, rel=1e-9)

    def test_hand_worked(self):
        assert mcnemar(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
        assert mcnemar(3, 3) == 1.0
        assert mcnemar(0, 0) == 1.0

    def test_large(self):
        assert mcnemar(9_000, 10_000) == pytest.approx(scipy.stats.binomtest(9_000, 19_000).pvalue, rel=1e-6)

    def test_counts(self):
        with pytest.raises(ValueError, match="counts are needed"):
            mcnemar(-1, 2)


class TestHolm:
    def test_r_multtest(self):
        # statsmodels, statsmodels/stats/tests/test_multi.py: pval0 and the column of Holm from R's multtest.
        raw = [0.838541367553, 0.642193923795, 0.680845947633, 0.967833824309, 0.71626938238, 0.177096952723]
        raw += [5.23656777208e-05, 0.0202732688798, 0.00028140506198, 0.0149877310796]
        held = [1.0] * 6 + [5.23656777208e-04, 0.1419128821586, 2.53264555782e-03, 0.119901848636800]
        assert holm(raw) == pytest.approx(held, rel=1e-10)

    def test_hand_worked(self):
        # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04; none below the one before it.
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_none_is_outside(self):
        assert holm([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]
        assert holm([]) == []

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_between_raw_and_bonferroni(self, raw):
        for one, held in zip(raw, holm(raw), strict=True):
            assert one <= held <= min(1.0, one * len(raw)) + 1e-15


class TestSamplesNeeded:
    def test_hand_worked(self):
        # (1.959964 + 0.841621)^2 = 7.848880; times (0.2 / 0.01)^2 = 3139.55
        assert samples_needed(0.2, 0.01) == 3140
        assert samples_needed(0.2, -0.01) == 3140
        # 90 %: (1.959964 + 1.281552)^2 = 10.507424; times 25
        assert samples_needed(0.5, 0.1, power=0.9) == 263

    def test_no_difference(self):
        assert samples_needed(0.2, 0.0) is None
        assert samples_needed(0.2, 0.3 - (0.1 + 0.2)) is None  # 5e-17: the same terms in another order
        assert samples_needed(math.inf, 0.1) is None
        assert samples_needed(0.0, 0.1) == 1

    def test_that_many_see_it_in_80_of_100(self):
        n = samples_needed(1.0, 0.3)
        assert n == 88
        drawn = np.random.default_rng(0).normal(0.3, 1.0, size=(4000, n))
        found = np.abs(drawn.mean(axis=1)) / (drawn.std(axis=1, ddof=1) / math.sqrt(n)) > 1.96
        assert found.mean() == pytest.approx(0.8, abs=0.025)


class TestInfluence:
    def test_of_a_mean_it_is_the_centred_difference(self):
        first, second = two_runs(60, 9)
        pulls = influence(columns(first), columns(second), MEAN)
        assert pulls == pytest.approx(second - first - (second - first).mean(), abs=1e-12)

    def test_of_a_pooled_ratio_it_gives_the_standard_error(self):
        first, second = pooled_runs(400, 10)
        pulls = influence(first, second, MEAN)
        boot = Bootstrap(np.hstack([first, second]), resamples=10_000, seed=0)
        assert pulls.mean() == pytest.approx(0, abs=1e-12)
        assert pulls.std(ddof=1) / 20 == pytest.approx(boot.resampled(CHANGE).std(), rel=0.03)

    def test_pairs_that_do_not_count_are_left_out(self):
        first, second = two_runs(20, 11)
        holes = np.zeros((5, 2))
        padded = influence(np.vstack([holes, columns(first)]), np.vstack([holes, columns(second)]), MEAN)
        assert padded == pytest.approx(influence(columns(first), columns(second), MEAN))
        assert len(influence(np.zeros((4, 2)), columns([1.0] * 4), MEAN)) == 0


class TestDifference:
    def test_bca_is_scipys_on_the_same_draws_and_never_inside_students(self):
        for seed, n in ((0, 40), (1, 200)):
            first = np.random.default_rng(seed).random(n)
            second = first + np.random.default_rng(seed + 10).gamma(0.5, 0.1, n) - 0.02
            boot = Bootstrap(np.hstack([columns(first), columns(second)]), resamples=4000, seed=0)
            found, drawn = boot.estimate(CHANGE), boot.resampled(CHANGE)
            plain = scipy.stats.bootstrap(
                (first, second),
                lambda a, b, axis=-1: b.mean(axis=axis) - a.mean(axis=axis),
                paired=True,
                method="BCa",
                n_resamples=0,
                bootstrap_result=type("Given", (), {"bootstrap_distribution": drawn})(),
            ).confidence_interval
            interval = bca(found.value, drawn, boot.jackknife(CHANGE))
            assert (interval.low, interval.high) == pytest.approx((plain.low, plain.high), rel=1e-9)
            t = scipy.stats.ttest_rel(second, first).confidence_interval()
            assert found.method == "bca_t"
            assert found.low == pytest.approx(min(plain.low, t.low), rel=1e-9)
            assert found.high == pytest.approx(max(plain.high, t.high), rel=1e-9)

    def test_moments_give_the_paired_error(self):
        first, second = two_runs(300, 2)
        moments = Moments(4)
        moments.add(np.hstack([columns(first), columns(second)]))
        found = moments.estimate(CHANGE)
        error = scipy.stats.sem(second - first)
        assert (found.value, found.n, found.method) == (pytest.approx((second - first).mean()), 300, "normal")
        assert found.high - found.value == pytest.approx(1.959963984540054 * error)

    def test_the_same_run_twice(self):
        first, _ = two_runs(120, 3)
        found = Bootstrap(np.hstack([columns(first)] * 2), resamples=500, seed=0).estimate(CHANGE)
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
        assert found.unreliable == "every sample has the same value"

    def test_one_side_without_a_value(self):
        found = Bootstrap(np.hstack([columns([1.0, 0.5]), np.zeros((2, 2))]), resamples=50, seed=0).estimate(CHANGE)
        assert (found.value, found.reason) == (None, "no sample is scored")

    def test_student_of_pooled_ratios_is_the_delta_method(self):
        first, second = pooled_runs(500, 12)
        boot = Bootstrap(np.hstack([first, second]), resamples=10, seed=0)
        error = influence(first, second, MEAN).std(ddof=1) / math.sqrt(500)
        assert student(boot.jackknife(CHANGE), 500) == pytest.approx(scipy.stats.t.ppf(0.975, 499) * error, rel=0.01)


class TestUnpaired:
    def test_interval_is_scipys(self):
        rng = np.random.default_rng(0)
        first, second = rng.gamma(2.0, size=60), rng.gamma(3.0, size=90)
        plain = scipy.stats.bootstrap(
            (first, second),
            lambda a, b, axis=-1: b.mean(axis=axis) - a.mean(axis=axis),
            method="BCa",
            n_resamples=20_000,
            rng=np.random.default_rng(1),
        ).confidence_interval
        found, _ = unpaired(columns(first), columns(second), MEAN, resamples=20_000)
        width = plain.high - plain.low
        assert found.value == pytest.approx(second.mean() - first.mean())
        assert (found.method, found.n) == ("bca", 60)
        assert found.low == pytest.approx(plain.low, abs=0.03 * width)
        assert found.high == pytest.approx(plain.high, abs=0.03 * width)

    @pytest.mark.parametrize("shift", [0.05, 0.15])
    def test_p_is_scipys(self, shift):
        rng = np.random.default_rng(2)
        first, second = rng.integers(0, 10, 50) / 9, rng.integers(0, 10, 80) / 9 + shift
        expected = permuted(first, second, 20_000, "independent")
        _, p = unpaired(columns(first), columns(second), MEAN)
        assert 0.001 < expected < 0.9
        assert p == pytest.approx(expected, abs=0.015 + 0.1 * expected)

    def test_small_against_every_exchange(self):
        first, second = np.array([0.1, 0.4, 0.3, 0.2]), np.array([0.5, 0.35, 0.7])
        exact = permuted(first, second, np.inf, "independent")
        _, p = unpaired(columns(first), columns(second), MEAN, resamples=20_000)
        assert p == pytest.approx(exact, abs=0.01)

    def test_rows_without_a_denominator_take_no_part(self):
        first, second = two_runs(40, 3)
        holes = np.zeros((7, 2))
        assert unpaired(np.vstack([columns(first), holes]), columns(second), MEAN) == unpaired(
            columns(first), columns(second), MEAN
        )

    def test_large_is_welch(self, monkeypatch):
        rng = np.random.default_rng(4)
        first, second = rng.random(700), rng.random(900) + 0.02
        monkeypatch.setattr(independent, "KEPT", 1000)
        found, p = unpaired(columns(first), columns(second), MEAN)
        test = scipy.stats.ttest_ind(second, first, equal_var=False)
        assert found.method == "normal"
        assert p == pytest.approx(test.pvalue, abs=2e-3)
        assert found.low == pytest.approx(test.confidence_interval().low, abs=1e-4)

    def test_named(self):
        empty, p = unpaired(np.zeros((3, 2)), columns([1.0, 2.0]), MEAN)
        assert (empty.value, empty.reason, p) == (None, "no sample is scored", 1.0)
        same, p = unpaired(columns([0.5] * 5), columns([0.5] * 6), MEAN, resamples=100)
        assert (same.value, same.low, same.high, p) == (0.0, 0.0, 0.0, 1.0)
        assert same.unreliable == "every sample has the same value"


class TestClopperPearson:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 5.
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
    )
    def test_newcombe(self, successes, n, low, high):
        assert clopper_pearson(successes, n) == pytest.approx((low, high), abs=5e-5)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_scipy(self, pair):
        expected = scipy.stats.binomtest(*pair).proportion_ci(method="exact")
        assert clopper_pearson(*pair) == pytest.approx((expected.low, expected.high), abs=1e-9)

    def test_ends(self):
        assert clopper_pearson(0, 0) == (0.0, 1.0)
        assert clopper_pearson(5, 5)[1] == 1.0
        with pytest.raises(ValueError, match="6 of 5"):
            clopper_pearson(6, 5)
