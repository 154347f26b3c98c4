"""The losses of unlabelled images: one value for each image, and whether the image counts."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.recipe.groups import Annealing, MethodFields

STEEPNESS = 5.0  # of UDA's logarithmic and exponential annealing


def pseudo_label_loss(logits: Tensor, fields: MethodFields) -> tuple[Tensor, Tensor]:
    """Returns the cross entropy (N,) of answers (N, classes) with their own likeliest class, where it is likely enough.

    Lee 2013, section 2.2; the threshold is that of Oliver et al. 2018, https://arxiv.org/abs/1804.09170.
    """
    certainty, labels = _answers(logits)
    return F.cross_entropy(logits, labels, reduction="none"), certainty > _threshold(fields)


def fixmatch_loss(weak: Tensor, strong: Tensor, fields: MethodFields) -> tuple[Tensor, Tensor]:
    """Returns the cross entropy (N,) of the strong views' answers with the likeliest classes of the weak views.

    Sohn et al. 2020, equation 4. No gradient flows through the weak views.
    """
    certainty, labels = _answers(weak)
    return F.cross_entropy(strong, labels, reduction="none"), certainty >= _threshold(fields)


def uda_loss(weak: Tensor, strong: Tensor, fields: MethodFields) -> tuple[Tensor, Tensor]:
    """Returns the divergence (N,) of the strong views' answers from the sharpened answers of the weak views.

    Xie et al. 2019, sections 2.2 and 3.2; the threshold is on the answers before they are sharpened. No gradient flows
    through the weak views.
    """
    certainty, _ = _answers(weak)
    return _divergence(strong, _sharpened(weak, fields)), certainty > _threshold(fields)


def teacher_uda_loss(weak: Tensor, strong: Tensor, fields: MethodFields) -> tuple[Tensor, Tensor]:
    """Returns UDA's divergence (N,) as the teacher of Meta Pseudo Labels has it: the threshold is on sharpened answers.

    Pham et al. 2020 give the terms; this is the threshold of their program (training_utils.py).
    """
    wanted = _sharpened(weak, fields)
    return _divergence(strong, wanted), wanted.exp().max(1).values >= _threshold(fields)


def mean_teacher_loss(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean squared difference (N,) of the probabilities of student and teacher; every image counts.

    Tarvainen and Valpola 2017, section 2. No gradient flows through the teacher.
    """
    each = (student.softmax(1) - teacher.detach().softmax(1)).square().mean(1)
    return each, torch.ones_like(each, dtype=torch.bool)


def unlabelled_weight(fields: MethodFields, progress: float) -> float:
    """Returns the weight of the unlabelled images' loss at the part `progress` of the training.

    >>> rising = MethodFields("mean_teacher", unlabelled_ratio=1, unlabelled_weight=50.0, ramp_up=0.4)
    >>> [unlabelled_weight(rising, progress) for progress in (0, 0.2, 0.4, 1)]
    [0.0, 25.0, 50.0, 50.0]
    """
    return fields.unlabelled_weight * (min(1.0, progress / fields.ramp_up) if fields.ramp_up else 1.0)


def annealing_limit(annealing: Annealing, progress: float, *, num_classes: int) -> float:
    """Returns the probability up to which a labelled image teaches: it rises from about 1 / classes to 1.

    Xie et al. 2019, section 2.4.

    >>> [annealing_limit("linear", progress, num_classes=10) for progress in (0, 0.5, 1)]
    [0.1, 0.55, 1.0]
    """
    parts = {
        "none": 1.0,
        "linear": progress,
        "log": 1 - math.exp(-progress * STEEPNESS),
        "exp": math.exp((progress - 1) * STEEPNESS),
    }
    return parts[annealing] * (1 - 1 / num_classes) + 1 / num_classes


def _sharpened(logits: Tensor, fields: MethodFields) -> Tensor:
    """Returns the log probabilities (N, classes) of answers at the method's temperature, without gradients."""
    assert fields.temperature is not None
    return (logits.detach() / fields.temperature).log_softmax(1)


def _divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """Returns the divergence (N,) of answers from wanted log probabilities."""
    return F.kl_div(logits.log_softmax(1), wanted, reduction="none", log_target=True).sum(1)


def _answers(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the highest probability (N,) of each answer and its class (N,), without gradients."""
    highest = logits.detach().softmax(1).max(1)
    return highest.values, highest.indices


def _threshold(fields: MethodFields) -> float:
    assert fields.threshold is not None
    return fields.threshold
