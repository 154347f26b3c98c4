"""The optimizers by name, over the parameters that a recipe lets decay and the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from convatlas.errors import UsageError, unknown
from convatlas.layers.auxiliary import AUXILIARY
from convatlas.recipe import Recipe
from convatlas.words import is_part


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Returns the recipe's optimizer over the network's parameters, at the recipe's rate."""
    optimizer = _optimizer_over(parameter_groups(network, recipe), recipe)
    set_rate(optimizer, recipe.optimizer.lr)
    return optimizer


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Sets the learning rate of every group of parameters: `rate`, multiplied by the scale of the group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)  # a checkpoint from before the scales has none


def _optimizer_over(groups: list[dict[str, Any]], recipe: Recipe) -> Optimizer:
    fields = recipe.optimizer
    lr, momentum, epsilon = fields.lr, fields.momentum, fields.epsilon or 1e-8
    if fields.kind == "sgd":
        return SGD(groups, lr=lr, momentum=momentum, nesterov=fields.nesterov, fused=True)
    if fields.kind == "rmsprop":
        decay = 0.9 if fields.rms_decay is None else fields.rms_decay
        return RMSProp(groups, lr=lr, decay=decay, momentum=momentum, epsilon=epsilon)
    if fields.kind == "muon":
        return Muon(groups, lr=lr, momentum=momentum, nesterov=fields.nesterov, epsilon=epsilon)
    kind = Adam if fields.kind == "adam" else AdamW
    return kind(groups, lr=lr, eps=epsilon, fused=True)


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Returns the network's parameters in groups of one weight decay and one scale of the learning rate.

    With `weight_decay_on="weights"` norms and biases have no weight decay and come after the others. They are the
    parameters of one dimension, whatever the layer's class.
    """
    fields, scales = recipe.optimizer, recipe.optimizer.scales()
    decays = stage_decays(network, fields.layer_decay)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decay = fields.weight_decay if fields.weight_decay_on == "all" or parameter.ndim > 1 else 0.0
        scale = scale_of(name, scales) * decays[name.partition(".")[0]]
        group = groups.setdefault((decay, scale), {"params": [], "weight_decay": decay, "lr_scale": scale})
        group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: -group["weight_decay"])


def check_optimizer(network: nn.Module, recipe: Recipe, *, name: str) -> None:
    """Raises `UsageError` where the recipe's optimizer, or a scale of its rate, has nothing to do in the network."""
    if recipe.optimizer.kind == "muon" and not any(parameter.ndim == 4 for parameter in network.parameters()):
        raise UsageError(
            f"optimizer=muon of recipe {recipe.name} cannot be used: {name} has no convolution; choose another recipe"
        )
    trained = [parameter for parameter, _ in network.named_parameters()]
    for part in recipe.optimizer.scales():
        if not any(is_part(part, parameter) for parameter in trained):
            stages = dict.fromkeys(parameter.partition(".")[0] for parameter in trained)
            raise unknown(f"part of {name} in lr_scales", part, stages)


def stage_decays(network: nn.Module, decay: float) -> dict[str, float]:
    """Returns the factor on the rate of each stage: 1 for the last one and for auxiliary heads, less towards the stem.

    >>> stage_decays(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Linear(8, 2)), 0.5)
    {'0': 0.25, '2': 0.5, '3': 1.0}
    """
    stages = list(dict.fromkeys(name.partition(".")[0] for name, _ in network.named_parameters()))
    in_order = [stage for stage in stages if stage != AUXILIARY]
    factors = {stage: decay ** (len(in_order) - 1 - place) for place, stage in enumerate(in_order)}
    return {stage: factors.get(stage, 1.0) for stage in stages}


def scale_of(name: str, scales: Mapping[str, float]) -> float:
    """Returns the scale of the rate of a parameter: that of the longest name of a part that holds it, else 1.

    >>> scale_of("stage1.0.conv1.weight", {"stage1": 0.1, "stage1.0": 0.5, "stage": 3.0})
    0.5
    """
    holding = [part for part in scales if is_part(part, name)]
    return scales[max(holding, key=len)] if holding else 1.0


class EachParameter(Optimizer):
    """An optimizer that updates one parameter after another, from its own gradient alone."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on the gradients, which `closure` computes first where it is given; its loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError


class RMSProp(EachParameter):
    """TensorFlow's RMSProp, with which Inception and EfficientNet were trained; PyTorch's is another one.

    mean = decay * mean + (1 - decay) * gradient^2, which begins at 1 and not at 0; the step is
    momentum * step + lr * gradient / sqrt(mean + epsilon), where epsilon stands inside the root and the learning rate
    inside the momentum. The difference matters: the papers' epsilons are 1 and 0.001. Weight decay is added to the
    gradient. `tf.compat.v1.train.RMSPropOptimizer`.
    """

    def __init__(
        self, parameters: Any, *, lr: float, decay: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon, "weight_decay": 0.0}
        )

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.ones_like(parameter)
            state["step"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
        state["mean"].lerp_(gradient.square(), 1 - group["decay"])
        root = (state["mean"] + group["epsilon"]).sqrt_()
        state["step"].mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
        parameter.sub_(state["step"])


class Muon(EachParameter):
    """Muon for the kernels of convolutions, AdamW (betas 0.9 and 0.999) for every other parameter.

    A kernel (out, in / groups, height, width) counts as a matrix of `out` rows, all groups together, and a classifier
    that is a convolution as a kernel. Its step is the momentum of its gradients made orthogonal, and of AdamW's size:
    0.2 root mean square at full rank, so that both have one learning rate and one, decoupled, weight decay.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the size is equation 4 of Liu et al. 2025,
    https://arxiv.org/abs/2502.16982. torch's own Muon takes matrices only.
    """

    def __init__(self, parameters: Any, *, lr: float, momentum: float, nesterov: bool, epsilon: float = 1e-8) -> None:
        super().__init__(
            parameters, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "epsilon": epsilon, "weight_decay": 0.0}
        )

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        step = self._orthogonal if parameter.ndim == 4 else self._adam
        change = step(parameter, parameter.grad, group)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])

    def _orthogonal(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        matrix = orthogonal(direction.flatten(1))
        return matrix.view_as(parameter).mul(0.2 * max(matrix.shape) ** 0.5)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state |= {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter), "steps": 0}
        state["steps"] += 1
        mean = state["mean"].lerp_(gradient, 0.1) / (1 - 0.9 ** state["steps"])
        square = state["square"].lerp_(gradient.square(), 0.001) / (1 - 0.999 ** state["steps"])
        return torch.div(mean, square.sqrt().add(group["epsilon"]))


def orthogonal(matrix: Tensor) -> Tensor:
    """Returns the matrix (rows, columns) with singular values moved to about 1 (0.68 to 1.2) and directions kept.

    Values below 0.2 % of the matrix's norm stay lower.

    Five steps of the Newton-Schulz iteration with the coefficients of Jordan et al. 2024.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide.div(wide.norm() + 1e-7)
    for _ in range(5):
        product = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * (product @ product) - 4.7750 * product) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
