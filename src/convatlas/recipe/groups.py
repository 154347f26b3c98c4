"""The groups of a recipe's fields. A field that the recipe does not use is None, 0 or empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convatlas.values import Interpolation

OptimizerKind = Literal["sgd", "adam", "adamw", "rmsprop", "muon"]
ScheduleKind = Literal["constant", "multi_step", "step", "exponential", "cosine", "cosine_7_16", "one_cycle", "plateau"]
Warmup = Literal["linear", "constant"]
Crop = Literal["none", "resized", "pad4", "random"]
Fit = Literal["crop", "squash", "pad"]
Sampling = Literal["shuffled", "balanced"]
Magnitudes = Literal["fixed", "drawn"]
MethodKind = Literal[
    "supervised", "pseudo_label", "mean_teacher", "fixmatch", "uda", "meta_pseudo_labels", "noisy_student"
]
PseudoLabels = Literal["none", "soft", "hard"]
TeacherGradient = Literal["none", "first_order", "exact"]
Annealing = Literal["none", "linear", "log", "exp"]


@dataclass(frozen=True)
class OptimizerFields:
    """The optimizer; `kind` has the flat name `optimizer`.

    `lr_scales` multiply the rate of parts of the network, such as `("stem=0.1", "head=10")`. The names are stages or
    modules in stages; if several names contain a parameter, the longest name counts. `layer_decay` makes the rate fall
    from the last stage, which has the whole rate, to the first one: it multiplies the rate once for each stage between.
    `frozen` are parts that are not trained: their parameters stay as they are, and so do the statistics of their norms,
    because they work as in evaluation, without dropout. The word `all_but_head` stands for every part but the last
    layer with weights. For the first `head_first_epochs` only this layer is trained. `momentum` belongs to sgd, rmsprop
    and muon; `nesterov` makes the momentum of sgd and muon Nesterov's. `rms_decay` belongs to rmsprop (None means 0.9),
    `epsilon` to all but sgd. `weight_decay_on="weights"` spares norms and biases. `accumulate` is the number of parts
    in which a batch is computed. `clip_norm` bounds the norm of all gradients together. `ema` is the decay of the
    moving average of the weights; with it, the average is evaluated instead of the weights.
    """

    kind: OptimizerKind
    lr: float
    lr_scales: tuple[str, ...] = ()
    layer_decay: float = 1.0
    frozen: tuple[str, ...] = ()
    head_first_epochs: int = 0
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
    """The schedule of the learning rate; `kind` has the flat name `schedule`.

    A recipe counts in epochs or in optimizer steps. The rate is multiplied by `gamma` at each of `milestones`, in the
    recipe's unit (multi_step); every `decay_epochs` or `decay_steps` (step), or smoothly over them (exponential); or
    when the validation accuracy has not risen for `patience` epochs (plateau). With
    cosine_7_16 it is multiplied by cos(7 pi t / 16) at the part t of the way, and ends at 0.195. During the first
    `warmup_epochs` or `warmup_steps` the rate rises from `warmup_lr` (linear), or stays at `warmup_lr` (constant).
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
    """The preparation of an image, and its changes at random.

    `image_size` is in pixels; None keeps the size of the data. `interpolation` is the way of resizing; what is cut out
    at random is resized bilinearly. `fit` says how an image of another shape becomes square:
    its centre is cut out (crop), its sides are resized apart from each other (squash), or a border is added (pad).
    Where the network is evaluated and `fit` is crop, the shorter side of an image is resized to `shorter_side` (None
    means `image_size`), and the centre of `image_size` is cut out. `mean` and `std` are per channel, of values in [0,
    1]; None means the statistics of the training images. `flip` is the probability of mirroring left to right.
    `crop="resized"` cuts out a random part and resizes it; `crop_scale` is the range of its share of the area,
    `crop_ratio` the range of its aspect ratio. `crop="pad4"` adds 4 black pixels around the image and cuts out a part
    of the image's own size. `crop="random"` brings the image to a square of `shorter_side` and cuts out a part of
    `image_size`. `jitter` changes brightness, contrast and saturation: a factor of each is drawn from 1 -
    `jitter` to 1 + `jitter` for every image. `hue` turns the colours by a part of the circle, drawn from -`hue` to
    `hue`. Grey images have neither saturation nor hue. `rand_augment` is a number of operations of strength
    `rand_magnitude` (0 to 30); with `rand_magnitudes="drawn"` each operation on each image has a strength of its own,
    from 0 to this one. `cutout` is the side, in pixels, of a square in the mean colour.
    """

    image_size: int | None = None
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"
    fit: Fit = "crop"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: float = 0.0
    crop: Crop = "none"
    crop_scale: tuple[float, ...] = (0.8, 1.0)
    crop_ratio: tuple[float, ...] = (0.9, 1.1)
    jitter: float = 0.0
    hue: float = 0.0
    rand_augment: int = 0
    rand_magnitude: float | None = None
    rand_magnitudes: Magnitudes = "fixed"
    cutout: int = 0

    @property
    def changed_at_random(self) -> bool:
        """Returns whether training may show an image in another form than evaluation does.

        >>> ImageFields(image_size=64, fit="pad").changed_at_random, ImageFields(flip=0.5).changed_at_random
        (False, True)
        """
        drawn = (self.flip, self.jitter, self.hue, self.rand_augment, self.cutout)
        return any(drawn) or self.crop != "none"


@dataclass(frozen=True)
class LossFields:
    """The loss, and the mixing of images and labels.

    `label_smoothing` is the part of the label that all classes share. `mixup` and `cutmix` are the alpha of their Beta
    distributions; with both, each batch has one of them. `class_weights="balanced"` weighs an image by the rarity of
    its class.
    """

    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"


@dataclass(frozen=True)
class BoxFields:
    """The changes at random of images with boxes, for detectors; `flip` is that of all images.

    `scale_jitter` is the range of a factor on the size of an image in its square: a larger image is cut at random, a
    smaller one has a border. `mosaic` is the probability that four images share a square.
    """

    scale_jitter: tuple[float, ...] = (1.0, 1.0)
    mosaic: float = 0.0


@dataclass(frozen=True)
class NetworkFields:
    """Options of the network that a recipe may set, by their names in the network."""

    dropout: float | None = None
    stochastic_depth: float | None = None
    auxiliary_weight: float | None = None


@dataclass(frozen=True)
class MethodFields:
    """The method of a training with few labels; `kind` has the flat name `method`, None for training as usual.

    `labels` is the number of training images that keep their labels, equally many of each class, or below 1 the part
    of each class; None keeps all. `unlabelled_ratio` is the number of unlabelled images for each labelled one in a
    batch. `unlabelled_weight` multiplies their loss; it rises from 0 during the part `ramp_up` of the training.
    Answers whose highest probability is below `threshold` teach nothing. `temperature` sharpens the answers that
    teach. `annealing` is UDA's training signal annealing: labelled images that are known too well teach nothing, by a
    limit that rises to 1.

    Noisy Student's teacher gives `pseudo_labels`: probabilities (soft) or classes (hard); of each class
    `pseudo_per_class` images are taken, None for the mean over the classes.

    The last four are of Meta Pseudo Labels: the way of the teacher's gradient from the student; the part of the
    training in which the student waits for its teacher; the last part, in which it learns the labelled images, and the
    rate of this part. In the recipe of such a method `rand_augment` and `cutout` change the strong view alone.
    """

    kind: MethodKind | None = None
    labels: float | None = None
    unlabelled_ratio: int = 0
    unlabelled_weight: float = 0.0
    ramp_up: float = 0.0
    threshold: float | None = None
    temperature: float | None = None
    annealing: Annealing = "none"
    pseudo_labels: PseudoLabels = "none"
    pseudo_per_class: int | None = None
    teacher_gradient: TeacherGradient = "none"
    student_wait: float = 0.0
    finetune_part: float = 0.0
    finetune_lr: float | None = None
