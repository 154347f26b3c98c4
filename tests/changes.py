"""Changes of a network's modules, from which deliberate mistakes are made."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

Change = Callable[[nn.Module], nn.Module | None]  # changes the network, or gives another one


def unchanged(_: nn.Module) -> None:
    """Leaves the network as it is: the mistake is elsewhere."""


def put(path: str, make: Callable[[nn.Module], nn.Module]) -> Change:
    """Replaces the module at `path` by what `make` makes of it."""

    def change(network: nn.Module) -> None:
        holder, _, child = path.rpartition(".")
        setattr(network.get_submodule(holder), child, make(network.get_submodule(path)))

    return change


def replace(path: str, new: nn.Module) -> Change:
    """Puts another module in the place of one."""
    return put(path, lambda _: new)


def away(path: str) -> Change:
    """Puts the identity in the place of a module."""
    return put(path, lambda _: nn.Identity())


def add(path: str, new: nn.Module) -> Change:
    """Puts a module where there is none."""

    def change(network: nn.Module) -> None:
        holder, _, child = path.rpartition(".")
        assert child not in dict(network.get_submodule(holder).named_children())
        network.get_submodule(holder).add_module(child, new)

    return change


def exchange(holder: str, first: str, second: str) -> Change:
    """Puts two modules inside `holder` in each other's place; the names stay where they are."""

    def change(network: nn.Module) -> None:
        paths = [".".join(filter(None, (holder, each))) for each in (first, second)]
        one, other = map(network.get_submodule, paths)
        put(paths[0], lambda _: other)(network)
        put(paths[1], lambda _: one)(network)

    return change


def reorder(holder: str, first: str, second: str) -> Change:
    """Puts two children in each other's place in the order of work; their names go with them."""

    def change(network: nn.Module) -> None:
        children = dict(network.get_submodule(holder).named_children())
        order = [{first: second, second: first}.get(name, name) for name in children]
        for name in children:
            delattr(network.get_submodule(holder), name)
        for name in order:
            network.get_submodule(holder).add_module(name, children[name])

    return change


def settings(path: str, **values: object) -> Change:
    """Gives attributes of one module other values."""

    def change(network: nn.Module) -> None:
        module = network.get_submodule(path)
        for name, value in values.items():
            assert getattr(module, name) != value
            setattr(module, name, value)

    return change


def setting(kind: type[nn.Module], name: str, value: object, *, within: str = "") -> Change:
    """Gives an attribute another value in all modules of a kind that have another so far."""

    def change(network: nn.Module) -> None:
        modules = [module for module in network.get_submodule(within).modules() if isinstance(module, kind)]
        changed = [module for module in modules if getattr(module, name) != value]
        assert changed
        for module in changed:
            setattr(module, name, value)

    return change


def strides(branch: str, *values: int) -> Change:
    """Gives the first convolutions of a branch other strides."""

    def change(network: nn.Module) -> None:
        convolutions = [module for module in network.get_submodule(branch).modules() if isinstance(module, nn.Conv2d)]
        before = [conv.stride for conv in convolutions]
        for conv, value in zip(convolutions, values, strict=False):
            conv.stride = (value, value)
        assert [conv.stride for conv in convolutions] != before

    return change


def epsilon(value: float) -> Change:
    """Gives all batch norms another epsilon."""
    return setting(nn.BatchNorm2d, "eps", value)
