"""The optimizers: which a recipe makes, over which parameters, and what their steps are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import convatlas
from convatlas.recipe import Recipe, recipe
from convatlas.training.optimizers import Muon, RMSProp, make_optimizer, orthogonal, parameter_groups, set_rate


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"optimizer": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD, {"nesterov": True, "dampening": 0}),
        ({"optimizer": "sgd"}, torch.optim.SGD, {"nesterov": False, "momentum": 0.0}),
        ({"optimizer": "adam"}, torch.optim.Adam, {"weight_decay": 0.01}),
        ({"optimizer": "adamw"}, torch.optim.AdamW, {"weight_decay": 0.01}),
    ],
)
def test_optimizers(changes: dict[str, Any], kind: type, expected: dict[str, float]) -> None:
    optimizer = make_optimizer(torch.nn.Linear(1, 1), recipe("quick").replaced(**changes))
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected


def test_weight_decay_spares_norms_and_biases() -> None:
    network = convatlas.create("resnet_uva", depths=(1, 1, 1))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    row = recipe("quick").replaced(weight_decay_on="weights")
    decayed, spared = parameter_groups(network, row)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (row.optimizer.weight_decay, 0.0)
    found = [{names[id(parameter)] for parameter in group["params"]} for group in (decayed, spared)]
    assert all(name.endswith(".weight") and ".norm" not in name for name in found[0])
    assert all(name.endswith(".bias") or ".norm" in name for name in found[1])
    assert found[0] | found[1] == set(names.values())
    assert [len(group["params"]) for group in parameter_groups(network, recipe("quick"))] == [len(names)]


SCALES = ("stem=0.1", "stage2=0.5", "stage2.1.branch.conv1=2", "head=10")


def rates(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The rate of each parameter by its name."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(one)]: group["lr"] for group in optimizer.param_groups for one in group["params"]}


@pytest.mark.parametrize("decay_on", ["all", "weights"])
def test_rates_scale_by_part_of_the_network(decay_on: str) -> None:
    """The longest name counts, and a name ends at a dot."""
    network = convatlas.create("resnet_uva", depths=(1, 2, 1))
    row = recipe("quick").replaced(lr=1.0, weight_decay_on=decay_on, lr_scales=SCALES)
    optimizer = make_optimizer(network, row)
    for rate in (1.0, 0.25):
        set_rate(optimizer, rate)
        for name, found in rates(network, optimizer).items():
            if name.startswith("stage2.1.branch.conv1."):
                scale = 2.0
            else:
                scale = {"stem": 0.1, "stage2": 0.5, "head": 10.0}.get(name.partition(".")[0], 1.0)
            assert found == rate * scale, name
    assert len(rates(network, optimizer)) == len(list(network.parameters()))
    assert set(rates(network, optimizer).values()) == {0.25, 0.025, 0.125, 0.5, 2.5}
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    assert decays == sorted(decays, reverse=True)


def test_without_scales_the_groups_are_those_of_old_checkpoints() -> None:
    """In the order of the parameters, decayed ones first, also where the first layer is a norm."""
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    parameters = dict(network.named_parameters())
    (group,) = parameter_groups(network, recipe("quick"))
    assert list(map(id, group["params"])) == list(map(id, parameters.values()))
    decayed, spared = parameter_groups(network, recipe("quick").replaced(weight_decay_on="weights"))
    assert list(map(id, decayed["params"])) == [id(parameters[name]) for name in ("1.weight", "2.weight")]
    names = ("0.weight", "0.bias", "1.bias", "2.bias")
    assert list(map(id, spared["params"])) == [id(parameters[name]) for name in names]


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_the_state_of_an_optimizer_from_before_the_scales_is_loaded(kind: str) -> None:
    """Its groups have no `lr_scale`; the next step is the same."""
    row = recipe("quick").replaced(optimizer=kind, momentum=0.9 if kind == "muon" else 0.0)
    networks = [nn.Sequential(nn.Conv2d(2, 2, 3)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    ours, other = (make_optimizer(network, row) for network in networks)
    old = copy.deepcopy(ours.state_dict())
    for group in old["param_groups"]:
        del group["lr_scale"]
    other.load_state_dict(old)
    for network, optimizer in zip(networks, (ours, other), strict=True):
        set_rate(optimizer, 0.03)
        network(torch.ones(1, 2, 3, 3)).sum().backward()
        optimizer.step()
    assert torch.equal(networks[0][0].weight, networks[1][0].weight)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop", "muon"])
def test_a_scaled_rate_is_the_rate_of_its_part(kind: str) -> None:
    """The part with a scale of 0.1 moves as all does at a tenth of the rate, the rest as without scales."""
    changes = {"optimizer": kind, "momentum": 0.9 if kind == "muon" else 0.0, "lr": 0.5}
    rows = [{}, {"lr": 0.5 * 0.1}, {"lr_scales": ("0=0.1",)}]
    moved = []
    for own in rows:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1))
        optimizer = make_optimizer(network, recipe("quick").replaced(**(changes | own)))
        network(torch.ones(1, 2, 3, 3)).square().sum().backward()
        optimizer.step()
        moved.append([layer.weight.detach() for layer in network])
    whole, tenth, scaled = moved
    assert torch.equal(scaled[0], tenth[0])
    assert torch.equal(scaled[1], whole[1])


def test_rmsprop_is_tensorflows() -> None:
    """Two steps by hand: the mean square begins at 1, epsilon is inside the root, the rate inside the momentum."""
    row = recipe("efficientnet").replaced(lr=0.5, weight_decay=0.0, weight_decay_on="all")
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = make_optimizer(torch.nn.ParameterList([parameter]), row)
    assert isinstance(optimizer, RMSProp)
    value, mean, step = 2.0, 1.0, 0.0
    for gradient, rate in ((3.0, 0.5), (-1.0, 0.25)):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        mean = 0.9 * mean + 0.1 * gradient**2
        step = 0.9 * step + rate * gradient / (mean + 1e-3) ** 0.5
        value -= step
        assert parameter.item() == pytest.approx(value, rel=1e-12)


def test_rmsprop_adds_weight_decay_to_the_gradient() -> None:
    parameter = torch.nn.Parameter(torch.tensor([[2.0]]))
    optimizer = RMSProp([{"params": [parameter], "weight_decay": 0.5}], lr=1.0, epsilon=1.0)
    parameter.grad = torch.zeros(1, 1)
    optimizer.step()
    assert parameter.item() == pytest.approx(2 - 1 / (0.9 + 0.1 + 1) ** 0.5)


# ---------------------------------------------------------------------------------------------------------------- Muon


def muon(**changes: Any) -> Recipe:
    values = {"optimizer": "muon", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    return recipe("quick").replaced(**{**values, **changes})


def trained(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, *, steps: int = 4) -> torch.Tensor:
    """The parameter after a few steps on random gradients."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        optimizer.step()
    return parameter.detach()


def two_parameters(*shape: int) -> tuple[nn.Parameter, nn.Parameter]:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return nn.Parameter(values.clone()), nn.Parameter(values.clone())


@pytest.mark.parametrize("shape", [(16, 27), (27, 16), (8, 8), (1, 9)])
def test_orthogonal_moves_singular_values_and_keeps_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    moved = values / values.square().sum().sqrt()
    for _ in range(5):
        moved = 3.4445 * moved - 4.7750 * moved**3 + 2.0315 * moved**5
    result = orthogonal(matrix)
    assert torch.allclose(result, left @ moved.diag() @ right, atol=1e-6)
    assert result.norm() == pytest.approx(min(shape) ** 0.5, rel=0.35)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (64, 3, 3, 3), (16, 1, 3, 3)])  # wide, tall and depthwise
@pytest.mark.parametrize("nesterov", [True, False])
def test_kernels_take_the_steps_of_torchs_muon(nesterov: bool, shape: tuple[int, ...]) -> None:
    """torch's takes matrices only, and makes them orthogonal in bfloat16: hence the tolerance."""
    kernel, _ = two_parameters(*shape)
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = make_optimizer(nn.ParameterList([kernel]), muon(nesterov=nesterov))
    assert isinstance(ours, Muon)
    theirs = torch.optim.Muon(
        [matrix], lr=0.02, momentum=0.9, nesterov=nesterov, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    start = matrix.detach().clone()
    difference = trained(ours, kernel).flatten(1) - trained(theirs, matrix)
    assert difference.abs().max() < 0.02 * (matrix.detach() - start).abs().max()


@pytest.mark.parametrize("shape", [(5,), (10, 64)])
def test_other_parameters_take_the_steps_of_adamw(shape: tuple[int, ...]) -> None:
    """Norms, biases and the classifier."""
    own, other = two_parameters(*shape)
    ours = make_optimizer(nn.ParameterList([own]), muon(epsilon=1e-3))
    theirs = torch.optim.AdamW([other], lr=0.02, eps=1e-3, weight_decay=0.1)
    assert torch.allclose(trained(ours, own), trained(theirs, other), rtol=0, atol=1e-12)


def test_a_step_has_adamws_size() -> None:
    kernel = nn.Parameter(torch.zeros(32, 16, 3, 3))
    trained(make_optimizer(nn.ParameterList([kernel]), muon(lr=1.0, weight_decay=0.0)), kernel, steps=1)
    assert kernel.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_muons_state_is_tensors_and_numbers() -> None:
    """Checkpoints hold nothing else; another optimizer goes on from them."""
    one, other = two_parameters(4, 2, 3, 3)
    first = make_optimizer(nn.ParameterList([one]), muon())
    trained(first, one)
    second = make_optimizer(nn.ParameterList([other]), muon())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    other.data.copy_(one.data)
    assert torch.equal(trained(first, one), trained(second, other))
