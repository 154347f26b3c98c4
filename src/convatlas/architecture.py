"""`Architecture`, the description of a network, and `Family`, the description of a family. Standard library only."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from convatlas import values
from convatlas.errors import UsageError, reason_of, unknown
from convatlas.own_code import guarded
from convatlas.values import Interpolation

if TYPE_CHECKING:
    from torch import nn

INPUT_OPTIONS = ("num_classes", "in_channels")  # every builder may take them; the data set decides their values


Task = Literal["classification", "detection"]  # logits of an image, or classes and boxes of the things in it
KeyTable = Mapping[str, str | None]
KeyTables = KeyTable | tuple[KeyTable, ...]


@dataclass(frozen=True)
class Paper:
    """The publication of an architecture."""

    title: str
    authors: str
    year: int
    url: str


@dataclass(frozen=True)
class Published:
    """A published accuracy, as a fraction, with the images that it was measured on and the source that states it."""

    top1: float
    split: str
    dataset: str
    source: str


@dataclass(frozen=True)
class PublishedPrecision:
    """A published average precision of a detector, as a fraction: COCO's mean over overlaps from 0.5 to 0.95."""

    ap: float
    split: str
    dataset: str
    source: str


@dataclass(frozen=True)
class Weights:
    """A published checkpoint, the table that translates its keys, and the preprocessing that belongs to it.

    A key table is a mapping of templates (see `convatlas.weights.translate_keys`) or a tuple of such mappings, applied
    in turn. `sha256` is the file's checksum, or its first digits where the publisher put only these into the file's
    name. `shorter_side` is the length in pixels of the resized image's shorter side, before the centre of `image_size`
    is cut out. None stands for `image_size`: then nothing is cut from a square image. `package` is the path of a file
    that an installed Python package brings, from the package's folder on; `url` is then the package's page.
    """

    name: str
    url: str
    sha256: str
    keys: KeyTables
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    dataset: str
    class_names: tuple[str, ...] = ()  # in the order of the logits; empty where they are the data set's
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"
    package: str | None = None


@dataclass(frozen=True)
class Architecture:
    """A named network: its builder, and the facts that are known about it.

    `params` and `macs` are the published counts for `num_classes` classes and `in_channels` channels at `image_size`
    pixels; they are `None` for a network that nobody published. `macs` are multiply-adds of convolutions and matrix
    products. The `task` decides what the network gives for images: logits (N, num_classes), or a `DetectorOutput` of
    `convatlas.layers`. `layouts` holds further key tables by name, for this network's files in other projects' layouts.
    """

    name: str
    builder: Callable[..., nn.Module]
    family: str = "own"  # the name of the `Family` that holds the row; it sets this field
    paper: Paper | None = None
    dataset: str | None = None
    image_size: int = 32
    num_classes: int = 10
    in_channels: int = 3
    params: int | None = None
    macs: int | None = None
    published: tuple[Published, ...] = ()
    precisions: tuple[PublishedPrecision, ...] = ()  # of a detector
    task: Task = "classification"
    weights: tuple[Weights, ...] = ()
    layouts: Mapping[str, KeyTables] = field(default_factory=dict)
    recipe: str | None = None  # the recipe that it was published with
    note: str = ""
    reference: str | None = None  # path/to/file.py:name of a user's own network; None for a registered one
    source_hash: str | None = None  # sha256 of that file

    def options(self) -> dict[str, Any]:
        """Returns the builder's keywords with their defaults, without the class count and the input channels."""
        parameters = inspect.signature(self.builder).parameters
        return {name: p.default for name, p in parameters.items() if _is_option(p) and name not in INPUT_OPTIONS}

    def option_types(self) -> dict[str, Any]:
        """Returns the types that the builder declares for its options; None for an option without a declared type."""
        builder = self.builder.func if isinstance(self.builder, functools.partial) else self.builder
        hints = get_type_hints(builder.__init__ if inspect.isclass(builder) else builder)
        return {name: hints.get(name) for name in self.options()}

    def takes(self, name: str) -> bool:
        """Returns whether the builder has the keyword `name`."""
        return name in inspect.signature(self.builder).parameters

    def parse_options(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns options from text, as `-o NAME=VALUE` gives them, typed by the builder's annotations or defaults.

        A value that is no text is kept as it is. Raises `UsageError` for an option that the builder does not have.
        """
        hints = {**self.option_types(), **dict.fromkeys(INPUT_OPTIONS, int)}
        defaults = self.options()
        parsed = {}
        for name, value in settings.items():
            if name not in hints:
                raise unknown(f"option of {self.name}", name, hints)
            hint = hints[name]
            if hint is None:
                hint = type(defaults[name]) if isinstance(defaults[name], bool | int | float) else str
            parsed[name] = values.parse(value, hint, name=name) if isinstance(value, str) else value
        return parsed

    def build(self, *, num_classes: int | None = None, in_channels: int | None = None, **options: Any) -> nn.Module:
        """Returns the network, freshly initialised from PyTorch's random state.

        Raises `UsageError` for an option that the builder does not have, and names the permitted options. Raises it
        also for a class count or a channel count that is below 1 or that the builder does not take.
        """
        hints = self.option_types()
        for name, value in options.items():
            if name not in hints:
                raise unknown(f"option of {self.name}", name, [*hints, *INPUT_OPTIONS])
            if hints[name] is not None:
                values.check(value, hints[name], name=name)
        inputs = {
            "num_classes": self.num_classes if num_classes is None else num_classes,
            "in_channels": self.in_channels if in_channels is None else in_channels,
        }
        try:
            with self.guard("cannot be built"):
                network = self.builder(**self._taken(inputs), **options)
                is_module = callable(getattr(network, "named_parameters", None))
        except UsageError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {reason_of(error)}"
            raise UsageError(f"{self.name} cannot be built: {problem}") from error
        if not is_module:
            kind = type(network).__name__
            raise UsageError(f"{self.reference or self.name} builds a {kind}, not a torch.nn.Module")
        return network

    def guard(self, problem: str) -> AbstractContextManager[None]:
        """Returns the block for work with the network's code: errors in a user's own file become one line there."""
        if self.reference is None:
            return nullcontext()
        return guarded(self.reference.rpartition(":")[0], f"{self.reference} {problem}")

    def _taken(self, inputs: dict[str, int]) -> dict[str, int]:
        """Returns the class and channel counts that the builder takes; other counts must be the network's own."""
        parameters = inspect.signature(self.builder).parameters
        for name, value in inputs.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} of {self.name} must be a whole number of at least 1")
            if name not in parameters and value != getattr(self, name):
                raise UsageError(f"{self.name} has no option {name}: it takes {getattr(self, name)}, not {value}")
        return {name: value for name, value in inputs.items() if name in parameters}


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Family:
    """A family of networks that share one idea, and the networks that the pages below docs/ show of it.

    The rows get the family's name. `docstring` is the docstring of the file that explains the family; its first
    paragraph is the idea.
    """

    name: str
    title: str
    docstring: str | None
    rows: tuple[Architecture, ...]
    shown: str  # the name of the row that is drawn whole on the family's page
    opened: tuple[str, ...] = ()  # the blocks of that network that are drawn opened
    lineage: tuple[str, ...] = ()  # the names of the rows in the picture of all families, oldest first

    def __post_init__(self) -> None:
        """Puts the family's name into its rows."""
        object.__setattr__(self, "rows", tuple(replace(row, family=self.name) for row in self.rows))

    @property
    def idea(self) -> str:
        """The first paragraph of the docstring, as one line."""
        return " ".join((self.docstring or "").split("\n\n")[0].split())
