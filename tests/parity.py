"""The parity of one group of networks with torchvision's and timm's, as JSON lines: `python tests/parity.py GROUP`.

It runs in a process of its own, see `oracles`. All tensors of the oracle are random, in float32 as in checkpoints; they
go through `convatlas.load`, the public way; then both networks compute in float64.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import json
import re
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import convatlas
from comparison import SIGHTS, Expected, State, randomize, with_the_same_parameters
from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.errors import UsageError
from convatlas.weights import checkpoint_of, identify, load_strictly, open_checkpoint, translate_keys
from convatlas.weights.keys import differences
from mutations import MUTATIONS, Mutation, swapped_norms
from oracles import load_effdet, load_oracles
from parity_rows import CHECKPOINTS, GROUPS, OUTLINES, Pair
from references.bit import published_arrays
from wrapped_checkpoints import WRAPPINGS, Source, Training

BATCH = 2
VALUES = ("eval", "train", "statistics")
INITIAL = {  # a mode does not see the methods that these functions call
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.uniform_,
}
Result = dict[str, Any]  # a line of what is printed


# ------------------------------------------------------------------------------------------------------------- oracles


def build(pair: Pair) -> nn.Module:
    """The oracle without memory for its tensors: their first values are never used."""
    oracles = load_oracles()
    constructor = pair.constructor or pair.architecture
    if pair.library == "effdet":
        return build_detector(constructor, pair)
    if pair.library == "timm":
        make = partial(oracles.timm.create_model, constructor)
    elif pair.library == "lite":
        make = partial(oracles.lite.EfficientNet.from_name, constructor)
    else:
        make = getattr(oracles.torchvision.models, constructor)
    with torch.device("meta"), Uninitialised():
        network: nn.Module = make(**pair.arguments)
    return network


def build_detector(constructor: str, pair: Pair) -> nn.Module:
    """effdet's detector, with the pair's changes to its settings, without memory."""
    effdet = load_effdet()
    settings = effdet.get_efficientdet_config(constructor)
    for name, value in {"image_size": (pair.image_size, pair.image_size), **pair.arguments}.items():
        setattr(settings, name, value)
    with torch.device("meta"), Uninitialised():
        network: nn.Module = effdet.EfficientDet(settings, pretrained_backbone=False)
    return network


def random_oracle(pair: Pair, *, seed: int = 0) -> nn.Module:
    """Returns the oracle with random tensors, in float32 as in checkpoints."""
    return randomize(build(pair).to_empty(device="cpu"), seed=seed)


class Uninitialised(TorchFunctionMode):
    """Leaves initial values out, for networks whose every tensor gets another value."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in INITIAL:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def published_state(state: State, pair: Pair) -> State:
    """Returns the oracle's tensors under the names in which they are published."""
    for pattern, name in pair.renamed:
        state = {re.sub(pattern, name, key): tensor for key, tensor in state.items()}
    return state


def computed(oracle: nn.Module, pair: Pair, *sights: str) -> Expected:
    """Returns what the oracle computes of two images, and of these sights the statistics and the gradients."""
    generator = torch.Generator().manual_seed(1)
    size = (BATCH, pair.in_channels, pair.image_size, pair.image_size)
    images = torch.randn(size, generator=generator, dtype=torch.float64)

    def names(state: State) -> State:
        checkpoint = checkpoint_of(published_state(state, pair))
        return identify(checkpoint, arch=pair.architecture, options=pair.options).state

    seen = None if pair.library == "effdet" else 1  # timm's auxiliary heads work in eval mode too
    return Expected(oracle, images, names, sights=sights or VALUES, outputs_in_eval=seen)


# ---------------------------------------------------------------------------------------------------------- the results


def comparisons(pair: Pair) -> Iterator[Result]:
    """The comparison of the pair, then those of the networks with a mistake."""
    start = time.process_time()
    oracle = random_oracle(pair)
    state = published_state(oracle.state_dict(), pair)
    network = loaded(state, pair)
    mutations = [mutation for mutation in MUTATIONS if mutation.pair == pair.name]
    kept = {key: tensor.clone() for key, tensor in state.items()} if any(m.keys for m in mutations) else {}
    del state
    for name, value in pair.attributes.items():
        setattr(oracle, name, value)
    set_epsilons(oracle, pair.epsilons)
    expected = computed(oracle.double(), pair, *SIGHTS)
    del oracle
    network = network.double()
    found = expected.differences(with_the_same_parameters(network), SIGHTS)
    yield {"pair": pair.name, **found, "spread": expected.spread(), "cpu_seconds": time.process_time() - start}
    for mutation in mutations:
        yield from guarded("mutation", mutation.name, partial(mutated, mutation, network, kept, expected))


def set_epsilons(oracle: nn.Module, epsilons: Mapping[str, float]) -> None:
    """Another epsilon in the modules of these classes. Raises for a class of which there are none."""
    for kind, value in epsilons.items():
        modules = [module for module in oracle.modules() if type(module).__name__ == kind]
        if not modules:
            raise ValueError(f"the oracle has no {kind}")
        for module in modules:
            module.eps = value  # type: ignore[assignment]


def outlined(pair: Pair) -> list[Result]:
    """How names, shapes and norms of ours differ from the oracle's, translated; neither has memory for its tensors."""
    row = architecture(pair.architecture)
    classes = pair.arguments.get("num_classes", row.num_classes)
    with torch.device("meta"):
        network = row.build(num_classes=classes, in_channels=pair.in_channels, **pair.options)
    ours, oracle = settings_as_values(network).state_dict(), settings_as_values(build(pair))
    theirs = translated(published_state(oracle.state_dict(), pair), row, library=pair.library)
    dense = {key for key, tensor in ours.items() if tensor.ndim == 2}
    theirs = {key: tensor.flatten(1) if key in dense else tensor for key, tensor in theirs.items()}
    found = differences(ours, theirs)
    found += [
        f"~ {key} (epsilon or momentum)"
        for key, tensor in ours.items()
        if not tensor.is_meta and not found and not torch.equal(tensor, theirs[key])
    ]
    count = sum(tensor.numel() for tensor in ours.values())
    return [{"outline": pair.name, "differences": found, "values": count}]


def translated(state: State, row: Architecture, *, library: str) -> State:
    """The state under our names, by the library's own table, else by the first that fits."""
    own = [row.layouts[library]] if library in row.layouts else []
    tables = own or [*(weights.keys for weights in row.weights), *row.layouts.values()]
    for table in tables[:-1]:
        with contextlib.suppress(UsageError):
            return translate_keys(state, table)
    return translate_keys(state, tables[-1])


def settings_as_values(network: nn.Module) -> nn.Module:
    """The same network; the weights of its batch norms hold their epsilon, the biases their momentum."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.weight = nn.Parameter(torch.full(norm.weight.shape, norm.eps))
            norm.bias = nn.Parameter(torch.full(norm.bias.shape, norm.momentum or 0.0))
    return network


def published_bit() -> Iterator[Result]:
    """A file in BiT's published layout, read by us and by timm; timm with the released epsilon, and with its own."""
    pair = next(pair for pair in GROUPS["dpn_bit"] if pair.name == "bit_resnet50x1-timm")
    oracle = build(pair).to_empty(device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BiT-M-R50x1-ILSVRC2012.npz"
        np.savez(path, **published_arrays((3, 4, 6, 3), (256, 512, 1024, 2048), stem=64, classes=1000))
        network = convatlas.load(pair.architecture, path).double()
        identified = identify(open_checkpoint(path)).architecture.name
        oracle.load_pretrained(str(path))  # type: ignore[operator]
    oracle = oracle.double()
    for said, epsilon in (("published", 1e-10), ("timm's epsilon", 1e-8)):
        set_epsilons(oracle, {"StdConv2d": epsilon})
        expected = computed(oracle, pair)
        found = expected.differences(network, VALUES)
        yield {"file": f"npz, {said}", **found, "spread": expected.spread(), "identified": identified}


def loaded(state: State, pair: Pair) -> nn.Module:
    """Our network with these tensors, by the public way; only where it has options, which that has not, by the next."""
    with Uninitialised():
        if not pair.options:
            return convatlas.load(pair.architecture, state)
        return identify(checkpoint_of(state), arch=pair.architecture, options=pair.options).build()


def mutated(mutation: Mutation, pristine: nn.Module, state: State, expected: Expected) -> list[Result]:
    """The differences of the network with the mistake."""
    if mutation.keys is None:
        network = with_the_same_parameters(pristine)
    else:
        row = architecture(mutation.architecture)
        with Uninitialised():
            network = row.build()
        load_strictly(network, translate_keys(state, mutation.keys(row.weights[0].keys)))
    network = mutation.apply(network) or network
    return [{"mutation": mutation.name, **expected.differences(network.double(), mutation.seen_in)}]


def initial_values() -> list[Result]:
    """The same mistake, norms swapped in the key table, with initial and with random values."""
    pair = Pair("resnet18", "torchvision")
    row = architecture("resnet18")
    found = {}
    for values in ("initial", "random"):
        oracle = load_oracles().torchvision.models.resnet18() if values == "initial" else random_oracle(pair)
        network = row.build()
        load_strictly(network, translate_keys(oracle.state_dict(), swapped_norms(row.weights[0].keys)))
        found[values] = max(computed(oracle.double(), pair).differences(network.double(), VALUES).values())
    return [{"mistake": "norms swapped", **found}]


def wrapped() -> Iterator[Result]:
    """Each wrapping of a network's tensors: what `convatlas.load` makes of it, and what it warns of."""
    pair = Pair("resnet18", "torchvision")
    network, raw = (random_oracle(pair, seed=seed) for seed in (0, 1))
    expected = computed(copy.deepcopy(network).double(), pair)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(network, raw, load_oracles().timm, Path(folder))
        for name, make in WRAPPINGS.items():
            yield from guarded("checkpoint", name, partial(unwrapped, name, partial(make, training), expected))


def unwrapped(name: str, make: Callable[[], Source], expected: Expected) -> list[Result]:
    """The differences of the network that is in one checkpoint."""
    source = make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network = convatlas.load("resnet18", source)
    said = [str(each.message) for each in caught]
    return [{"checkpoint": name, **expected.differences(network.double(), VALUES), "warnings": said}]


def same_names() -> list[Result]:
    """The names of torchvision's and timm's image classifiers that are also ours."""
    ours, oracles = set(convatlas.list_architectures()), load_oracles()
    in_torchvision = oracles.torchvision.models.list_models(module=oracles.torchvision.models)
    theirs = {"torchvision": in_torchvision, "timm": oracles.timm.list_models()}
    return [{"library": library, "names": sorted(ours.intersection(names))} for library, names in theirs.items()]


def guarded(kind: str, name: str, work: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    """The results of the work; an error becomes one more, so that the others are still computed."""
    try:
        yield from work()
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-2:])
        yield {kind: name, "error": f"{type(error).__name__}: {error}\n{where}"}


def results(group: str) -> Iterator[Result]:
    """Everything that the group is asked for, and at last what it needed."""
    load_oracles()
    gc.freeze()  # each search for garbage would go through all that was imported
    for pair in GROUPS[group]:
        yield from guarded("pair", pair.name, partial(comparisons, pair))
    for pair in OUTLINES.get(group, ()):
        yield from guarded("outline", pair.name, partial(outlined, pair))
    if group == "dpn_bit":
        yield from guarded("file", "npz, published", published_bit)
    if group == CHECKPOINTS:
        for work in (wrapped, initial_values, same_names):
            yield from work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    loaded = {name.partition(".")[0] for name in sys.modules}
    yield {"process": group, "lightning": "lightning" in loaded, "cpu_seconds": time.process_time(), "bytes": peak}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print what they like
        for line in results(sys.argv[1]):
            print(json.dumps(line), file=sys.__stdout__, flush=True)
