"""Predictions -> metrics with intervals. Needs numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

Z_975 = 1.959963984540054  # the 0.975 quantile of the normal distribution

# The 0.975 quantile of Student's t for 1 to 30 degrees of freedom; computed with scipy 1.17.1, as in any printed table.
T_975 = (
    12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851,
    2.364624252, 2.306004135, 2.262157163, 2.228138852, 2.200985160, 2.178812830,
    2.160368656, 2.144786688, 2.131449546, 2.119905299, 2.109815578, 2.100922040,
    2.093024054, 2.085963447, 2.079613845, 2.073873068, 2.068657610, 2.063898562,
    2.059538553, 2.055529439, 2.051830516, 2.048407142, 2.045229642, 2.042272456,
)  # fmt: skip

FEWEST_SEEDS = 3  # of each network, for an interval that covers the choice of seeds
VALUES_AT_ONCE = 4_000_000  # of a bootstrap, about 100 MB
ROWS_AT_ONCE = 8192  # images ranked at once: 50,000 x 1,000 logits in float64 would take 400 MB


@dataclass(frozen=True)
class Evaluation:
    """The scores of a network on labelled images; accuracies are fractions, `loss` is the mean cross entropy in nats.

    `top5` is `None` where there are fewer than 6 classes, a class's accuracy where it has no image. `balanced_accuracy`
    is the mean accuracy of the classes that have images. `macro_f1` is the mean F1 of the classes that have images or
    were answered. `logits` (n, classes) and `labels` (n,) are what the scores were computed from.
    """

    n: int
    correct: int
    top1: float
    top5: float | None
    loss: float
    balanced_accuracy: float
    macro_f1: float
    per_class: dict[str, float | None]
    per_class_n: dict[str, int]
    per_class_correct: dict[str, int]
    logits: np.ndarray = field(repr=False, compare=False)
    labels: np.ndarray = field(repr=False, compare=False)

    def scores(self) -> dict[str, int | float | dict[str, float | None] | dict[str, int] | None]:
        """Returns the scores as plain data, without logits and labels."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("logits", "labels")}

    @property
    def imbalance(self) -> float:
        """The number of images of the most frequent class, divided by that of the rarest class that has images."""
        counts = [count for count in self.per_class_n.values() if count]
        return max(counts) / min(counts)

    def results(self, part: str) -> dict[str, float]:
        """Returns the scores that a run records of a part, by their names: `test_top1`."""
        names = ("top1", "loss", "balanced_accuracy", "macro_f1")
        return {f"{part}_{name}": getattr(self, name) for name in names}


@dataclass(frozen=True)
class Difference:
    """The difference of two scores with its 95 % interval; significant if the interval excludes 0.

    With too few seeds there is no interval and no verdict: they are None.
    """

    mean: float
    low: float | None
    high: float | None
    significant: bool | None


def evaluate_logits(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Evaluation:
    """Returns the metrics of logits (n, classes) against labels (n,).

    Of equal logits the class with the lower index comes first, as in `argmax`. Raises `ValueError` where shapes, labels
    and class names do not agree or a logit is not finite.

    >>> evaluate_logits(np.array([[2.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), np.array([0, 0, 1]), ["cat", "dog"]).per_class
    {'cat': 1.0, 'dog': 0.0}
    """
    _check(logits, labels, class_names)
    n, classes = logits.shape
    ranks, losses = _ranks_and_losses(logits, labels)
    right = ranks == 0
    members = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    involved = members + np.bincount(logits.argmax(axis=1), minlength=classes)  # 2 hits / involved is the F1 of a class
    return Evaluation(
        n=n,
        correct=int(right.sum()),
        top1=float(right.mean()),
        top5=float((ranks < 5).mean()) if classes >= 6 else None,
        loss=float(losses.mean()),
        balanced_accuracy=float((hits / np.maximum(members, 1))[members > 0].mean()),
        macro_f1=float((2 * hits / np.maximum(involved, 1))[involved > 0].mean()),
        per_class={
            name: int(hit) / int(count) if count else None
            for name, hit, count in zip(class_names, hits, members, strict=True)
        },
        per_class_n=dict(zip(class_names, members.tolist(), strict=True)),
        per_class_correct=dict(zip(class_names, hits.tolist(), strict=True)),
        logits=logits,
        labels=labels,
    )


def correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns whether each image is right: (n, classes) and (n,) -> (n,) boolean.

    >>> correct(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    array([ True, False])
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape}; expected (n, classes) and (n,)")
    return np.asarray(logits.argmax(axis=1) == labels)


def t_quantile(df: int) -> float:
    """Returns the 0.975 quantile of Student's t with `df` degrees of freedom: half the width of a 95 % interval.

    A table to 30; the Cornish-Fisher series in 1/df beyond (Abramowitz and Stegun, 26.7.5), there exact to 1e-7.

    >>> round(t_quantile(2), 3), round(t_quantile(100), 3)
    (4.303, 1.984)
    """
    if df < 1:
        raise ValueError(f"{df} degrees of freedom; at least 1 is needed")
    if df <= len(T_975):
        return T_975[df - 1]
    z = Z_975
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / df**power for power, term in enumerate(terms, start=1))


def summarize(
    values: Sequence[float], *, within: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float | None, list[float] | None]:
    """Returns mean, sample standard deviation and 95 % interval of a score; one value has only a mean.

    The interval [low, high] is that of Student's t over the seeds, cut at the limits `within` which every value lies;
    those of an accuracy are 0 and 1.

    >>> mean, std, ci95 = summarize([0.90, 0.92, 0.94])
    >>> round(mean, 3), round(std, 3), [round(end, 3) for end in ci95]
    (0.92, 0.02, [0.87, 0.97])
    >>> summarize([0.9])
    (0.9, None, None)
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarize; at least 1 is needed")
    mean = math.fsum(values) / n
    if n == 1:
        return mean, None, None
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * std / math.sqrt(n)
    return mean, std, [max(mean - half, within[0]), min(mean + half, within[1])]


def difference_over_seeds(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Returns the mean of a less that of b, with its interval over seeds: a score for each seed of two networks.

    The interval is that of Welch's t, for two groups of unequal variance; the degrees of freedom are rounded down. With
    fewer than `FEWEST_SEEDS` of either there is none.

    >>> difference_over_seeds([0.5, 0.7], [0.5, 0.5]).low is None
    True
    """
    (mean_a, std_a, _), (mean_b, std_b, _) = (summarize(each, within=(-math.inf, math.inf)) for each in (a, b))
    mean = mean_a - mean_b
    if std_a is None or std_b is None or min(len(a), len(b)) < FEWEST_SEEDS:
        return Difference(mean, None, None, None)
    parts = [std_a**2 / len(a), std_b**2 / len(b)]
    variance = sum(parts)
    if variance == 0:
        return Difference(mean, mean, mean, mean != 0)
    freedom = variance**2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, (a, b), strict=True))
    half = t_quantile(math.floor(freedom + 1e-9)) * math.sqrt(variance)  # a whole number may be rounded
    return Difference(mean, mean - half, mean + half, mean - half > 0 or mean + half < 0)


def paired_difference(correct_a: np.ndarray, correct_b: np.ndarray) -> Difference:
    """Returns the accuracy of a less that of b, with its interval over draws and test images: (draws, images) booleans.

    Row n of both is the same draw, column m the same image. The variances of the mean over draws and over images are
    added, under Student's t over the draws: rather too wide than too narrow. Under `FEWEST_SEEDS` draws there is none.

    >>> paired_difference(np.array([[True, False]] * 3), np.array([[True, False]] * 3))
    Difference(mean=0.0, low=0.0, high=0.0, significant=False)
    """
    differences = correct_a.astype(np.int8) - correct_b.astype(np.int8)
    draws, images = differences.shape
    mean = float(differences.mean())
    if draws < FEWEST_SEEDS or images < 2:
        return Difference(mean, None, None, None)
    variance = float(differences.mean(1).var(ddof=1) / draws + differences.mean(0).var(ddof=1) / images)
    half = t_quantile(draws - 1) * math.sqrt(variance)
    low, high = max(-1.0, mean - half), min(1.0, mean + half)
    return Difference(mean, low, high, low > 0 or high < 0)


def paired_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, *, seed: int = 0, resamples: int = 10_000
) -> Difference:
    """Returns the accuracy of a less that of b, with its interval over seeds and test images: (seeds, images) booleans.

    A hierarchical bootstrap: the seeds of each network are drawn again with replacement, then the test images, the same
    for both. The interval is that of percentiles 2.5 to 97.5. With fewer than `FEWEST_SEEDS` of either there is none.
    With few seeds it is rather too narrow: n seeds drawn again vary by (n - 1) / n of the variance of new seeds.

    >>> paired_bootstrap(np.array([[True, False]]), np.array([[True, False]]))
    Difference(mean=0.0, low=None, high=None, significant=None)
    """
    (seeds_a, images), (seeds_b, images_b) = correct_a.shape, correct_b.shape
    if images != images_b or images == 0:
        raise ValueError(f"{images} and {images_b} images; the same images of both are needed, at least 1")
    unit = images * seeds_a * seeds_b
    mean = float((correct_a.sum(dtype=np.int64) * seeds_b - correct_b.sum(dtype=np.int64) * seeds_a) / unit)
    if min(seeds_a, seeds_b) < FEWEST_SEEDS:
        return Difference(mean, None, None, None)
    # To draw images is to draw how often each pattern of right and wrong answers occurs: one multinomial, the same
    # distribution at a fraction of the work.
    patterns, counts = np.unique(np.concatenate([correct_a, correct_b]), axis=1, return_counts=True)
    generator = np.random.default_rng(seed)
    found = []
    for part in _parts_of(resamples, most=max(1, VALUES_AT_ONCE // len(counts))):
        weights_a = generator.multinomial(seeds_a, np.full(seeds_a, 1 / seeds_a), size=part) * seeds_b
        weights_b = generator.multinomial(seeds_b, np.full(seeds_b, 1 / seeds_b), size=part) * seeds_a
        drawn = generator.multinomial(images, counts / images, size=part)
        # In integers, so that images on which the two agree differ by 0 and not by a rounding error.
        differences = weights_a @ patterns[:seeds_a].astype(np.int64) - weights_b @ patterns[seeds_a:].astype(np.int64)
        found.append((drawn * differences).sum(axis=1) / unit)
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return Difference(mean, float(low), float(high), bool(low > 0 or high < 0))


def image_bootstrap(
    correct_a: np.ndarray, correct_b: np.ndarray, *, seed: int = 0, resamples: int = 10_000
) -> Difference:
    """Returns the accuracy of a less that of b, with its interval over the images (n,) of which both are asked.

    The images are drawn again with replacement, the same for both. The interval, of percentiles 2.5 to 97.5, is for
    these two networks: it leaves out the chance of their training.

    >>> image_bootstrap(np.array([True] * 60), np.array([True] * 30 + [False] * 30)).significant
    True
    """
    if correct_a.shape != correct_b.shape or not len(correct_a):
        raise ValueError(f"{correct_a.shape} and {correct_b.shape}; the same images of both are needed, at least 1")
    n = len(correct_a)
    gained, lost = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    # To draw images is to draw how often each of the three cases occurs: gained, lost, no difference.
    shares = np.array([gained, lost, n - gained - lost]) / n
    drawn = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, (0.025, 0.975))
    return Difference((gained - lost) / n, float(low), float(high), bool(low > 0 or high < 0))


def _parts_of(count: int, *, most: int) -> list[int]:
    """Returns sizes of parts that add up to `count`, none larger than `most`."""
    return [most] * (count // most) + ([count % most] if count % most else [])


def _check(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not logits.size:
        raise ValueError(
            f"logits {logits.shape} and labels {labels.shape}; expected (n, classes) and (n,), n at least 1"
        )
    classes = logits.shape[1]
    if len(class_names) != classes or len(set(class_names)) != classes:
        raise ValueError(f"{len(set(class_names))} different class names for {classes} logits an image")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}; permitted are 0 to {classes - 1}")


def _ranks_and_losses(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each image the number of classes that rank before the true class, and the cross entropy."""
    ranks, losses = [], []
    for start in range(0, len(logits), ROWS_AT_ONCE):
        scores = logits[start : start + ROWS_AT_ONCE].astype(np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("a logit is not finite; the network has diverged")
        truth = labels[start : start + ROWS_AT_ONCE, None]
        true = np.take_along_axis(scores, truth, axis=1)
        earlier = np.arange(scores.shape[1]) < truth
        ranks.append(((scores > true) | ((scores == true) & earlier)).sum(axis=1))
        top = scores.max(axis=1, keepdims=True)
        losses.append((np.log(np.exp(scores - top).sum(axis=1, keepdims=True)) + top - true)[:, 0])
    return np.concatenate(ranks), np.concatenate(losses)
