"""Metrics against numbers worked out by hand; intervals against scipy."""

import math
import time
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from convatlas.evaluation import Difference, correct, evaluate_logits, paired_bootstrap, summarize, t_quantile


def test_metrics_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]]))
    evaluation = evaluate_logits(logits, np.array([0, 1, 1, 2]), ["cat", "dog", "eel"])
    assert (evaluation.n, evaluation.correct, evaluation.top1, evaluation.top5) == (4, 3, 0.75, None)
    assert evaluation.loss == pytest.approx(-(math.log(0.7) + math.log(0.6) + math.log(0.4) + math.log(0.6)) / 4)
    assert evaluation.per_class == {"cat": 1.0, "dog": 0.5, "eel": 1.0}


def answers(classes: list[int], *, of: int) -> np.ndarray:
    """Logits that answer these classes."""
    return np.eye(of)[classes]


def test_scores_that_count_each_class_alike_by_hand():
    """Eight cats and two dogs; six cats and one dog are right, two cats are called dogs, a dog is called an eel."""
    labels = np.array([0] * 8 + [1] * 2)
    found = evaluate_logits(answers([0] * 6 + [1] * 2 + [1, 2], of=4), labels, ["cat", "dog", "eel", "fox"])
    assert found.top1 == 0.7
    assert found.balanced_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)
    # F1: cats 12 of 8 + 6, dogs 2 of 2 + 3, eels 0 of 0 + 1; a fox neither occurs nor is answered.
    assert found.macro_f1 == pytest.approx((12 / 14 + 2 / 5 + 0) / 3)
    assert found.per_class == {"cat": 0.75, "dog": 0.5, "eel": None, "fox": None}
    assert found.per_class_n == {"cat": 8, "dog": 2, "eel": 0, "fox": 0}
    assert found.per_class_correct == {"cat": 6, "dog": 1, "eel": 0, "fox": 0}
    assert found.imbalance == 4
    assert found.results("val") == {
        "val_top1": 0.7,
        "val_loss": found.loss,
        "val_balanced_accuracy": found.balanced_accuracy,
        "val_macro_f1": found.macro_f1,
    }
    assert {"logits", "labels"}.isdisjoint(found.scores())


def test_with_equal_classes_the_balanced_accuracy_is_the_accuracy():
    found = evaluate_logits(answers([0, 1, 1, 0, 1, 2], of=3), np.array([0, 0, 1, 1, 2, 2]), ["a", "b", "c"])
    assert found.balanced_accuracy == pytest.approx(found.top1, abs=1e-15)
    assert found.imbalance == 1


def test_scores_are_those_of_scikit_learn():
    generator = np.random.default_rng(1)
    for classes in (2, 5, 40):
        labels = generator.choice(classes, 300, p=generator.dirichlet(np.full(classes, 0.4)))
        logits = generator.normal(size=(300, classes)) + 1.5 * np.eye(classes)[labels]
        found, answered = evaluate_logits(logits, labels, [str(label) for label in range(classes)]), logits.argmax(1)
        assert found.macro_f1 == pytest.approx(f1_score(labels, answered, average="macro", zero_division=0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class that is answered and has no image
            assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, answered))
        assert found.imbalance == np.unique(labels, return_counts=True)[1].max() / min(
            count for count in np.bincount(labels) if count
        )


def test_top5_and_a_class_without_images():
    logits = np.tile(np.arange(6.0), (2, 1))  # class 5 first, class 0 last
    evaluation = evaluate_logits(logits, np.array([0, 1]), list("abcdef"))
    assert (evaluation.top1, evaluation.top5) == (0.0, 0.5)
    assert evaluation.per_class == {"a": 0.0, "b": 0.0, "c": None, "d": None, "e": None, "f": None}


def test_ties_go_to_the_first_class_as_in_argmax():
    logits = np.zeros((3, 7), dtype=np.float32)
    labels = np.array([0, 4, 5])
    evaluation = evaluate_logits(logits, labels, list("abcdefg"))
    assert evaluation.top1 == correct(logits, labels).mean() == pytest.approx(1 / 3)
    assert evaluation.top5 == pytest.approx(2 / 3)


def test_loss_is_stable_for_large_logits():
    evaluation = evaluate_logits(np.array([[1e4, 0.0], [0.0, 1e4]], dtype=np.float32), np.array([0, 0]), ["a", "b"])
    assert evaluation.loss == 5000.0


def test_many_images_are_ranked_in_parts():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(20_000, 10)), generator.integers(0, 10, 20_000)
    evaluation = evaluate_logits(logits, labels, [str(label) for label in range(10)])
    order = (-logits).argsort(axis=1)
    assert evaluation.top1 == (order[:, 0] == labels).mean()
    assert evaluation.top5 == (order[:, :5] == labels[:, None]).any(axis=1).mean()
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert evaluation.loss == pytest.approx(-log_softmax[np.arange(20_000), labels].mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("logits", "labels", "names", "message"),
    [
        (np.zeros((2, 2)), np.zeros(3, int), ["a", "b"], "logits"),
        (np.zeros((0, 2)), np.zeros(0, int), ["a", "b"], "at least 1"),
        (np.zeros((1, 2)), np.array([2]), ["a", "b"], "permitted are 0 to 1"),
        (np.zeros((1, 2)), np.array([0]), ["a", "a"], "1 different class names"),
        (np.array([[np.nan, 0.0]]), np.array([0]), ["a", "b"], "diverged"),
    ],
)
def test_what_does_not_agree_raises(logits, labels, names, message):
    with pytest.raises(ValueError, match=message):
        evaluate_logits(logits, labels, names)


@pytest.mark.parametrize("df", [*range(1, 41), 60, 100, 1000])
def test_t_quantile_against_scipy(df):
    assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-7)


def test_summary_by_hand():
    mean, std, ci95 = summarize([0.90, 0.92, 0.94])
    assert (mean, std) == (pytest.approx(0.92), pytest.approx(0.02))
    assert ci95 == pytest.approx([0.92 - 4.302652730 * 0.02 / 3**0.5, 0.92 + 4.302652730 * 0.02 / 3**0.5])
    assert summarize([0.9]) == (0.9, None, None)
    with pytest.raises(ValueError, match="no values"):
        summarize([])


def test_summary_against_scipy():
    values = np.random.default_rng(1).normal(0.9, 0.01, 7).tolist()
    low, high = stats.t.interval(0.95, 6, loc=np.mean(values), scale=stats.sem(values))
    assert summarize(values)[2] == pytest.approx([low, high])


def test_identical_networks_do_not_differ():
    right = np.random.default_rng(0).random((3, 500)) < 0.9
    difference = paired_bootstrap(right, right)
    assert difference.mean == 0
    assert difference.low < 0 < difference.high
    assert not difference.significant


def test_the_interval_covers_seeds_and_images():
    """Against a bootstrap of the same kind, written as loops; and far wider than over images alone."""
    generator = np.random.default_rng(3)
    rates = {"a": (0.80, 0.95, 0.90, 0.70), "b": (0.75, 0.95, 0.60)}
    a, b = (np.stack([generator.random(200) < rate for rate in each]) for each in rates.values())
    found = paired_bootstrap(a, b)
    drawn = []
    for _ in range(4000):
        of_a, of_b = (generator.integers(len(each), size=len(each)) for each in (a, b))
        images = generator.integers(200, size=200)
        drawn.append(a[of_a][:, images].mean() - b[of_b][:, images].mean())
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.012), pytest.approx(high, abs=0.012))
    assert found.mean == pytest.approx(a.mean() - b.mean())
    images_alone = 1.96 * (a.mean(axis=0) - b.mean(axis=0)).std() / 200**0.5
    assert found.high - found.low > 2 * 2 * images_alone
    assert not found.significant


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (2, 5), (5, 1)])
def test_fewer_than_three_seeds_give_no_verdict(seeds):
    good, bad = np.ones((seeds[0], 50), bool), np.zeros((seeds[1], 50), bool)
    assert paired_bootstrap(good, bad) == Difference(1.0, None, None, None)


def test_a_clear_difference_is_significant_either_way():
    generator = np.random.default_rng(0)
    good, bad = generator.random((3, 1000)) < 0.95, generator.random((3, 1000)) < 0.80
    ahead, behind = paired_bootstrap(good, bad), paired_bootstrap(bad, good)
    assert ahead.significant
    assert behind.significant
    assert ahead.mean == pytest.approx(good.mean() - bad.mean()) == pytest.approx(-behind.mean)
    assert 0 < ahead.low < ahead.mean < ahead.high


def test_of_equal_seeds_the_interval_is_that_of_drawing_images_again():
    generator = np.random.default_rng(0)
    a, b = (np.repeat(generator.random((1, 400)) < rate, 3, axis=0) for rate in (0.9, 0.88))
    per_image = a.mean(axis=0) - b.mean(axis=0)
    drawn = per_image[generator.integers(0, 400, (10_000, 400))].mean(axis=1)
    difference = paired_bootstrap(a, b)
    assert [difference.low, difference.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=2e-3)


def test_bootstrap_is_deterministic_and_fast():
    generator = np.random.default_rng(0)
    a, b = generator.random((5, 10_000)) < 0.95, generator.random((5, 10_000)) < 0.949
    start = time.perf_counter()
    first = paired_bootstrap(a, b)
    assert time.perf_counter() - start < 2
    assert first == paired_bootstrap(a, b)
    assert first != paired_bootstrap(a, b, seed=1)


def test_bootstrap_refuses_other_images():
    with pytest.raises(ValueError, match="3 and 4 images"):
        paired_bootstrap(np.ones((1, 3), bool), np.ones((1, 4), bool))
