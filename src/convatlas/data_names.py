"""The data sets by name and the kinds of data, to be checked without PyTorch; `convatlas.data` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from convatlas.errors import UsageError, unknown

NAMED: dict[str, str | None] = {  # with the recipe that is used by default; none: that of the architecture
    "digits": "quick",
    "cifar10": None,
    "cifar100": None,
    "mnist": "quick",
    "fashion_mnist": "quick",
}
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BOX_KINDS = {"voc": "PATH", "coco": "PATH", "yolo": "PATH"}  # of KIND:REFERENCE, for images with boxes
KINDS = {"folder": "PATH", "csv": "FILE", "tar": "PATTERN", "hf": "PATH", **BOX_KINDS}
RECIPE_OF_KINDS = "photographs"  # the recipe that images of one's own are trained with by default
MOST_DRAWS = 1_000

Shots = int | Literal["all"]
"""The number of training images of each class, or all of them."""


@dataclass(frozen=True)
class Subset:
    """The images that a reference takes from a data set: the words behind its question mark.

    `classes` are those that are kept. `test_images` is the number of test images, of each class equally many. `shots`
    is the number of training images of each class, `draw` the number of the draw that chooses them. A set with `shots`
    has no validation images: who has few labelled images selects by none.
    """

    classes: tuple[str, ...] = ()
    test_images: int | None = None
    shots: Shots | None = None
    draw: int = 0

    @property
    def words(self) -> dict[str, str]:
        """The words of the subset, by name, as they stand in a reference."""
        words = {"classes": ",".join(quote(name, safe=" /:()") for name in self.classes)} if self.classes else {}
        if self.test_images is not None:
            words["test_images"] = str(self.test_images)
        return words | ({} if self.shots is None else {"shots": str(self.shots), "draw": str(self.draw)})

    def of(self, reference: str) -> str:
        """Returns the reference of this subset of a data set.

        >>> Subset(shots=5, draw=2).of("digits"), Subset(shots=5).of("csv:photos.csv?image=file")
        ('digits?shots=5&draw=2', 'csv:photos.csv?image=file&shots=5&draw=0')
        """
        if not self.words:
            return reference
        text = "&".join(f"{name}={value}" for name, value in self.words.items())
        return f"{reference}{'&' if '?' in reference else '?'}{text}"


WORDS = ("classes", "test_images", "shots", "draw")


def subset_in(reference: str) -> tuple[str, Subset]:
    """Returns the reference of the whole data set and the subset that the words behind the question mark take.

    Raises `UsageError` for a value that makes no sense.

    >>> subset_in("cifar10?classes=cat,dog&shots=5")
    ('cifar10', Subset(classes=('cat', 'dog'), test_images=None, shots=5, draw=0))
    >>> subset_in("csv:photos.csv?image=file&shots=all")[0]
    'csv:photos.csv?image=file'
    """
    whole, _, query = reference.rpartition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    own = {name: value for name, equals, value in pairs if whole and equals and name in WORDS}
    if not own:
        return reference, Subset()
    rest = "&".join(f"{name}{equals}{value}" for name, equals, value in pairs if name not in WORDS)
    if "draw" in own and "shots" not in own:
        raise UsageError(f"draw={own['draw']} of {whole} draws nothing; name the shots too, such as shots=5")
    subset = Subset(
        tuple(unquote(name).strip() for name in own["classes"].split(",")) if "classes" in own else (),
        _number("test_images", own["test_images"]) if "test_images" in own else None,
        shots_of(own["shots"]) if "shots" in own else None,
        check_draw(_number("draw", own.get("draw", "0"), least=0)),
    )
    return f"{whole}?{rest}" if rest else whole, subset


def shots_of(text: str) -> Shots:
    """Returns the number of training images of each class from text, or `all`. Raises `UsageError`."""
    return "all" if text.strip() == "all" else _number("shots", text, hint=", or all")


def check_draw(draw: int) -> int:
    """Returns the number of a draw. Raises `UsageError` for one that is too large."""
    if not 0 <= draw < MOST_DRAWS:
        raise UsageError(f"draw={draw} must be 0 to {MOST_DRAWS - 1}")
    return draw


def in_subset(reference: str, subset: Subset) -> str:
    """Returns a reference with more words; those of the reference stay. Raises `UsageError` for a word given twice.

    >>> in_subset("cifar10?classes=cat,dog", Subset(shots=5))
    'cifar10?classes=cat,dog&shots=5&draw=0'
    """
    whole, there = subset_in(reference)
    twice = there.words.keys() & subset.words.keys()
    if twice:
        raise UsageError(f"{max(twice)} is given twice, by its flag and in {reference}; leave one of them out")
    return Subset(
        there.classes or subset.classes,
        subset.test_images if there.test_images is None else there.test_images,
        subset.shots if there.shots is None else there.shots,
        subset.draw if there.shots is None else there.draw,
    ).of(whole)


def few_shot_reference(
    reference: str, *, shots: str | None = None, draw: str | None = None, test_images: str | None = None
) -> str:
    """Returns the reference of a part of a data set, from the texts of the flags. Raises `UsageError`.

    >>> few_shot_reference("digits", shots="5"), few_shot_reference("digits")
    ('digits?shots=5&draw=0', 'digits')
    """
    if draw is not None and shots is None:
        raise UsageError(f"--draw {draw} draws nothing; name the images of each class too, such as --shots 5")
    subset = Subset(
        test_images=None if test_images is None else _number("test_images", test_images),
        shots=None if shots is None else shots_of(shots),
        draw=check_draw(_number("draw", draw or "0", least=0)),
    )
    return in_subset(reference, subset)


def _number(name: str, text: str, *, least: int = 1, hint: str = "") -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise UsageError(f"{name}={text!r} must be a whole number of at least {least}{hint}")
    return int(text)


def check_reference(reference: str) -> None:
    """Raises `UsageError` for an unknown name or kind of data, with the nearest, and for a kind without a path.

    >>> check_reference("digits")
    >>> check_reference("folder:")
    Traceback (most recent call last):
    convatlas.errors.UsageError: folder: names no data; write folder:PATH
    """
    reference, _ = subset_in(reference)
    kind, colon, rest = reference.partition(":")
    if not colon and reference not in NAMED:
        _check_words(reference)
        own = [f"{kind}:{what}" for kind, what in KINDS.items()]
        hint = f"; a set of your own is {', '.join(own[:-1])} or {own[-1]}"
        raise unknown("data set", reference, NAMED, hint=hint)
    if colon and kind not in KINDS:
        raise unknown("kind of data", kind, KINDS)
    if colon and not rest:
        raise UsageError(f"{reference} names no data; write {kind}:{KINDS[kind]}")
    if kind in ("folder", *BOX_KINDS):  # a path alone: nothing else of theirs stands behind a question mark
        _check_words(reference)


def _check_words(reference: str) -> None:
    """Raises `UsageError` for data whose words, behind the question mark, are not known."""
    name, mark, query = reference.rpartition("?")
    path = name.partition(":")[2]
    own = path != "" and "=" in query and Path(path).expanduser().is_dir()
    if mark and (name in NAMED or (own and not Path(f"{path}?{query}").expanduser().exists())):
        word = query.partition("=")[0].rpartition("&")[2]
        raise unknown(f"word behind {name}?", word, WORDS, hint=f"; write {name}?shots=5&draw=0, in quotes")


def recipe_of_data(reference: str) -> str | None:
    """Returns the name of the recipe that data is trained with by default; None if the network's counts.

    >>> recipe_of_data("digits"), recipe_of_data("cifar10"), recipe_of_data("folder:photos")
    ('quick', None, 'photographs')
    """
    if has_boxes(reference):
        return None  # a detector's
    return RECIPE_OF_KINDS if ":" in reference else NAMED.get(subset_in(reference)[0])


def has_boxes(reference: str) -> bool:
    """Returns whether data has boxes, so that a detector is trained on it, by its reference.

    >>> has_boxes("voc:cells"), has_boxes("folder:photos")
    (True, False)
    """
    return reference.partition(":")[0] in BOX_KINDS


def is_known(reference: str) -> bool:
    """Returns whether ConvAtlas reads data of this name or kind."""
    kind, colon, _ = reference.partition(":")
    return kind in KINDS if colon else subset_in(reference)[0] in NAMED


def list_data() -> list[str]:
    """Returns the names of the data sets, sorted."""
    return sorted(NAMED)


def draws_of(text: str | Sequence[int] | int) -> tuple[int, ...]:
    """Returns the draws 0 to n - 1 for a number n, and the draws of a list. Raises `UsageError`.

    >>> draws_of("3"), draws_of("7,"), draws_of([4, 5])
    ((0, 1, 2), (7,), (4, 5))
    """
    if isinstance(text, str):
        numbers = [_number("draws", part, least=0) for part in text.split(",") if part.strip()]
        text = numbers if "," in text or not numbers else numbers[0]
    draws = tuple(range(min(text, MOST_DRAWS + 1))) if isinstance(text, int) else tuple(text)
    if not draws or len(set(draws)) != len(draws):
        raise UsageError(f"draws={text} must be one or more different numbers, or how many there are")
    return tuple(map(check_draw, draws))
