"""The data sets by name and the kinds of data, to be checked without PyTorch; `convatlas.data` reads them."""

from __future__ import annotations

from convatlas.errors import UsageError, unknown

NAMED: dict[str, str | None] = {  # with the recipe that is used by default; none: that of the architecture
    "digits": "quick",
    "cifar10": None,
    "cifar100": None,
    "mnist": "quick",
    "fashion_mnist": "quick",
}
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KINDS = {"folder": "PATH", "csv": "FILE", "tar": "PATTERN", "hf": "PATH"}  # of KIND:REFERENCE
RECIPE_OF_KINDS = "photographs"  # the recipe that images of one's own are trained with by default


def check_reference(reference: str) -> None:
    """Raises `UsageError` for an unknown name or kind of data, with the nearest, and for a kind without a path.

    >>> check_reference("digits")
    >>> check_reference("folder:")
    Traceback (most recent call last):
    convatlas.errors.UsageError: folder: names no data; write folder:PATH
    """
    kind, colon, rest = reference.partition(":")
    if not colon and reference not in NAMED:
        own = [f"{kind}:{what}" for kind, what in KINDS.items()]
        hint = f"; a set of your own is {', '.join(own[:-1])} or {own[-1]}"
        raise unknown("data set", reference, NAMED, hint=hint)
    if colon and kind not in KINDS:
        raise unknown("kind of data", kind, KINDS)
    if colon and not rest:
        raise UsageError(f"{reference} names no data; write {kind}:{KINDS[kind]}")


def recipe_of_data(reference: str) -> str | None:
    """Returns the name of the recipe that data is trained with by default; None if the network's counts.

    >>> recipe_of_data("digits"), recipe_of_data("cifar10"), recipe_of_data("folder:photos")
    ('quick', None, 'photographs')
    """
    return RECIPE_OF_KINDS if ":" in reference else NAMED.get(reference)


def is_known(reference: str) -> bool:
    """Returns whether ConvAtlas reads data of this name or kind."""
    kind, colon, _ = reference.partition(":")
    return kind in (KINDS if colon else NAMED)


def list_data() -> list[str]:
    """Returns the names of the data sets, sorted."""
    return sorted(NAMED)
