"""DenseNets that recompute their concatenations: the same network, the same training, fewer bytes kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import convatlas
from comparison import randomize
from convatlas.architectures.densenet import blocks
from convatlas.architectures.densenet.cifar import densenet_cifar
from convatlas.architectures.densenet.imagenet import densenet

THIN = {"depths": (3, 2, 2), "growth_rate": 4}
BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "basic": partial(densenet_cifar, **THIN, layer="basic", compression=1.0),
    "basic dropout": partial(densenet_cifar, **THIN, layer="basic", compression=1.0, dropout=0.2),
    "bottleneck": partial(densenet_cifar, **THIN),
    "bottleneck dropout": partial(densenet_cifar, **THIN, dropout=0.2),
    "new features first": partial(densenet_cifar, **THIN, layer="bottleneck_new_first"),
    "gelu": partial(densenet_cifar, **THIN, activation="gelu"),
    "imagenet": partial(densenet, depths=(3, 2), growth_rate=4, stem_channels=8),
    "imagenet dropout": partial(densenet, depths=(3, 2), growth_rate=4, stem_channels=8, dropout=0.3),
}


def images(size: int = 16) -> Tensor:
    return torch.randn(4, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """The plain network and the memory-efficient one with the same random weights and statistics."""
    plain = randomize(BUILDERS[name]()).double()
    efficient = BUILDERS[name](memory_efficient=True).double()
    efficient.load_state_dict(plain.state_dict(), strict=True)
    return plain, efficient


def step(network: nn.Module, *, between: Callable[[], object] = lambda: None) -> Tensor:
    """Logits of a forward and a backward pass, both networks with the same dropout."""
    torch.manual_seed(3)
    logits: Tensor = network(images())
    between()
    logits.square().sum().backward()
    return logits.detach()


def same_gradients(first: nn.Module, second: nn.Module) -> None:
    for (name, ours), (_, theirs) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        assert ours.grad is not None, name
        assert theirs.grad is not None, name
        assert ours.grad.abs().max() > 0, name
        assert (ours.grad - theirs.grad).abs().max() <= 1e-12 * ours.grad.abs().max(), name


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_training(name: str) -> None:
    """Logits and running statistics bit for bit, gradients within 1e-12, in two steps one after the other."""
    plain, efficient = pair(name)
    assert any(isinstance(module, blocks.RecomputedBlock) for module in efficient.modules())
    for _ in range(2):
        assert torch.equal(step(plain), step(efficient))
        same_gradients(plain, efficient)
        for key, value in plain.state_dict().items():
            assert torch.equal(value, efficient.state_dict()[key]), key


@pytest.mark.parametrize("name", ["basic", "bottleneck dropout", "imagenet"])
def test_statistics_are_updated_once(name: str) -> None:
    _, efficient = pair(name)
    norms = {key: m for key, m in efficient.named_modules() if isinstance(m, nn.BatchNorm2d)}
    buffers = {key: norm.running_mean for key, norm in norms.items()}
    torch.manual_seed(3)
    logits = efficient(images())
    after = {key: value.clone() for key, value in efficient.state_dict().items()}
    logits.sum().backward()
    for key, norm in norms.items():
        assert norm.num_batches_tracked == 8, key  # of `randomize`, 7
        assert norm.running_mean is buffers[key], key  # the network's own buffer, not a copy
    assert all(torch.equal(value, after[key]) for key, value in efficient.state_dict().items())


@pytest.mark.parametrize("name", ["bottleneck", "imagenet dropout"])
def test_convolutions_work_once(name: str) -> None:
    _, efficient = pair(name)
    calls: list[str] = []
    for key, module in efficient.named_modules():
        if isinstance(module, nn.Conv2d | nn.Dropout):
            module.register_forward_hook(lambda *_, key=key: calls.append(key))
    step(efficient)
    assert len(calls) == len(set(calls)) > 10


def test_norms_work_twice() -> None:
    _, efficient = pair("bottleneck")
    calls: list[str] = []
    for key, module in efficient.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_, key=key: calls.append(key))
    step(efficient)
    assert {key for key in set(calls) if calls.count(key) == 2} == {
        f"block{block}.{layer}.new.conv1.norm" for block, depth in ((1, 3), (2, 2), (3, 2)) for layer in range(depth)
    }


@pytest.mark.parametrize("mode", ["eval", "no_grad", "eval with gradients"])
def test_nothing_is_recomputed_without_training(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, efficient = pair("bottleneck dropout")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("recomputation was prepared")

    monkeypatch.setattr(blocks, "checkpoint", refuse)
    training = mode == "no_grad"
    with torch.set_grad_enabled(mode == "eval with gradients"):
        results = []
        for network in (plain.train(training), efficient.train(training)):
            torch.manual_seed(3)
            results.append(network(images()))
    assert torch.equal(*results)
    with pytest.raises(AssertionError, match="was prepared"):
        efficient.train()(images())


def test_eval_mode_before_the_gradients() -> None:
    """The recomputation is that of training, even if the network was put into eval mode meanwhile."""
    plain, efficient = pair("bottleneck dropout")
    step(plain)
    step(efficient, between=efficient.eval)
    same_gradients(plain, efficient)
    assert not any(module.training for module in efficient.modules())


def test_norms_held_still() -> None:
    """Norms in eval mode in a network that trains, as for small batches."""
    networks = pair("bottleneck dropout")
    for network in networks:
        before = {key: value.clone() for key, value in network.state_dict().items()}
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        step(network)
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    same_gradients(*networks)


def test_first_gradients_of_a_frozen_stem() -> None:
    """The features that come into the first block need no gradient."""
    networks = pair("bottleneck")
    for network in networks:
        network.get_submodule("stem").requires_grad_(requires_grad=False)
        step(network)
    for (name, ours), (_, theirs) in zip(*(network.named_parameters() for network in networks), strict=True):
        if name.startswith("stem"):
            assert theirs.grad is None
        else:
            assert ours.grad is not None
            assert torch.allclose(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12 * ours.grad.abs().max().item()), name


def test_lower_precision_is_recomputed_alike() -> None:
    networks = [network.float() for network in pair("bottleneck")]
    results = []
    for network in networks:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images().float())
        logits.float().square().sum().backward()
        results.append(logits)
    assert torch.equal(*results)
    for (name, ours), (_, theirs) in zip(*(network.named_parameters() for network in networks), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=0.02, atol=0.02 * ours.grad.abs().max().item()), name


# ---------------------------------------------------------------------------------------------------------- bytes kept


def kept_bytes(network: nn.Module, batch: Tensor) -> int:
    """Bytes kept for the gradients after a forward pass, each storage once, without parameters and buffers."""
    own = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, Tensor] = {}  # the tensors live on, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(
    ("name", "options", "size", "most"),
    [
        ("densenet_bc_100_12", {}, 32, 0.40),
        ("densenet_bc_100_12", {"dropout": 0.2}, 32, 0.50),
        ("densenet_40_12", {}, 32, 0.25),
        ("densenet121", {}, 64, 0.55),
        ("densenet121_cifar", {}, 32, 0.50),
    ],
)
def test_fewer_bytes_are_kept(name: str, options: dict[str, float], size: int, most: float) -> None:
    """At least a third fewer; `most` is what was measured, rounded up. The part does not depend on the batch."""
    batch = torch.randn(2, 3, size, size)
    plain, efficient = (convatlas.create(name, **options, memory_efficient=flag) for flag in (False, True))
    part = kept_bytes(efficient, batch) / kept_bytes(plain, batch)
    assert part < most < 2 / 3


@pytest.mark.parametrize("name", ["densenet_bc_100_12", "densenet121"])
def test_the_same_names_and_initial_weights(name: str) -> None:
    networks = []
    for flag in (False, True):
        torch.manual_seed(0)
        networks.append(convatlas.create(name, memory_efficient=flag).state_dict())
    assert list(networks[0]) == list(networks[1])
    assert all(torch.equal(value, networks[1][key]) for key, value in networks[0].items())
