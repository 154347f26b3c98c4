"""The objective of a detector: it learns the classes and the boxes of the things in an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convatlas.data import Images
from convatlas.data.boxes.augmentation import BoxChanges
from convatlas.data.boxes.batches import BoxBatches, PaddedBoxes
from convatlas.data.boxes.truth import box_labels
from convatlas.data.epoch import epoch_seed
from convatlas.detection.anchors import anchors_of, flat_output, level_sizes
from convatlas.detection.losses import DetectionLosses, LossForm, detection_losses
from convatlas.detection.matching import Targets, match
from convatlas.detection.precision import FoundBoxes, precision_scores
from convatlas.device import autocast, network_input
from convatlas.layers import DetectorOutput
from convatlas.prediction import answering
from convatlas.prediction.detector import asked, predict_boxes
from convatlas.recipe import Recipe
from convatlas.scores import AP, Score
from convatlas.training.averaging import MovingAverage
from convatlas.training.detection.outcome import detection_outcome
from convatlas.training.objective import Measured, Outcome, Part, evaluated_network
from convatlas.training.optimizers import make_optimizer
from convatlas.training.parallel import Group

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

NETWORK, AVERAGE = "network", "ema_network"  # the names in checkpoints, as those of a classifier


class Detection:
    """Focal loss for classes and Huber loss for boxes of one network, evaluated by COCO's average precision.

    With `ema` in the recipe the moving average is evaluated. The network is put on `device`, its weights channels last
    in memory.
    """

    name: ClassVar[str] = "detection"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {
        "train": ("loss", "class_loss", "box_loss"),
        "val": ("ap", "ap50"),
    }
    score: ClassVar[Score] = AP

    def __init__(self, network: nn.Module, *, recipe: Recipe, device: torch.device | str) -> None:
        self.recipe = recipe
        self.network = network.to(memory_format=torch.channels_last).to(device).train()  # type: ignore[call-overload]
        self.modules: dict[str, nn.Module] = {NETWORK: self.network}
        self.average = MovingAverage(self.network, decay=recipe.optimizer.ema) if recipe.optimizer.ema else None
        if self.average is not None:
            self.modules[AVERAGE] = self.average
        self.evaluated = AVERAGE if self.average is not None else NETWORK
        self.optimizer = make_optimizer(self.network, recipe)
        self.optimizers = {NETWORK: self.optimizer}
        self.form = LossForm()
        self.anchors = anchors_of(network)
        self._boxes: dict[int, Tensor] = {}  # of the anchors, by the size of the images

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the network of a plan, initialised from its seed or its start, with its optimizer on a device."""
        return cls(plan.build(), recipe=plan.recipe, device=device)

    def batches(self, plan: Plan, epoch: int) -> BoxBatches:
        """Returns the shuffled, changed batches (images, boxes) of one epoch."""
        fields = plan.recipe.boxes
        low, high = fields.scale_jitter
        return BoxBatches(
            plan.data.train,
            recipe=plan.recipe,
            preprocessing=plan.preprocessing,
            changes=BoxChanges(flip=plan.recipe.images.flip, scale=(low, high), mosaic=fields.mosaic),
            seed=epoch_seed(plan.seed, epoch),
        )

    def step(self, batch: tuple[Tensor, PaddedBoxes], *, update: Callable[[Optimizer], None], group: Group) -> Measured:
        """Takes one optimizer step on images (N, C, H, W), normalised, and their boxes.

        The images go through the network in as many parts as the recipe says. The positive anchors of the whole batch
        divide the losses of each part, so that these add up to those of the batch.
        """
        self.network.zero_grad()
        images, boxes = batch
        targets = self._targets(images, boxes)
        own = [group.part(tensor) for tensor in (images, *targets)]
        count = len(own[0])
        parts = min(self.recipe.optimizer.accumulate, count)
        pieces = zip(*(tensor.tensor_split(parts) for tensor in own), strict=True) if parts else ()
        losses = [self._backward(part, Targets(*wanted), positives=targets.positives) for part, *wanted in pieces] or [
            DetectionLosses(*torch.zeros(3, device=images.device))
        ]
        group.add_gradients(self.network.parameters())
        if self.recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimizer.clip_norm)
        update(self.optimizer)
        if self.average is not None:
            self.average.update_parameters(self.network)
        classes, boxes_loss, total = (torch.stack(column).sum() for column in zip(*losses, strict=True))
        scale = len(images) / max(count, 1)  # of the images of this process
        means = {"loss": total * scale, "class_loss": classes * scale, "box_loss": boxes_loss * scale}
        return Measured(count, means=means)

    def validate(self, plan: Plan) -> dict[str, float]:
        """Average precision on the validation images, by the arithmetic of the final evaluation."""
        validation = plan.data.validation
        scores = precision_scores(
            self.found(plan, validation), box_labels(validation), class_names=plan.data.spec.class_names
        )
        return {"ap": scores.ap, "ap50": scores.ap50}

    def outcome(self, plan: Plan) -> Outcome:
        """Boxes found in the validation and test images, the true ones, their measures, and the worst misses."""
        parts = {"val": plan.data.validation, "test": plan.data.test}
        chosen = {name: images for name, images in parts.items() if name == "test" or plan.validates}
        return detection_outcome(plan, {name: self.found(plan, images) for name, images in chosen.items()}, self)

    def state(self) -> dict[str, Any]:
        """Returns an empty state: modules and optimizer are kept by the learner."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores nothing."""

    def found(self, plan: Plan, images: Images) -> list[FoundBoxes]:
        """Returns the boxes that the network to be evaluated finds in each image."""
        precision = plan.recipe.precision
        network = answering(evaluated_network(self), precision=precision)
        return predict_boxes(network, images, preprocessing=plan.preprocessing, precision=precision)

    def _targets(self, images: Tensor, boxes: PaddedBoxes) -> Targets:
        """Returns the targets of all anchors in each image of a batch."""
        size = images.shape[-1]
        if size not in self._boxes:
            with asked(self.network):  # once, for the sizes of its levels
                levels = level_sizes(self.network(network_input(images[:1])))
            self._boxes[size] = self.anchors.boxes(size, levels).to(images.device)
        return match(self._boxes[size], boxes)

    def _backward(self, images: Tensor, targets: Targets, *, positives: Tensor) -> DetectionLosses:
        """Adds the gradients of a part of the batch; returns its share of the batch's losses."""
        with autocast(images.device, self.recipe.precision):
            output: DetectorOutput = self.network(network_input(images))
        flat = flat_output(output, anchors=len(self.anchors))
        losses = detection_losses(flat, targets, positives=positives, form=self.form)
        losses.total.backward()  # type: ignore[no-untyped-call]
        return DetectionLosses(*(loss.detach() for loss in losses))
