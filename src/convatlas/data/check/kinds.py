"""The kinds of finding: the title of each, its gravity, and its meaning with its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convatlas.data.check.duplicates import BITS, CORRELATION
from convatlas.data.check.facts import HASHED

Gravity = Literal["fault", "warning", "fact"]

DARK = 0.32  # of 1: 99 % of the pixels are darker
BRIGHT = 0.95  # 95 % of the pixels are brighter
BLURRED = 0.015  # sharpness: of 1,000 photographs of ImageNet 2 are below, of the same blurred by 4 pixels 98 %
ENTROPY = 3.0  # bits: photographs have 5 to 8, a drawing of few colours has fewer
ASPECT = 0.35  # the shorter side divided by the longer
SPAN = 8  # levels of 255 between which all pixels of an image of one colour lie
LEAST_SIDE = 64  # pixels of the shorter side from which blur and information are judged
SMALL_SIDE = 32  # pixels
OVERLAP = 0.95  # of two boxes of one class, above which they are one thing
TINY_CLASS = 10  # training images
IMBALANCE = 10  # times


@dataclass(frozen=True)
class Kind:
    """A kind of finding. A fault says that the data must not be trained on; a fact is neither good nor bad."""

    gravity: Gravity
    title: str
    meaning: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind(
        "fault",
        "cannot be read",
        "Training stops before its first step. Repair or remove them, or train with --skip-unreadable. Where the "
        "images of a table's rows are not there, take these rows out: no flag leaves them out.",
    ),
    "no-split": Kind(
        "fault",
        "no split can be drawn",
        "Training needs images of every class in training, validation and test. The other checks saw all images.",
    ),
    "empty-class": Kind("fault", "class without training images", "A network cannot learn a class without images."),
    "image-missing": Kind(
        "fault", "not there, though an annotation describes them", "Add the images, or remove their annotations."
    ),
    "box-class": Kind(
        "fault",
        "with boxes of unknown classes",
        "The classes are those of the training part, or of the list in the files. Correct the name or the number.",
    ),
    "image-size": Kind(
        "fault",
        "of another size than their annotation says",
        "The boxes lie elsewhere then, often because the image was resized or turned later. Correct the annotation.",
    ),
    "box-outside": Kind(
        "fault", "with boxes wholly outside", "Training leaves these boxes out. Correct or remove them."
    ),
    "box-empty": Kind(
        "fault",
        "with empty or inverted boxes",
        "The right edge is not right of the left one, or the lower one not below. Training leaves these boxes out.",
    ),
    "leak": Kind(
        "fault",
        "equal pictures across splits",
        "Every pixel is equal. The network is tested on what it was trained on: its accuracy is too high. Remove one.",
    ),
    "contradiction": Kind(
        "fault",
        "equal pictures with different labels",
        "Every pixel is equal, and one label or the other is wrong. Remove the wrong ones.",
    ),
    "mislabelled": Kind(
        "warning",
        "probably mislabelled",
        "By confident learning over the run's answers to images that it was not trained on. Look at each of them.",
    ),
    "near-leak": Kind(
        "warning",
        "alike pictures across splits",
        f"Their 64-bit perceptual hashes differ in at most {BITS} bits, and their thumbnails have a correlation of "
        f"{CORRELATION:g} or more. A copy in another size or quality makes the accuracy too high. So do two "
        "pictures of one thing, taken one after the other.",
    ),
    "near-contradiction": Kind(
        "warning",
        "alike pictures with different labels",
        "They are found like the alike ones across splits. One label may be wrong.",
    ),
    "repeated": Kind(
        "warning", "equal pictures within a split", "Every pixel is equal, and so is the label. They count twice."
    ),
    "near-repeated": Kind(
        "warning",
        "alike pictures within a split",
        f"They are found like the alike ones across splits. Pictures below {HASHED} pixels a side are not compared.",
    ),
    "box-repeated": Kind(
        "warning",
        "with boxes drawn twice",
        f"Two boxes of one class overlap by more than {OVERLAP:.0%} (intersection over union). They count twice.",
    ),
    "box-cut": Kind(
        "warning", "with boxes over the edge", "They are cut to the image. An annotation tool may count from 0, not 1."
    ),
    "absent-class": Kind(
        "warning", "class without validation or test images", "Nothing is measured for a class without images."
    ),
    "tiny-class": Kind(
        "warning",
        "class of few training images",
        f"It has fewer than {TINY_CLASS} training images; a network learns little from so few.",
    ),
    "imbalance": Kind(
        "warning",
        "classes of very different size",
        f"The most frequent class has {IMBALANCE} times as many training images as the rarest, or more. Look at the "
        "accuracy of every class, not only at the whole.",
    ),
    "one-colour": Kind(
        "warning", "of one colour", f"All pixels lie within {SPAN} of 255 levels in every channel: there is no picture."
    ),
    "dark": Kind("warning", "very dark", f"99 % of the pixels are darker than {DARK:.0%} of white."),
    "bright": Kind("warning", "very bright", f"95 % of the pixels are brighter than {BRIGHT:.0%} of white."),
    "blurred": Kind(
        "warning",
        "blurred",
        f"The variance of the Laplacian, at no more than 256 pixels, is below {BLURRED:.1%} of that of the grey "
        f"levels. Pictures below {LEAST_SIDE} pixels a side are not judged.",
    ),
    "little-information": Kind(
        "warning",
        "with little information",
        f"The grey levels have less than {ENTROPY:g} bits of entropy; photographs have 5 to 8. Pictures below "
        f"{LEAST_SIDE} pixels a side are not judged.",
    ),
    "odd-shape": Kind(
        "warning",
        "of an odd shape",
        f"The shorter side is less than {ASPECT:.0%} of the longer: cutting out the centre loses most of the picture.",
    ),
    "small": Kind(
        "warning",
        f"smaller than {SMALL_SIDE} pixels a side",
        f"A side has less than {SMALL_SIDE} pixels, and others of the set are larger: the network sees it magnified.",
    ),
    "no-boxes": Kind("fact", "without a box", "They train as background."),
    "turned": Kind("fact", "turned by EXIF", "The camera was held another way; they are read upright."),
    "animated": Kind("fact", "with several frames", "The first frame is read."),
    "transparent": Kind("fact", "with transparency", "Transparent pixels become white."),
    "misnamed": Kind("fact", "with another ending than their kind", "The content decides how a picture is read."),
}

OF_CLASSES = {"odd-shape", "near-contradiction"}
"""The kinds that images with boxes do not have: whole images are seen, and alike images have other boxes."""

OF_BOXES = {"image-missing", "image-size", "no-boxes", *(name for name in KINDS if name.startswith("box-"))}
"""The kinds that only images with boxes have."""
