"""The objective of a network of which only the head is trained: the body's features are computed once and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.data import DataSet, Images, class_labels
from convatlas.data.batches.order import epoch_order
from convatlas.data.epoch import epoch_seed, steps_per_epoch
from convatlas.data.images.protocol import targets_at
from convatlas.device import BATCH_SIZE, autocast
from convatlas.errors import UsageError
from convatlas.layers.auxiliary import AUXILIARY, AuxiliaryHeads
from convatlas.prediction import answering, predict_logits
from convatlas.recipe import ALL_BUT_HEAD, Recipe
from convatlas.training.classification import Classification
from convatlas.training.freezing import head_of
from convatlas.training.objective import Objective, evaluated_network

if TYPE_CHECKING:
    from convatlas.training.plan import Plan


def objective_of(recipe: Recipe) -> type[Objective]:
    """Returns the objective that a recipe asks for.

    It is `HeadOnly` where only the head is trained and every epoch shows the same images, else `Classification`.
    """
    mixed = recipe.loss.mixup or recipe.loss.cutmix
    same = not recipe.images.changed_at_random and not mixed
    return HeadOnly if recipe.optimizer.frozen == (ALL_BUT_HEAD,) and same else Classification


def features_line(data: DataSet) -> str:
    """Returns the line that says how a head is trained."""
    count = sum(len(images) for images in data.parts.values())
    return (
        f"only the head is trained: the features of {count:,} images are computed once, without changes at random, and "
        "stay in memory"
    )


class HeadOnly(Classification):
    """Classification by a head on the features of a frozen body.

    The features of the training, validation and test images are computed once, when they are first needed, and stay in
    memory. The head is trained and evaluated on them, so that an epoch takes a moment. The run is one of the whole
    network: its checkpoints hold all weights.
    """

    name: ClassVar[str] = "head_only"

    def __init__(
        self, network: nn.Module, *, recipe: Recipe, labels: Tensor, num_classes: int, device: torch.device | str
    ) -> None:
        super().__init__(network, recipe=recipe, labels=labels, num_classes=num_classes, device=device)
        self.head = head_of(self.network)
        self.trained = tail_of(self.network, self.head)
        self._features: dict[str, Tensor] = {}

    def batches(self, plan: Plan, epoch: int) -> FeatureBatches:  # type: ignore[override]
        """Returns the shuffled batches (features, targets) of one epoch."""
        return FeatureBatches(self, plan, seed=epoch_seed(plan.seed, epoch))

    def features(self, plan: Plan, part: str) -> Tensor:
        """Returns the features (N, ...) of the images of a part, `train`, `validation` or `test`, on their device."""
        if part not in self._features and plan.features is not None:
            device = next(self.network.parameters()).device
            self._features[part] = plan.features.of(part, plan.data.parts[part]).to(device)
        if part not in self._features:
            images, precision = plan.data.parts[part], plan.recipe.precision
            body = Body(answering(self.network, precision=precision), self.head)
            flat = predict_logits(body, images, preprocessing=plan.preprocessing, precision=precision)
            device = next(self.network.parameters()).device
            self._features[part] = flat.view(len(flat), *body.shape).to(device)
        return self._features[part]

    def _logits(self, plan: Plan, split: Images) -> np.ndarray:
        """Returns the logits (N, classes) that the network to be evaluated gives the images of a split."""
        part = next(name for name, images in plan.data.parts.items() if images is split)
        features, precision = self.features(plan, part), plan.recipe.precision
        tail = tail_of(answering(evaluated_network(self), precision=precision), self.head)
        with torch.inference_mode(), autocast(features.device, precision):
            logits = [tail(few).float() for few in torch.split(features, BATCH_SIZE)]
        return torch.cat(logits).cpu().numpy()


class FeatureBatches:
    """The shuffled batches of one epoch: the features of the training images, and their labels."""

    def __init__(self, objective: HeadOnly, plan: Plan, *, seed: int) -> None:
        self.objective = objective
        self.plan = plan
        self.seed = seed

    def __len__(self) -> int:
        return steps_per_epoch(len(self.plan.data.train), self.plan.recipe)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        features, labels = self.objective.features(self.plan, "train"), class_labels(self.plan.data.train)
        generator = torch.Generator().manual_seed(self.seed)
        order = epoch_order(self.plan.data.train, self.plan.recipe, generator=generator).to(features.device)
        for places in torch.split(order, self.plan.recipe.batch_size)[: len(self)]:
            yield features.index_select(0, places), targets_at(labels, places)


class Body(nn.Module):
    """A network as far as the input of its head: (N, C, H, W) -> (N, features), all features of an image in a row.

    `shape` is the shape of an image's features, known after the first batch. Raises `UsageError` where the head alone
    does not make the network's answers of the features.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.tail = tail_of(network, head)
        self.shape: tuple[int, ...] = ()

    def forward(self, images: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hook = self.network.get_submodule(self.head).register_forward_pre_hook(lambda _, given: caught.append(given[0]))
        try:
            answers = self.network(images)
        finally:
            hook.remove()
        if not self.shape and not (len(caught) == 1 and _alike(self.tail(caught[0]), answers)):
            raise UsageError(
                f"the last layer of the network, {self.head}, does not make its answers of the features alone: it "
                "cannot be trained on them; choose --recipe full or gradual"
            )
        self.shape = tuple(caught[0].shape[1:])
        return caught[0].flatten(1)


def _alike(logits: Tensor, answers: object) -> bool:
    """Returns whether logits are equal to the answers of a network, to rounding."""
    if not isinstance(answers, Tensor) or answers.shape != logits.shape:
        return False
    return torch.allclose(logits, answers, rtol=1e-3, atol=1e-3)


def tail_of(network: nn.Module, head: str) -> nn.Module:
    """Returns the layers of a network from its head on: the head, and what follows it in a chain.

    >>> from convatlas.layers import sequential
    >>> network = sequential(stem=nn.Conv2d(3, 8, 3), head=sequential(conv=nn.Conv2d(8, 10, 1), flatten=nn.Flatten()))
    >>> [type(layer).__name__ for layer in tail_of(network, "head.conv")]
    ['Conv2d', 'Flatten']
    """
    layers = [network.get_submodule(head)]
    path = head.split(".")
    for depth in reversed(range(len(path))):
        around = network.get_submodule(".".join(path[:depth]))
        if isinstance(around, AuxiliaryHeads) or type(around).forward is nn.Sequential.forward:
            children = [(name, child) for name, child in around.named_children() if name != AUXILIARY]
            place = [name for name, _ in children].index(path[depth])
            layers += [child for _, child in children[place + 1 :]]
    return nn.Sequential(*layers)
