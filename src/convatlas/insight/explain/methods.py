"""The methods of attribution: maps of the pixels on which the logit of one class depends.

Grad-CAM: Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2. Grad-CAM++: Chattopadhyay et al.
2018, https://arxiv.org/abs/1710.11063, equation 19. Integrated gradients: Sundararajan et al. 2017,
https://arxiv.org/abs/1703.01365. Occlusion: Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901. SmoothGrad:
Smilkov et al. 2017, https://arxiv.org/abs/1706.03825. The last three are captum's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.insight.explain.features import watched

CAM = ("grad_cam", "grad_cam++")  # which need features with rows and columns, and no captum
NO_EVIDENCE = "no positive evidence"
GAP = 0.01  # of integrated gradients, at which the steps suffice
PIXELS = 16 * 224**2  # of the images that are worked on at a time
NOISE = 0.15  # deviation of SmoothGrad's noise, of the range of the input's values


@dataclass(frozen=True)
class Effort:
    """How much a method computes: the first and the most steps, the noisy samples, and the windows along a side."""

    steps: int = 32
    most_steps: int = 1024
    samples: int = 24
    windows: int = 8


@dataclass(frozen=True)
class Features:
    """The output (C, H, W) of a module, and the gradient of the class's logit with respect to it."""

    values: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Question:
    """A network, the input of one image (1, C, size, size), a class, and the module whose output CAM weights.

    `features` are those of this module, where the network's answer has given them. The module's name is empty where no
    output of the network has rows and columns.
    """

    network: nn.Module
    inputs: Tensor
    target: int
    stage: str
    effort: Effort = Effort()
    features: Features | None = None

    def of(self, network: nn.Module) -> Question:
        """Returns the same question about another network."""
        return dataclasses.replace(self, network=network, features=None)

    @property
    def chunk(self) -> int:
        """The number of images that are worked on at a time."""
        return max(1, PIXELS // self.inputs.shape[-2:].numel())

    def logits(self, inputs: Tensor) -> Tensor:
        """Returns logits (N, classes); a network may change its input in place."""
        logits: Tensor = self.network(inputs.clone())
        return logits


@dataclass(frozen=True)
class Attribution:
    """A map (size, size) over the input: positive where it speaks for the class, negative against; and a remark."""

    values: Tensor
    remark: str = ""


@dataclass(frozen=True)
class Method:
    """A method with two sentences for its readers: what is seen, and what not to conclude."""

    title: str
    seen: str
    caution: str
    attribute: Callable[[Question], Attribution]


def check_captum(methods: Iterable[str]) -> None:
    """Raises `UsageError` where one of the methods is captum's, which is not installed."""
    for name in methods:
        if name not in CAM and find_spec("captum") is None:
            raise UsageError(f"the method {name} needs the package captum: pip install 'convatlas[explain]'")


def grad_cam(question: Question) -> Attribution:
    """Returns the positive part of the channels' sum, each weighted by the mean of its gradient."""
    found = _features(question)
    return _cam(question, found.values, found.gradient.mean((1, 2), keepdim=True))


def grad_cam_plus_plus(question: Question) -> Attribution:
    """Returns the same with weights that count the places where the gradient is positive."""
    found = _features(question)
    features, gradients = found.values, found.gradient
    sums = features.sum((1, 2), keepdim=True)
    divisor = 2 * gradients**2 + sums * gradients**3
    alpha = torch.where(divisor != 0, gradients**2 / torch.where(divisor != 0, divisor, 1.0), 0.0)
    return _cam(question, features, (alpha * gradients.relu()).sum((1, 2), keepdim=True))


def integrated_gradients(question: Question) -> Attribution:
    """Returns the gradients between the mean colour and the image, which add up to the difference of the logits.

    The steps are doubled until they do within one percent, or until they are many.
    """
    from captum.attr import IntegratedGradients

    inputs, baseline = question.inputs.detach().clone().requires_grad_(), torch.zeros_like(question.inputs)
    with torch.no_grad():
        logits = question.logits(torch.cat([baseline, question.inputs]))[:, question.target].double()
    difference = float(logits[1] - logits[0])
    steps, method = question.effort.steps, IntegratedGradients(question.logits)
    while True:
        given = method.attribute(
            inputs, baseline, target=question.target, n_steps=steps, internal_batch_size=question.chunk
        ).detach()
        gap = abs(float(given.double().sum()) - difference) / max(abs(difference), 1e-6)
        if gap <= GAP or 2 * steps > question.effort.most_steps:
            break
        steps *= 2
    over = f", more than the {100 * GAP:g} % that is asked for" if gap > GAP else ""
    return Attribution(given[0].sum(0), f"completeness gap {100 * gap:.2g} % after {steps} steps{over}")


def occlusion(question: Question) -> Attribution:
    """Returns how much the logit falls where a window of the mean colour covers the image."""
    from captum.attr import Occlusion

    channels, size, _ = question.inputs.shape[1:]
    window = max(1, size // question.effort.windows)
    step = max(1, window // 2)
    with torch.no_grad():
        given = Occlusion(question.logits).attribute(
            question.inputs,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, step, step),
            target=question.target,
            baselines=0.0,
            perturbations_per_eval=question.chunk,
        )
    return Attribution(given[0].float().mean(0), f"window {window} x {window} pixels of the input")


def smooth_grad(question: Question) -> Attribution:
    """Returns the size of the mean gradient over noisy copies of the image."""
    from captum.attr import NoiseTunnel, Saliency

    inputs = question.inputs.detach().clone().requires_grad_()
    deviation = NOISE * float(question.inputs.max() - question.inputs.min())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        given = NoiseTunnel(Saliency(question.logits)).attribute(
            inputs,
            nt_type="smoothgrad",
            nt_samples=question.effort.samples,
            nt_samples_batch_size=min(question.chunk, question.effort.samples),
            stdevs=max(deviation, 1e-6),
            target=question.target,
            abs=False,
        )
    return Attribution(given[0].detach().abs().sum(0), f"{question.effort.samples} noisy copies")


def _features(question: Question) -> Features:
    """Returns the features that the question has, or computes them."""
    if question.features is not None:
        return question.features
    target = torch.tensor([question.target], device=question.inputs.device)
    return answered(question.network, question.inputs, question.stage, choose=lambda _logits: target)[1][0]


def answered(
    network: nn.Module, inputs: Tensor, stage: str, *, choose: Callable[[Tensor], Tensor]
) -> tuple[Tensor, list[Features]]:
    """Returns the logits (N, classes) of inputs (N, C, size, size), and the features of each for its class.

    `choose` gives the classes (N,) of logits. The stage's output is cut off from the layers before it, which need no
    gradient, and copied, as what follows may work in place. Of a module that works several times, the last time counts.
    """
    leaves: list[Tensor] = []

    def cut(_name: str, output: Any) -> Tensor:
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()

    with torch.enable_grad(), watched(network, [stage], cut):
        logits: Tensor = network(inputs.detach().clone())
        chosen = logits.gather(1, choose(logits.detach())[:, None])
        (gradients,) = torch.autograd.grad(chosen.sum(), leaves[-1])
    pairs = zip(leaves[-1].detach().float(), gradients.float(), strict=True)
    return logits.detach(), [Features(*pair) for pair in pairs]


def _cam(question: Question, features: Tensor, weights: Tensor) -> Attribution:
    """Returns the positive part of the weighted sum, stretched over the input; zero without positive evidence."""
    values = (weights * features).sum(0).relu()
    if not bool(values.isfinite().all()):
        raise UsageError(f"the features of {question.stage} are not finite; the network has diverged")
    side = question.inputs.shape[-2:]
    stretched = F.interpolate(values[None, None], size=side, mode="bilinear", align_corners=False)[0, 0]
    remark = f"{features.shape[1]} x {features.shape[2]} values of {question.stage}"
    return Attribution(stretched, remark if float(values.max()) > 0 else NO_EVIDENCE)


METHODS = {
    "grad_cam": Method(
        "Grad-CAM",
        "Orange marks the places whose last features speak for the class.",
        "The map has only as many values as these features, so its edges are not edges of an object, and the network "
        "may have used what lies around it.",
        grad_cam,
    ),
    "grad_cam++": Method(
        "Grad-CAM++",
        "Orange marks the places whose last features speak for the class, several objects more evenly than Grad-CAM.",
        "A larger area does not mean that the network is surer.",
        grad_cam_plus_plus,
    ),
    "integrated_gradients": Method(
        "Integrated gradients",
        "Each pixel's part in the change of the logit from an image of the mean colour to this one: orange for the "
        "class, blue against it.",
        "A pixel of about the mean colour gets little whatever it shows, and the picture would change with another "
        "start.",
        integrated_gradients,
    ),
    "occlusion": Method(
        "Occlusion",
        "Orange marks the places where a window of the mean colour lowers the logit, blue where it raises it.",
        "Where either of two places is enough for the answer, both look unimportant. The covered image is unlike any "
        "that the network was trained on.",
        occlusion,
    ),
    "smooth_grad": Method(
        "SmoothGrad",
        "Orange marks the pixels whose small changes move the logit most, as a mean over noisy copies.",
        "It says where the answer is sensitive, not what speaks for the class, and it often looks like the edges of "
        "the image.",
        smooth_grad,
    ),
}
