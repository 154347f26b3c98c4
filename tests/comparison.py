"""The comparison of one of our networks with a reference, in float64: outputs, running statistics and gradients.

A reference is a network of other code, or one that is written out step by step. Both get the same random tensors.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from changes import Change, unchanged
from convatlas.layers import AuxiliaryLogits
from convatlas.weights import load_strictly, translate_keys

SAME = 1e-9  # the relative difference in float64 up to which two networks are one
NOTICED = 1e-6  # the difference from which on a mistake is told from rounding
SMALL = 1e-5  # the part of the largest gradient below which a gradient is compared with the largest: it may be zero
SIGHTS = ("eval", "train", "statistics", "gradients")  # of both networks, which are compared
COUNTER = "num_batches_tracked"
STATISTICS = ("running_mean", "running_var", COUNTER)
RANGES = {  # of random values, by the last part of a tensor's name; weights of more than one dimension have another
    "weight": (0.5, 1.5),
    "edge_weights": (0.5, 1.5),
    "bias": (-0.5, 0.5),
    "running_mean": (-0.5, 0.5),
    "running_var": (0.5, 1.5),
    "coefficient": (0.2, 0.6),
}
FIXED = ("codes",)  # what no training changes
State = dict[str, Tensor]
Outputs = tuple[Tensor, ...]
Compute = Callable[..., Tensor]


# ----------------------------------------------------------------------------------------------------------- references


def randomize(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Gives every tensor random values, so that no layer is the identity. Raises for a tensor of unknown meaning."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        kind = name.rpartition(".")[2]
        if kind in FIXED:
            continue
        if kind == COUNTER:
            tensor.fill_(7)
        elif kind == "weight" and tensor.ndim > 1:  # variance 1.5 / fan-in: the features neither vanish nor explode
            bound = math.sqrt(4.5 / tensor[0].numel())
            tensor.uniform_(-bound, bound, generator=generator)
        elif kind in RANGES:
            tensor.uniform_(*RANGES[kind], generator=generator)
        else:
            raise ValueError(f"{name}: what kind of tensor is this?")
    return network


class Written(nn.Module):
    """A reference that is a function of named tensors: `compute(tensors, images, train=...)`."""

    def __init__(self, tensors: Mapping[str, Tensor], compute: Compute) -> None:
        super().__init__()
        self.compute = compute
        for key, tensor in tensors.items():
            *path, name = key.split(".")
            holder: nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            if name in (*STATISTICS, *FIXED):
                holder.register_buffer(name, tensor.detach().clone())
            else:
                holder.register_parameter(name, nn.Parameter(tensor.detach().clone()))

    def forward(self, images: Tensor) -> Tensor:
        return self.compute(
            {**dict(self.named_parameters()), **dict(self.named_buffers())}, images, train=self.training
        )


# ---------------------------------------------------------------------------------------------------------- comparisons


def outputs(result: Any) -> Outputs:
    """Returns the logits, then those of the auxiliary heads from the first to the last."""
    if isinstance(result, Tensor):
        return (result,)
    if isinstance(result, AuxiliaryLogits):
        return (result.logits, *result.auxiliary)
    if hasattr(result, "aux_logits1"):
        return (result.logits, result.aux_logits1, result.aux_logits2)  # by name: torchvision has the second one first
    return tuple(tree_leaves(result))  # of a detector, the classes of all levels and then the boxes


def run(network: nn.Module, images: Tensor, *, train: bool) -> Outputs:
    """Returns the outputs; all networks draw the same dropout."""
    torch.manual_seed(0)
    return outputs(network.train(train)(images))


def backward(found: Outputs) -> None:
    """Computes the gradients of a sum in which each value of the outputs has a factor of its own."""
    generator = torch.Generator().manual_seed(2)
    factors = [torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in found]
    total = sum((each * factor).sum() for each, factor in zip(found, factors, strict=True))
    assert isinstance(total, Tensor)
    total.backward()  # type: ignore[no-untyped-call]


def apart(ours: Tensor, theirs: Tensor, *, least: float = 0.0) -> float:
    """Returns the largest difference beside the largest value, or beside `least` where that is larger."""
    if ours.shape != theirs.shape:
        return math.inf
    if torch.equal(ours, theirs):
        return 0.0
    difference = largest(ours - theirs) / max(largest(theirs), least)
    return math.inf if math.isnan(difference) else difference


def largest(values: Tensor) -> float:
    """Returns the largest absolute value; NaN where there is one."""
    low, high = values.aminmax()
    return max(-low.item(), high.item())


def relative(ours: Outputs, theirs: Outputs) -> float:
    """Returns the difference of the output where it is largest."""
    return max(map(apart, ours, theirs)) if len(ours) == len(theirs) else math.inf


def relative_gradients(ours: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor]) -> float:
    """Returns the difference of the parameter's gradient where it is largest."""
    if ours.keys() != theirs.keys():
        return math.inf
    least = SMALL * max(map(largest, theirs.values()))
    return max(math.inf if each is None else apart(each, theirs[key], least=least) for key, each in ours.items())


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def statistics(state: Mapping[str, Tensor]) -> State:
    """Returns what the norms remember of the batches."""
    return {key: tensor.double() for key, tensor in state.items() if key.endswith(STATISTICS)}


def remembered(before: State, after: State) -> tuple[str, ...]:
    """Returns the kinds of statistics that a step changes; a reference that is written out counts no batches."""
    changed = {name.rpartition(".")[2] for name, old in before.items() if not torch.equal(old, after[name].double())}
    assert changed or not before, "no norm has remembered the step"
    return tuple(changed)


class Expected:
    """What a reference in float64 computes of some images; networks of ours are compared with it, one after the other.

    `names` gives the reference's tensors our names. Where the reference has a `train` mode, its gradients are those of
    a step in it, else those in eval mode.
    """

    def __init__(
        self,
        reference: nn.Module,
        images: Tensor,
        names: Callable[[State], State],
        *,
        sights: Sequence[str] = SIGHTS,
        outputs_in_eval: int | None = None,
    ) -> None:
        self.images = images
        self.outputs: dict[str, Outputs] = {}
        before = {key: tensor.clone() for key, tensor in statistics(reference.state_dict()).items()}
        modes = [mode for mode in ("eval", "train") if mode in sights]
        for mode in modes:
            last = mode == modes[-1] and "gradients" in sights
            with torch.set_grad_enabled(last):
                found = run(reference, images, train=mode == "train")
            found = found[:outputs_in_eval] if mode == "eval" else found
            if last:
                backward(found)
            self.outputs[mode] = tuple(each.detach() for each in found)
        after = {key: tensor.detach() for key, tensor in reference.state_dict().items()}
        named = names(after | {key: each for key, each in gradients(reference).items() if each is not None})
        kept = remembered(before, after) if "statistics" in sights else ()
        self.statistics = {key: tensor.double() for key, tensor in named.items() if key.endswith(kept)}
        self.gradients = {key: tensor for key, tensor in named.items() if not key.endswith((*STATISTICS, *FIXED))}

    def differences(self, network: nn.Module, sights: Iterable[str]) -> dict[str, float]:
        """Returns how a network differs in each of the sights; the last two are those after the last mode's step."""
        found = {}
        wanted = set(sights)
        before = self.images.clone()
        for mode, theirs in self.outputs.items():
            last = mode == [*self.outputs][-1]
            if mode in wanted or (last and wanted & {"statistics", "gradients"}):
                with torch.set_grad_enabled(last and "gradients" in wanted):
                    ours = run(network, self.images, train=mode == "train")
                if last and "gradients" in wanted:
                    network.zero_grad()
                    backward(ours)
                found[mode] = relative(tuple(each.detach() for each in ours), theirs)
        assert torch.equal(self.images, before), "the network has changed its input"
        if "statistics" in wanted:
            found["statistics"] = self._remembered(network)
        if "gradients" in wanted:
            found["gradients"] = relative_gradients(gradients(network), self.gradients)
        return {sight: found[sight] for sight in sights}

    def _remembered(self, network: nn.Module) -> float:
        """Returns the difference of the running statistics; of a network with a mistake, norms may be missing."""
        ours = statistics(network.state_dict())
        pairs = [(ours[key], theirs) for key, theirs in self.statistics.items() if key in ours]
        return max((relative((a,), (b,)) for a, b in pairs), default=0.0)

    def spread(self) -> float:
        """Returns how much the logits of the first two images differ: near 0, other networks would pass too."""
        first, second = next(iter(self.outputs.values()))[0][:2]
        return relative((first,), (second,))


def with_the_same_parameters(network: nn.Module, known: dict[nn.Module, nn.Module] | None = None) -> nn.Module:
    """Returns a copy whose parameters are the network's own, for changes that leave their values alone.

    `copy.deepcopy` takes as long as the network itself: it asks every attribute of every module how it is copied.
    """
    known = {} if known is None else known
    if network not in known:
        copied = known[network] = object.__new__(type(network))
        vars(copied).update({name: copy.copy(value) for name, value in vars(network).items()})
        copied._buffers = {name: None if each is None else each.clone() for name, each in network._buffers.items()}
        for name, child in network._modules.items():
            copied._modules[name] = None if child is None else with_the_same_parameters(child, known)
    return known[network]


# ------------------------------------------------------------------------------------------------------ rows of a table

Names = Callable[[nn.Module, State], State]


def by_table(table: Any) -> Names:
    """Returns our names by a key table."""
    return lambda _, state: translate_keys(state, table)


def ours_already(_: nn.Module, state: State) -> State:
    return state


@dataclass(frozen=True)
class Row:
    """A network of ours, the reference that it must equal, and images that show how sizes are rounded on the way.

    `reference` and `ours` build both. `names` gives the reference's tensors our names. The `sights` are compared.
    """

    name: str
    reference: Callable[[], nn.Module]
    ours: Callable[[], nn.Module]
    names: Names
    image: tuple[int, int, int]  # channels, height, width
    batch: int = 2
    scale: float = 1.0
    sights: tuple[str, ...] = SIGHTS


@dataclass(frozen=True)
class Mistake:
    """A wrong network in the place of a row's: changed, or with tensors under wrong `names`.

    `seen_in` says which sights must each notice it, `passes_in` where it makes no difference.
    """

    row: str
    what: str
    change: Change = unchanged
    names: Names | None = None
    seen_in: tuple[str, ...] = ("eval", "train")
    passes_in: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """What a row's reference computes, its tensors under its own names, and our network with them."""

    row: Row
    reference: nn.Module
    tensors: State
    network: nn.Module
    expected: Expected

    def differences(self, sights: Iterable[str]) -> dict[str, float]:
        """Returns the differences of our network."""
        return self.expected.differences(with_the_same_parameters(self.network), sights)

    def differences_of(self, mistake: Mistake) -> dict[str, float]:
        """Returns the differences of our network with the mistake."""
        network = copy.deepcopy(self.network)
        if mistake.names is not None:
            load_strictly(network, mistake.names(self.reference, self.tensors))
        network = mistake.change(network) or network
        return self.expected.differences(network.double(), (*mistake.seen_in, *mistake.passes_in))


@functools.lru_cache(maxsize=1)  # the tests of one row follow each other
def compared(row: Row) -> Compared:
    """Lets the row's reference compute, with random tensors in float64; one that is written out has its own."""
    reference = row.reference()
    reference = (reference if isinstance(reference, Written) else randomize(reference)).double()
    tensors = {key: tensor.clone() for key, tensor in reference.state_dict().items()}
    network = row.ours().double()
    load_strictly(network, row.names(reference, tensors))
    generator = torch.Generator().manual_seed(1)
    images = row.scale * torch.randn(row.batch, *row.image, dtype=torch.float64, generator=generator)
    expected = Expected(reference, images, functools.partial(row.names, reference), sights=row.sights)
    return Compared(row, reference, tensors, network, expected)
