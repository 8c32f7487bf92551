"""Intervals against scipy on the same data, published tables, and tables worked by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.statistics import Bootstrap, Columns, Moments, Ratio, Skill, bca, doubts, quantile, wilson

# Efron & Tibshirani (1993), table 14.1, spatial test data, A. Section 14.3: the plug-in variance is 171.5, z0 = 0.146
# (B = 2000), a = 0.061, and the 90 % BCa interval (115.8, 259.6).
SPATIAL_A = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41]


class Variance:
    """Plug-in variance from the columns x, x^2, 1: any function of sums is a statistic."""

    columns = (0, 1, 2)

    def of(self, sums):
        return sums[:, 1] / sums[:, 2] - (sums[:, 0] / sums[:, 2]) ** 2

    def gradient(self, means):
        raise NotImplementedError

    def support(self, counts):
        return int(counts[2])


def columns(values, weights=None):
    values = np.asarray(values, dtype=float)
    return np.column_stack([values, np.ones(len(values)) if weights is None else weights])


class TestBCa:
    def test_textbook_variance(self):
        x = np.array(SPATIAL_A, dtype=float)
        boot = Bootstrap(np.column_stack([x, x * x, np.ones(26)]), resamples=20_000, seed=3)
        assert float(Variance().of(boot.total[None, :])[0]) == pytest.approx(171.5, abs=0.05)
        found = bca(171.534, boot.resampled(Variance()), boot.jackknife(Variance()))
        assert found.a == pytest.approx(0.061, abs=0.0006)
        assert found.z0 == pytest.approx(0.146, abs=0.04)
        # Ours is the 95 % interval: the printed one lies inside it.
        assert found.low < 115.8
        assert found.high > 259.6

    @pytest.mark.parametrize("seed", [0, 1])
    def test_same_interval_as_scipy_on_the_same_resamples(self, seed):
        rng = np.random.default_rng(seed)
        above = rng.gamma(2.0, size=80)
        below = rng.uniform(0.5, 2.0, size=80)
        boot = Bootstrap(np.column_stack([above, below]), resamples=4000, seed=seed)
        ours = boot.estimate(Ratio(0, 1))
        theirs = scipy.stats.bootstrap(
            (above, below),
            lambda a, b, axis=-1: a.sum(axis=axis) / b.sum(axis=axis),
            paired=True,
            method="BCa",
            n_resamples=0,
            bootstrap_result=type("Given", (), {"bootstrap_distribution": boot.resampled(Ratio(0, 1))})(),
        ).confidence_interval
        assert ours.method == "bca"
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-10)

    def test_agrees_with_scipys_own_resamples(self):
        rng = np.random.default_rng(5)
        scores = rng.integers(0, 10, size=150) / 9  # many ties
        theirs = scipy.stats.bootstrap(
            (scores,), np.mean, method="BCa", n_resamples=10_000, rng=np.random.default_rng(1)
        ).confidence_interval
        ours = Bootstrap(columns(scores), resamples=10_000, seed=0).estimate(Ratio(0, 1))
        width = theirs.high - theirs.low
        assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
        assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)

    def test_ties_count_half_whatever_the_rounding(self):
        # Means of ninths differ from the value in the last bit; symmetric data must give z0 = 0 all the same.
        resampled = np.array([0.3, 0.1 + 0.2, 0.2, 0.4])
        assert bca(0.3, resampled, np.array([0.2, 0.3, 0.4])).z0 == pytest.approx(0.0, abs=1e-12)

    def test_skill_draws_score_and_floor_together(self):
        # score = floor + 0.2 in every sample: their difference does not vary, so skill varies by its denominator alone.
        floor = np.random.default_rng(2).uniform(0.2, 0.6, size=200)
        rows = np.column_stack([floor + 0.2, floor, np.ones(200)])
        boot = Bootstrap(rows, resamples=2000, seed=0)
        skill = boot.estimate(Skill(Ratio(0, 2), (Ratio(1, 2),), 1.0))
        floors = rows[:, 1].mean()
        assert skill.value == pytest.approx(0.2 / (1 - floors))
        apart = boot.estimate(Ratio(1, 2))
        assert skill.low == pytest.approx(0.2 / (1 - apart.low), abs=2e-4)
        assert skill.high == pytest.approx(0.2 / (1 - apart.high), abs=2e-4)

    def test_skill_where_lower_is_better(self):
        # errors .1; floors .5 and .3: the floor is .3, skill = (.1 - .3) / (0 - .3) = 2/3
        statistic = Skill(Ratio(0, 3), (Ratio(1, 3), Ratio(2, 3)), 0.0, higher_is_better=False)
        assert statistic.of(np.array([[1.0, 5.0, 3.0, 10.0]])).tolist() == pytest.approx([2 / 3])

    def test_floor_is_chosen_anew_in_every_resample(self):
        statistic = Skill(Ratio(0, 3), (Ratio(1, 3), Ratio(2, 3)), 1.0)
        sums = np.array([[8.0, 5.0, 6.0, 10.0], [8.0, 7.0, 6.0, 10.0]])
        assert statistic.of(sums).tolist() == pytest.approx([0.2 / 0.4, 0.1 / 0.3])

    def test_bootstrap_is_the_same_for_the_same_seed(self):
        rows = columns(np.random.default_rng(0).random(50))
        first, second, other = (Bootstrap(rows, resamples=500, seed=s).estimate(Ratio(0, 1)) for s in (1, 1, 2))
        assert first == second
        assert first != other

    def test_draws_are_multinomial(self):
        # Each row's column is its own indicator: sums are the counts. They sum to n; mean 1, variance 1 - 1/n.
        boot = Bootstrap(np.eye(5), resamples=20_000, seed=0)
        counts = boot._sums
        assert np.array_equal(counts.sum(axis=1), np.full(20_000, 5.0))
        assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
        assert counts.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.03)

    def test_coverage_of_a_skewed_mean(self):
        # Lognormal, n = 60: the 95 % interval covers the true mean in 88 to 97 % of 300 data sets.
        rng = np.random.default_rng(11)
        truth, hits = math.exp(0.125), 0
        for index in range(300):
            rows = columns(rng.lognormal(0, 0.5, size=60))
            interval = Bootstrap(rows, resamples=500, seed=index).estimate(Ratio(0, 1))
            hits += interval.low <= truth <= interval.high
        assert 0.88 <= hits / 300 <= 0.975


class TestDegenerate:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_named_never_nan(self, streamed):
        def estimate(rows):
            kept = Columns(2, kept=0 if streamed else 100)
            kept.add(np.asarray(rows, dtype=float).reshape(-1, 2))
            return kept.close(resamples=200, seed=0).estimate(Ratio(0, 1))

        empty = estimate([])
        assert (empty.value, empty.method, empty.n, empty.reason) == (None, "none", 0, "no sample is scored")
        unscored = estimate([[0, 0], [0, 0]])
        assert (unscored.value, unscored.reason) == (None, "no sample is scored")
        one = estimate([[0.5, 1], [0, 0]])
        assert (one.value, one.low, one.n, one.reason) == (0.5, None, 1, "one sample has no interval")
        same = estimate([[0.5, 1]] * 7)
        assert (same.value, same.low, same.high) == pytest.approx((0.5, 0.5, 0.5))
        assert same.unreliable == "every sample has the same value"

    def test_resamples_without_a_scored_sample_are_left_out(self):
        rows = np.zeros((50, 2))
        rows[:2] = [[1, 1], [0.5, 1]]
        boot = Bootstrap(rows, resamples=1000, seed=0)
        share = len(boot.resampled(Ratio(0, 1))) / 1000
        assert share == pytest.approx(1 - (48 / 50) ** 50, abs=0.05)
        found = boot.estimate(Ratio(0, 1))
        assert (found.value, found.n) == (0.75, 2)
        assert 0.5 <= found.low <= found.high <= 1

    def test_skill_without_room_is_not_defined(self):
        rows = np.ones((30, 2))
        for estimator in (Bootstrap(rows, resamples=100, seed=0), moments(rows)):
            found = estimator.estimate(Skill(Ratio(0, 1), (Ratio(0, 1),), 1.0))
            assert (found.value, found.reason) == (None, "not defined for these samples")

    def test_one_sided_distribution_falls_back_to_percentiles(self):
        found = bca(1.0, np.linspace(0, 0.9, 101), np.array([0.9, 1.0]))
        assert found.method == "percentile"
        assert (found.low, found.high) == pytest.approx((0.0225, 0.8775))

    def test_pole_of_the_acceleration_falls_back_to_percentiles(self):
        # n = 2000 with one outlier: a = sum d^3 / (6 (sum d^2)^1.5) tends to 1/6; z0 moves it past the pole.
        jackknife = np.zeros(2000)
        jackknife[0] = -1.0
        resampled = np.concatenate([np.full(99_999, 0.0), [1.0]])
        found = bca(0.5, resampled, jackknife)
        assert found.a == pytest.approx(1 / 6, rel=0.01)
        assert found.method == "percentile"

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.0, 1.0])), max_size=40),
        st.booleans(),
    )
    def test_always_a_number_or_none(self, pairs, streamed):
        rows = np.array([[value * scored, floor * scored, scored] for value, floor, scored in pairs]).reshape(-1, 3)
        kept = Columns(3, kept=0 if streamed else 100)
        kept.add(rows)
        estimator = kept.close(resamples=100, seed=0)
        for statistic in (Ratio(0, 2), Skill(Ratio(0, 2), (Ratio(1, 2),), 1.0)):
            found = estimator.estimate(statistic)
            assert all(number is None or math.isfinite(number) for number in (found.value, found.low, found.high))
            assert (found.value is None) <= (found.reason is not None)
            if found.low is not None:
                assert found.low <= found.high


def moments(rows):
    found = Moments(rows.shape[1])
    found.add(rows)
    return found


class TestMoments:
    def test_merged_moments_are_numpys(self):
        rows = np.random.default_rng(0).normal(1e6, 1.0, size=(1000, 3))  # large means: the naive sum of squares fails
        streamed = Moments(3)
        for block in np.array_split(rows, 17):
            streamed.add(block)
        assert streamed.mean == pytest.approx(rows.mean(axis=0), rel=1e-14)
        assert streamed.covariance == pytest.approx(np.cov(rows.T), rel=1e-8, abs=1e-8)

    def test_mean_interval_is_the_textbook_one(self):
        scores = np.random.default_rng(1).random(500)
        found = moments(columns(scores)).estimate(Ratio(0, 1))
        low, high = scipy.stats.norm.interval(0.95, scores.mean(), scipy.stats.sem(scores))
        assert (found.value, found.low, found.high) == pytest.approx((scores.mean(), low, high), rel=1e-12)
        assert found.method == "normal"

    def test_ratio_interval_is_cochrans(self):
        # Cochran (1977), eq. 2.39 (no finite-population correction): sum (y - R x)^2 / ((n - 1) n xbar^2).
        rng = np.random.default_rng(2)
        x = rng.uniform(1, 3, size=400)
        y = 0.6 * x + rng.normal(0, 0.2, size=400)
        ratio = y.sum() / x.sum()
        error = math.sqrt(((y - ratio * x) ** 2).sum() / (399 * 400)) / x.mean()
        found = moments(np.column_stack([y, x])).estimate(Ratio(0, 1))
        assert found.value == pytest.approx(ratio)
        assert found.high - found.value == pytest.approx(1.959963984540054 * error, rel=1e-10)

    @pytest.mark.parametrize("higher", [True, False])
    def test_skill_interval_agrees_with_the_bootstrap(self, higher):
        rng = np.random.default_rng(3)
        floor = rng.integers(0, 10, size=3000) / 9
        score = np.clip(floor + rng.normal(0.25, 0.3, size=3000), 0, 1)
        rows = np.column_stack([score, floor, rng.random(3000) * 0.3, np.ones(3000)])
        if not higher:
            rows[:, :3] = 1 - rows[:, :3]
        statistic = Skill(Ratio(0, 3), (Ratio(1, 3), Ratio(2, 3)), float(higher), higher)
        normal = moments(rows).estimate(statistic)
        boot = Bootstrap(rows, resamples=4000, seed=0).estimate(statistic)
        width = boot.high - boot.low
        assert normal.value == pytest.approx(boot.value, rel=1e-10)
        assert normal.low == pytest.approx(boot.low, abs=0.06 * width)
        assert normal.high == pytest.approx(boot.high, abs=0.06 * width)

    def test_columns_are_folded_above_the_limit(self):
        rows = columns(np.random.default_rng(4).random(30))
        kept, folded = Columns(2, kept=30), Columns(2, kept=29)
        for block in np.array_split(rows, 4):
            kept.add(block)
            folded.add(block)
        assert (kept.streamed, folded.streamed) == (False, True)
        first = kept.close(resamples=100, seed=0).estimate(Ratio(0, 1))
        second = folded.close(resamples=100, seed=0).estimate(Ratio(0, 1))
        assert (first.method, second.method) == ("bca", "normal")
        assert first.value == pytest.approx(second.value, rel=1e-14)


class TestWilson:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_newcombe(self, successes, n, low, high):
        found = wilson(successes, n)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)

    @settings(deadline=None, max_examples=50)
    @given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_scipy(self, pair):
        found = wilson(*pair)
        theirs = scipy.stats.binomtest(*pair).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)

    def test_no_sample(self):
        assert wilson(0, 0).reason == "no sample is scored"


class TestQuantile:
    # Ranks of the 95 % interval of the median: Conover (1999), and the tables of Nair (1940): n = 6: 1, 6; 10: 2, 9;
    # 20: 6, 15; 50: 18, 33; 100: 40, 61.
    @pytest.mark.parametrize(
        ("n", "ranks"), [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (50, (18, 33)), (100, (40, 61))]
    )
    def test_ranks_of_the_median(self, n, ranks):
        found = quantile(np.arange(1.0, n + 1), 0.5)
        assert (found.low, found.high) == ranks
        assert found.value == (n + 1) / 2
        assert found.method == "order"

    @settings(deadline=None, max_examples=60)
    @given(st.integers(2, 3000), st.sampled_from([0.5, 0.9, 0.99]))
    def test_ranks_are_the_tightest_that_cover(self, n, share):
        found = quantile(np.arange(1.0, n + 1), share)
        binomial = scipy.stats.binom(n, share)
        if found.low is None:
            assert binomial.pmf(0) > 0.025 or binomial.pmf(n) > 0.025
            return
        low, high = int(found.low), int(found.high)
        assert binomial.cdf(low - 1) <= 0.025 < binomial.cdf(low)
        assert binomial.cdf(high - 1) >= 0.975 > binomial.cdf(high - 2)

    def test_too_few(self):
        found = quantile(np.array([1.0, 2.0]), 0.99)
        assert found.value == pytest.approx(1.99)
        assert (found.low, found.method) == (None, "none")
        assert "2 values are too few" in found.reason
        assert quantile(np.array([]), 0.5).reason == "no answer was timed"


def test_doubts():
    assert doubts(99, 50, 50) == "fewer than 100 samples (99)"
    assert doubts(100, 9, 100) == "fewer than 10 imperfect samples (9)"
    assert doubts(100, 100, 9) == "fewer than 10 samples above the worst value (9)"
    assert doubts(100, 10, 10) is None
    assert doubts(100, None, None) is None
