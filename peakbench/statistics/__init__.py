"""Means, ratios, their intervals and differences: arrays in, numbers out.

Every number of a run is a function of sums over samples: a mean is ``sum(value) / sum(1 where scored)``, a pooled
value ``sum(numerator) / sum(denominator)``, skill a function of two such ratios. So one sample is one row of
*columns*, an unscored one has (0, 0), and one set of resamples serves every number. Repeats of one sample are
averaged into its row before they come here: samples are what is drawn, never answers. Two runs over the same samples
stand side by side in one row; what holds of each function of sums then holds of a difference.

Sources
    * BCa bootstrap: Efron (1987), "Better bootstrap confidence intervals", JASA 82; DiCiccio & Efron (1996), "Bootstrap
      confidence intervals", Statistical Science 11, eqs. 2.3 and 6.6; Efron & Tibshirani (1993), chapter 14.
    * Wilson interval: Wilson (1927), JASA 22; Newcombe (1998), Statistics in Medicine 17, method 3.
    * Interval of a quantile from order statistics: Conover (1999), section 3.2; David & Nagaraja (2003), section 7.1.
    * Variance of a ratio (delta method): Cochran (1977), section 2.11. Merging moments: Chan, Golub & LeVeque (1983).
    * Tests: the functions of ``hypotheses`` name theirs.
"""

from peakbench.statistics.estimates import (
    FEW_DIFFERENT,
    FEW_SAMPLES,
    KEPT,
    LEVEL,
    Estimate,
    Floats,
    Method,
    doubts,
)
from peakbench.statistics.hypotheses import (
    SwapTest,
    bootstrap_p,
    holm,
    influence,
    mcnemar,
    samples_needed,
    swap_tests,
)
from peakbench.statistics.independent import unpaired
from peakbench.statistics.intervals import (
    BCa,
    bca,
    clopper_pearson,
    quantile,
    student,
    wilson,
)
from peakbench.statistics.moments import Columns, Moments
from peakbench.statistics.ratios import Difference, Ratio, Skill, Statistic
from peakbench.statistics.resampling import Bootstrap

__all__ = [
    "FEW_DIFFERENT",
    "FEW_SAMPLES",
    "KEPT",
    "LEVEL",
    "BCa",
    "Bootstrap",
    "Columns",
    "Difference",
    "Estimate",
    "Floats",
    "Method",
    "Moments",
    "Ratio",
    "Skill",
    "Statistic",
    "SwapTest",
    "bca",
    "bootstrap_p",
    "clopper_pearson",
    "doubts",
    "holm",
    "influence",
    "mcnemar",
    "quantile",
    "samples_needed",
    "student",
    "swap_tests",
    "unpaired",
    "wilson",
]
