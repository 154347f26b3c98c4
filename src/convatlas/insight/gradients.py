"""The gradients and activations of a network by depth: do they vanish, explode, or stay?

Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html, figures 6 and 7; He et al. 2015,
https://arxiv.org/abs/1502.01852, section 2.2. The loss is cross entropy on one batch, as in a step of training: norms
take the statistics of the batch. With `initialisation=small` weights are normal with a deviation of 0.01, as before
these papers (Krizhevsky et al. 2012, section 5).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.complexity import check_training, meta_network, smallest_size
from convatlas.data import DataSet, class_labels, load_data
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import around_fault
from convatlas.errors import UsageError
from convatlas.insight.gradient_choices import Choice, Initialisation, Norm
from convatlas.layers import initialize_kaiming, initialize_normal, initialize_xavier, total_loss
from convatlas.prediction import Predictor, choose_data, open_predictor
from convatlas.prediction.evaluate import check_own_split, fitting_data
from convatlas.words import label

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
WEIGHTED = (nn.Conv2d, nn.Linear)
SMALL = 0.01


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: the norm of its weight's gradient, and the deviation of the values it receives.

    `weight_norm` is the norm of the weight itself, and `n` the number of its values.
    """

    name: str
    gradient_norm: float
    activation_std: float
    weight_norm: float
    n: int


@dataclass(frozen=True)
class Signals:
    """The layers of a network in the order in which they work, under one name; `loss` is that of the batch."""

    name: str
    layers: tuple[Layer, ...]
    loss: float

    @property
    def first_to_last(self) -> float:
        """The gradient norm of the first layer as a multiple of that of the last; NaN where both are 0."""
        first, last = self.layers[0].gradient_norm, self.layers[-1].gradient_norm
        return first / last if last else float("nan") if not first else float("inf")


@dataclass(frozen=True)
class Batch:
    """Labelled training images of a data set, and the seed that chose them: the same for every network."""

    data: DataSet
    places: Tensor
    seed: int

    @staticmethod
    def draw(data: DataSet, *, images: int, seed: int) -> Batch:
        """Returns a batch of `images` different training images, or of all where there are fewer."""
        order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
        return Batch(data, order[:images], seed)

    def inputs(self, preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
        """Returns normalised images (n, C, size, size) and their classes (n,)."""
        pixels = self.data.train.batch(
            self.places, preprocessing=preprocessing
        )  # grey ones become those of each channel
        return preprocessing.normalize(pixels), class_labels(self.data.train, needed_by="the loss")[self.places]


def batch_for(
    wanted: Sequence[Choice], *, data: str | None, folder: Path | None = None, images: int, seed: int
) -> Batch:
    """Returns a batch of the data set `data`; where none is named, of that of the runs, else of the digits.

    Raises `UsageError` where none is named and the runs were trained on several.
    """
    runs = [open_predictor(each.name) for each in wanted if each.is_run] if data is None else []
    names = list(dict.fromkeys(str(run.data) for run in runs))
    if len(names) > 1:
        raise UsageError(f"the runs were trained on {' and on '.join(names)}; name one data set for all with --data")
    found = choose_data(runs[0], folder=folder) if runs else load_data(data or "digits", folder=folder)
    return Batch.draw(found, images=images, seed=seed)


def measured(choice: Choice, batch: Batch) -> tuple[Signals, ...]:
    """Returns the signals of an architecture, or those of a run before and after its training."""
    if choice.is_run:
        predictor = open_predictor(choice.name)
        check_own_split(predictor, batch.data)
        data = fitting_data(predictor, batch.data, named=True)
        return trained_signals(predictor, dataclasses.replace(batch, data=data))
    row = architecture(choice.name)
    options = row.parse_options(choice.options)
    return (initial_signals(row, batch, norm=choice.norm, initialisation=choice.initialisation, options=options),)


def initial_signals(
    row: Architecture,
    batch: Batch,
    *,
    norm: Norm = "own",
    initialisation: Initialisation = "own",
    options: dict[str, Any] | None = None,
) -> Signals:
    """Returns the signals of a new network, whose weights are drawn from the batch's seed.

    Images are resized where the network takes none of their size. Raises `UsageError` where it takes none at all, and
    for a network without norms where they are to be left out.
    """
    spec, options = batch.data.spec, options or {}
    channels = spec.channels if row.takes("in_channels") else row.in_channels
    shape = {"num_classes": len(spec.class_names), "in_channels": channels}
    size = _size(row, meta_network(row, **shape, **options), batch, channels=channels)
    mean, std = batch.data.train.channel_statistics(image_size=size)
    times = channels // len(mean)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(batch.seed)
        network = row.build(**shape, **options)
        _initialise(network, initialisation, activation=str(options.get("activation", "relu")))
    if norm == "none":
        if not any(isinstance(module, NORMS) for module in network.modules()):
            raise UsageError(f"{row.name} has no norm to leave out; ask for it without --norm none")
        network = without_norms(network)
    name = _name(row, options, norm=norm, initialisation=initialisation)
    return signals(network, *batch.inputs(Preprocessing(size, mean * times, std * times)), name=name)


def trained_signals(predictor: Predictor, batch: Batch) -> tuple[Signals, ...]:
    """Returns the signals of a network with its first weights, where a seed drew them, and with its trained ones."""
    inputs, labels = batch.inputs(predictor.preprocessing)
    name = label(predictor.architecture.name, predictor.options)
    found = []
    run = predictor.run
    if run is not None and run.record.start.origin == "seed" and run.record.seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.record.seed)
            first = predictor.architecture.build(
                num_classes=predictor.num_classes, in_channels=predictor.in_channels, **predictor.options
            )
        found.append(signals(first, inputs, labels, name=f"{name}, at initialisation"))
    return (*found, signals(copy.deepcopy(predictor.network), inputs, labels, name=f"{name}, trained"))


def signals(network: nn.Module, inputs: Tensor, labels: Tensor, *, name: str) -> Signals:
    """Returns the signals of a network in training mode for one batch (n, C, H, W) and its classes (n,).

    A layer that works several times counts once, with the values of its first time. Raises `UsageError` for a network
    without layers that have weights, and for a loss that is not finite.
    """
    layers = {at: module for at, module in network.named_modules() if isinstance(module, WEIGHTED)}
    output, received = _output(network, layers, inputs)
    if not received:
        raise UsageError(f"{name} has no convolution and no linear layer, whose gradients could be measured")
    loss = total_loss(output, lambda logits: F.cross_entropy(logits, labels))
    if not bool(loss.isfinite()):
        raise UsageError(
            f"the loss of {name} is {float(loss.detach())} on this batch; there are no gradients to measure"
        )
    weights = {at: layers[at].weight for at in received if layers[at].weight.requires_grad}
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    found = tuple(
        Layer(
            name=at,
            gradient_norm=0.0 if gradient is None else float(gradient.double().norm()),
            activation_std=received[at],
            weight_norm=float(weight.detach().double().norm()),
            n=weight.numel(),
        )
        for (at, weight), gradient in zip(weights.items(), gradients, strict=True)
    )
    return Signals(name, found, float(loss.detach()))


def _output(network: nn.Module, layers: Mapping[str, nn.Module], inputs: Tensor) -> tuple[Any, dict[str, float]]:
    """Returns the network's output in training, and the deviation that each layer receives, as they work."""
    received: dict[str, float] = {}

    def note(layer: str, values: Tensor) -> None:
        received.setdefault(layer, float(values.detach().float().std()))

    hooks = [
        module.register_forward_pre_hook(lambda _module, values, at=at: note(at, values[0]))
        for at, module in layers.items()
    ]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of dropout
            return around_fault(network.train())(inputs), received
    finally:
        for hook in hooks:
            hook.remove()


def without_norms(network: nn.Module) -> nn.Module:
    """Returns the network with the identity in place of each norm."""
    for name in [name for name, module in network.named_modules() if isinstance(module, NORMS)]:
        network.set_submodule(name, nn.Identity())
    return network


def _initialise(network: nn.Module, initialisation: Initialisation, *, activation: str) -> None:
    """Draws the weights of every convolution and linear layer again; `own` keeps those of the builder."""
    if initialisation == "kaiming":
        initialize_kaiming(network, activation=activation, fan="fan_in")
    elif initialisation == "xavier":
        initialize_xavier(network)
    elif initialisation == "small":
        initialize_normal(network, std=SMALL, kinds=WEIGHTED)


def _size(row: Architecture, outline: nn.Module, batch: Batch, *, channels: int) -> int:
    """Returns the image size of the data, or the smallest larger one that the network takes in training."""
    size = batch.data.spec.image_size or row.image_size
    with row.guard("cannot take the images"):
        try:
            outline.train()(torch.empty(2, channels, size, size, device="meta"))
        except Exception:  # whatever a layer says of an image that does not fit
            larger = smallest_size(outline.train(), channels, size=size, own=row.image_size)
            if larger is None:
                check_training(row, outline, in_channels=channels, image_size=size)
                raise
            return larger
    return size


def _name(row: Architecture, options: dict[str, Any], *, norm: Norm, initialisation: Initialisation) -> str:
    """Returns the network's label with what was changed about it."""
    changes = ["without norm"] if norm == "none" else []
    if initialisation != "own":
        changes.append(f"{initialisation} initialisation")
    return ", ".join([label(row.name, options), *changes])
