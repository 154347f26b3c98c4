"""Annotations of boxes that mean harm, or were damaged: VOC's XML, COCO's JSON, YOLO's text and YAML."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

import boxed_files as made
import hostile_data
from hostile_data import Strategy

GOOD = made.pictures()


def read_annotations(path: Path) -> object:
    """Reads a file of annotations, as the end of its name says."""
    from convatlas.data.boxes.coco import list_coco
    from convatlas.data.boxes.voc_xml import read_voc
    from convatlas.data.boxes.yolo import read_lines
    from convatlas.data.boxes.yolo_yaml import read_yolo

    readers = {".xml": read_voc, ".json": lambda each: list_coco(str(each)).boxes, ".txt": read_lines}
    return readers[path.suffix](path) if path.suffix in readers else read_yolo(str(path))


WORDS = st.one_of(
    st.sampled_from(("cat", "1", "-1", "1e400", "nan", "9" * 400, "", "\0", "a" * 5000, "../x", "/dev/zero", "\ud800")),
    st.text(max_size=6),
)
BEGINNINGS = (
    '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]>',
    '<!DOCTYPE a SYSTEM "file:///dev/zero">',
    '<?xml version="1.0" encoding="utf-16"?>',
    '<?xml version="1.0" encoding="none"?>',
    "",
)


def _element(name: str, inside: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(inside, max_size=4).map(lambda parts: f"<{name}>{''.join(parts)}</{name}>")


LEAVES = st.builds(
    lambda name, text: f"<{name}>{text}</{name}>",
    st.sampled_from(("name", "xmin", "ymin", "xmax", "ymax", "width", "height", "filename", "difficult")),
    WORDS,
)
OBJECTS = _element("object", st.one_of(LEAVES, _element("bndbox", LEAVES)))
FORESTS = _element("annotation", st.one_of(OBJECTS, _element("size", LEAVES), LEAVES))
DEEP = st.integers(1, 100_000).map(lambda depth: "<a>" * depth)
VOC: Strategy = st.one_of(
    hostile_data.damaged(made.annotation_xml(GOOD[0]).encode()),
    st.builds(
        lambda begin, tree: (begin + tree).encode("utf-8", "surrogatepass"), st.sampled_from(BEGINNINGS), FORESTS
    ),
    DEEP.map(str.encode),
).map(lambda content: (content, ".xml"))

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.just([1, 2, 3, 4])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)
FIELDS = ("id", "image_id", "category_id", "bbox", "file_name", "name", "width", "iscrowd")
ITEMS = st.dictionaries(st.sampled_from(FIELDS), st.one_of(st.integers(0, 2), VALUES), max_size=8)
LISTS = st.dictionaries(
    st.sampled_from(("images", "annotations", "categories", "info")), st.one_of(st.lists(ITEMS, max_size=3), VALUES)
)
NESTED = st.integers(1, 100_000).map(lambda depth: '{"images": ' + "[" * depth)
COCO: Strategy = st.one_of(
    hostile_data.damaged(json.dumps(made.coco_json(GOOD)).encode()),
    LISTS.map(lambda content: json.dumps(content).encode()),
    NESTED.map(str.encode),
).map(lambda content: (content, ".json"))

LINES = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=4).map("\n".join)
DESCRIPTIONS = st.dictionaries(
    st.sampled_from(("names", "train", "val", "test", "path", "nc")), VALUES, max_size=5
).map(json.dumps)  # JSON is YAML too
ALIASES = st.integers(1, 40).map(
    lambda depth: (
        "a0: &a0 [x]\n"
        + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, depth))
        + f"names: *a{depth - 1}\ntrain: .\n"
    )
)
YOLO: Strategy = st.one_of(
    LINES.map(lambda text: (text.encode("utf-8", "surrogatepass"), ".txt")),
    hostile_data.damaged(b"0 0.5 0.5 0.1 0.1\n1 0.1 0.1 0.2 0.2 0.3 0.3\n").map(lambda content: (content, ".txt")),
    st.one_of(DESCRIPTIONS, ALIASES).map(lambda text: (text.encode("utf-8", "surrogatepass"), ".yaml")),
    hostile_data.damaged(b"train: images\nnames: {0: a, 1: b}\n").map(lambda content: (content, ".yaml")),
)
