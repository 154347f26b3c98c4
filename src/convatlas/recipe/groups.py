"""The groups of a recipe's fields. A field is None, 0 or empty where the recipe does not use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OptimizerKind = Literal["sgd", "adam", "adamw", "rmsprop", "muon"]
ScheduleKind = Literal["constant", "multi_step", "step", "exponential", "cosine", "one_cycle", "plateau"]
Warmup = Literal["linear", "constant"]
Crop = Literal["none", "resized", "pad4"]


@dataclass(frozen=True)
class OptimizerFields:
    """How gradients move the weights; `kind` has the flat name `optimizer`.

    `lr_scales` multiply the rate of parts of the network: `("stem=0.1", "head=10")`, by the names of stages or of
    modules in stages; where several names hold a parameter, the longest one counts. `momentum` belongs to sgd, rmsprop
    and muon; `nesterov` makes the momentum of sgd and muon Nesterov's. `rms_decay` belongs to rmsprop (0.9 where it is
    None), `epsilon` to all but sgd. `weight_decay_on="weights"` spares norms and biases. `accumulate` is the number of
    parts in which a batch is computed. `clip_norm` bounds the norm of all gradients together. `ema` is the decay of the
    moving average of the weights, which is then evaluated in their place.
    """

    kind: OptimizerKind
    lr: float
    lr_scales: tuple[str, ...] = ()
    momentum: float = 0.0
    nesterov: bool = False
    rms_decay: float | None = None
    epsilon: float | None = None
    weight_decay: float = 0.0
    weight_decay_on: Literal["all", "weights"] = "all"
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None

    def scales(self) -> dict[str, float]:
        """Returns the factor on the rate of each part of the network that `lr_scales` name.

        >>> OptimizerFields("sgd", lr=0.1, lr_scales=("stem=0.1", "head=10")).scales()
        {'stem': 0.1, 'head': 10.0}
        """
        return {name: float(factor) for name, _, factor in (text.partition("=") for text in self.lr_scales)}


@dataclass(frozen=True)
class ScheduleFields:
    """How the learning rate changes; `kind` has the flat name `schedule`.

    A recipe counts in epochs or in optimizer steps. The rate is multiplied by `gamma` at each of `milestones`, in the
    recipe's unit (multi_step), every `decay_epochs` or `decay_steps` (step, and smoothly exponential), or where the
    validation accuracy has not risen for `patience` epochs (plateau). During the first `warmup_epochs` or
    `warmup_steps` it rises from `warmup_lr` (linear), or stays at `warmup_lr` (constant).
    """

    kind: ScheduleKind = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    decay_epochs: float | None = None
    decay_steps: int | None = None
    patience: int | None = None
    warmup_epochs: float = 0.0
    warmup_steps: int = 0
    warmup: Warmup = "linear"
    warmup_lr: float = 0.0


@dataclass(frozen=True)
class ImageFields:
    """How an image is prepared and changed at random.

    `image_size` is in pixels, None for the data's own. `mean` and `std` are per channel, of values in [0, 1], None for
    the statistics of the training images. `flip` is the probability of mirroring left to right. `crop="resized"` takes
    a random part of `crop_scale` of the area and of aspect ratio `crop_ratio` and resizes it. `crop="pad4"` adds 4
    black pixels around the image and takes a part of the image's own size. `rand_augment` is a number of operations of
    strength `rand_magnitude` (0 to 30). `cutout` is the side, in pixels, of a square at the mean colour.
    """

    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: float = 0.0
    crop: Crop = "none"
    crop_scale: tuple[float, ...] = (0.8, 1.0)
    crop_ratio: tuple[float, ...] = (0.9, 1.1)
    rand_augment: int = 0
    rand_magnitude: float | None = None
    cutout: int = 0


@dataclass(frozen=True)
class LossFields:
    """The loss, and the images that are mixed with their labels.

    `label_smoothing` is the part of the label that all classes share. `mixup` and `cutmix` are the alpha of their Beta
    distribution; where both are given, each batch has one of them. `class_weights="balanced"` weighs an image by the
    rarity of its class.
    """

    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"


@dataclass(frozen=True)
class NetworkFields:
    """Options of the network that a recipe may set, by their names in the network."""

    dropout: float | None = None
    stochastic_depth: float | None = None
    auxiliary_weight: float | None = None
