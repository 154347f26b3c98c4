"""Files that mean harm, or were damaged: a table of kinds, each with a strategy that makes them and a reader.

`bench/hostile.py` tries them in a process of its own with a bound on memory and time. To add a kind of input (parquet,
idx, pictures, recipes, records of runs), write a strategy that gives a `File` and a function that reads a path, and add
a row to `KINDS`. A reader answers or raises `UsageError`; everything else is a fault.
"""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

import hostile_boxes
import hostile_data
import hostile_runs
import hostile_sets
from convatlas import create

Strategy = st.SearchStrategy[Any]
HUGE = (2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -1, -(2**63))


@dataclass(frozen=True)
class File:
    """The content of a file; its name ends in `suffix`."""

    content: bytes
    suffix: str = ".pt"


@dataclass(frozen=True)
class Kind:
    """A kind of bad files: what makes them, and what reads one."""

    files: Strategy = field(repr=False)
    read: Callable[[Path], object]


# ------------------------------------------------------------------------------------------------ pickles, by hand


@dataclass(frozen=True)
class Code:
    """Operations of a pickle that leave one object on the stack."""

    operations: bytes


def operations(value: Any) -> bytes:
    """Returns the operations that put a value on the stack; whole numbers may be of any size."""
    if isinstance(value, Code):
        return value.operations
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(content)]) + content
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(content)) + content
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, dict):
        return b"}(" + b"".join(operations(key) + operations(item) for key, item in value.items()) + b"u"
    begin, end = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
    return begin + b"".join(map(operations, value)) + end


def named(name: str) -> Code:
    module, _, last = name.rpartition(".")
    return Code(f"c{module}\n{last}\n".encode())


def called(name: str, *arguments: Any) -> Code:
    return Code(operations(named(name)) + operations(tuple(arguments)) + b"R")


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + operations(value) + b"."


def tensor(
    size: Any, stride: Any, *, key: str = "0", count: Any = 4, offset: Any = 0, kind: str = "FloatStorage"
) -> Code:
    """Returns a tensor as torch writes it, which may claim anything of its storage."""
    identifier = ("storage", named(f"torch.{kind}"), key, "cpu", count)
    storage = Code(operations(identifier) + b"Q")
    hooks = called("collections.OrderedDict")
    return called("torch._utils._rebuild_tensor_v2", storage, offset, size, stride, False, hooks)


def torch_zip(
    content: Any, storages: dict[str, bytes] | None = None, *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """Returns a file of torch's zip format."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content if isinstance(content, bytes) else pickled(content))
        archive.writestr("archive/byteorder", "little")
        for key, values in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", values)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def torch_legacy(content: Any, storages: dict[str, bytes], *, counts: dict[str, int] | None = None) -> bytes:
    """Returns a file of torch's legacy format, whose storages may say other counts of values than they have."""
    begin = b"".join(map(pickled, (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content, list(storages))))
    values = (struct.pack("<q", (counts or {}).get(key, len(values) // 4)) + values for key, values in storages.items())
    return begin + b"".join(values)


# ----------------------------------------------------------------------------------------------------- good files


@functools.cache
def small_state() -> dict[str, torch.Tensor]:
    """Returns a network of a few layers; a short name, as half of all files are made of it."""
    torch.manual_seed(0)
    return create("resnet_uva", depths=(1,), widths=(4,)).state_dict()


def record(**changes: Any) -> dict[str, Any]:
    """Returns the entry in which our own checkpoint of `small_state` says what it is of."""
    architecture = {
        "name": "resnet_uva",
        "reference": None,
        "options": {"depths": [1], "widths": [4]},
        "num_classes": 10,
        "in_channels": 3,
    }
    preprocessing = {"image_size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    return {
        "architecture": architecture | changes.pop("architecture", {}),
        "preprocessing": preprocessing | changes.pop("preprocessing", {}),
        **changes,
    }


@functools.cache
def good_files() -> dict[str, bytes]:
    """Returns a good file of each format, by the end of its name."""
    from safetensors.torch import save

    content = {"state_dict": small_state(), "convatlas": record(), "best": np.float64(0.5)}
    zipped, legacy, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save(content, zipped)
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    floats = {key: value.numpy() for key, value in small_state().items() if value.is_floating_point()}
    np.savez(arrays, **floats)  # type: ignore[arg-type]
    metadata = {"convatlas": json.dumps(record())}
    return {
        ".pt": zipped.getvalue(),
        ".pth": legacy.getvalue(),
        ".npz": arrays.getvalue(),
        ".safetensors": save(small_state(), metadata=metadata),
    }


# ----------------------------------------------------------------------------------------------------- strategies

NUMBERS = st.one_of(st.integers(-2, 70), st.sampled_from(HUGE), st.sampled_from((10**5, 10**6, 10**7, 10**9)))
SIZES = st.lists(NUMBERS, max_size=5).map(tuple)
TEXT = st.one_of(st.text(max_size=12), st.sampled_from(("module.", "ema", "a" * 10**5, "\x1b[2J", "x\ny", "\ud800")))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXT, st.binary(max_size=8))
KINDS_OF_STORAGE = st.sampled_from(("FloatStorage", "HalfStorage", "DoubleStorage", "QInt8Storage", "UntypedStorage"))
TENSORS = st.builds(
    tensor,
    SIZES,
    SIZES,
    key=st.sampled_from(("0", "1", "2", "../0")),
    count=st.one_of(st.integers(0, 16), NUMBERS),
    offset=st.one_of(st.just(0), NUMBERS),
    kind=KINDS_OF_STORAGE,
)
CALLS = st.sampled_from(
    (
        "os.system", "builtins.eval", "builtins.bytearray", "builtins.bytes", "builtins.set", "builtins.complex",
        "torch.Tensor", "torch.FloatTensor", "torch.UntypedStorage", "torch.FloatStorage", "torch.Size",
        "torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor", "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_meta_tensor_no_storage", "torch._tensor._rebuild_from_type_v2", "_codecs.encode",
        "collections.OrderedDict", "collections.Counter", "numpy.dtype", "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct", "numpy.ndarray", "argparse.Namespace", "pathlib.PosixPath",
        "copyreg._reconstructor", "some.body",
    )
)  # fmt: skip


def doubled_lists(depth: int) -> Code:
    """Returns a list that holds a list twice, which holds a list twice ...: 2^depth items from 8 bytes each."""
    steps = b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(depth))
    return Code(b"]q\0" + steps.replace(b"](", b"0]("))


def wide_lists(width: int, depth: int) -> Code:
    """Returns a list that holds one list many times, which holds one list many times ...: width^depth items."""
    steps = b"".join(b"0](" + (b"h" + bytes([i])) * width + b"eq" + bytes([i + 1]) for i in range(depth))
    return Code(b"]q\0" + steps)


def doubled_tuples(depth: int) -> Code:
    """Returns the same of tuples, which can be keys: hashing one takes 2^depth steps."""
    return Code(b")q\0" + b"".join(b"0h" + bytes([i]) + b"2\x86q" + bytes([i + 1]) for i in range(depth)))


def nested(depth: int) -> Code:
    """Returns lists in each other."""
    return Code(b"]" * depth + b"a" * (depth - 1))


def itself() -> Code:
    """Returns a list that holds itself."""
    return Code(b"]q\0h\0a")


STRANGE = st.one_of(
    st.integers(1, 200).map(doubled_lists),
    st.builds(wide_lists, st.sampled_from((2, 50, 1000)), st.integers(1, 4)),
    st.integers(1, 200).map(doubled_tuples),
    st.sampled_from((2, 900, 10**4, 10**5)).map(nested),
    st.builds(itself),
)
VALUES: Strategy = st.recursive(
    st.one_of(SCALARS, TENSORS, STRANGE, CALLS.map(named)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXT, inner, max_size=4),
        st.builds(lambda name, arguments: called(name, *arguments), CALLS, st.lists(inner, max_size=4)),
        st.builds(lambda key, value: Code(b"}" + operations(key) + operations(value) + b"s"), inner, inner),
        st.builds(lambda value, state: Code(operations(value) + operations(state) + b"b"), inner, inner),
    ),
    max_leaves=12,
)
STATES = st.dictionaries(st.one_of(st.sampled_from(("fc.weight", "fc.bias", "module.fc.weight")), TEXT), TENSORS)
CONTENTS = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(("state_dict", "model", "ema", "net", "hyper_parameters", "args")), VALUES),
    STATES,
    STATES.map(lambda state: {"state_dict": state}),
)
PLACES = st.sampled_from(("0", "1", "2"))
STORAGES = st.dictionaries(PLACES, st.binary(max_size=64).map(lambda values: values + bytes(-len(values) % 4)))
COMPRESSIONS = st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
ZIPS = st.builds(torch_zip, CONTENTS, STORAGES, compression=COMPRESSIONS).map(File)
COUNTS = st.dictionaries(PLACES, NUMBERS.map(lambda count: max(-(2**63), min(2**63 - 1, count))), max_size=2)
LEGACY = st.builds(torch_legacy, CONTENTS, STORAGES, counts=COUNTS).map(lambda content: File(content, ".pth"))


@st.composite
def random_operations(draw: Callable[[Strategy], Any]) -> bytes:
    """Makes a pickle of operations in any order, with lengths and indices of any size."""
    plain = [bytes([code]) for code in b"(0120NVlatesudob]})R\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"]
    four = st.sampled_from((0, 1, 5, 255, 2**16, 2**28, 2**31 - 1, 2**32 - 1)).map(lambda n: struct.pack("<I", n))
    eight = st.sampled_from((0, 3, 2**32, 2**40, 2**62, 2**63, 2**64 - 1)).map(lambda n: struct.pack("<Q", n))
    small = st.integers(0, 9).map(lambda n: bytes([n]))
    lines = st.sampled_from((b"1\n", b"9" * 5000 + b"\n", b"'a'\n", b"99999999999\n", b"-1\n"))
    arguments = ((b"rjXBT\x8b", four), (b"\x8d\x8e\x96\x95", eight), (b"qhKUC", small), (b"gpILFS", lines))
    measured = st.one_of(
        *(
            st.builds(lambda code, rest: bytes([code]) + rest, st.sampled_from(codes), rest)
            for codes, rest in arguments
        ),
        CALLS.map(lambda name: named(name).operations),
        st.sampled_from(HUGE).map(operations),
    )
    parts = draw(st.lists(st.one_of(st.sampled_from(plain), measured, VALUES.map(operations)), max_size=40))
    return b"\x80\x02" + b"".join(parts) + b"."


PICKLES = random_operations()
IN_ZIPS = PICKLES.map(lambda content: File(torch_zip(content, {"0": bytes(16)})))


@st.composite
def damaged(draw: Callable[[Strategy], Any]) -> File:
    """Makes a good file with bytes changed, left out, doubled, or cut off at its end."""
    suffix = draw(st.sampled_from(sorted(good_files())))
    return File(draw(hostile_data.damaged(good_files()[suffix])), suffix)


def npz(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape: Any, kind: str, values: bytes) -> bytes:
    """Returns an array's file, whose header may say anything."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) % 65536) + header + values


def zeros_zip(gib: float, *, name: str = "head/kernel.npy") -> bytes:
    """Returns an archive of one array of zeros of so many GiB; it has a thousandth of them."""
    chunk, total = 2**20, int(gib * 2**30)
    header = npy((total // 4,), "<f4", b"")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = packer.compress(bytes(chunk)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = begin + packed * (total // chunk) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    label, size = name.encode(), len(header) + total // chunk * chunk
    sizes = struct.pack("<III", 0, len(content), size)
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + struct.pack("<HH", len(label), 0) + label
    directory = (
        b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes
        + struct.pack("<HHHHHII", len(label), 0, 0, 0, 0, 0, 0) + label
    )  # fmt: skip
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(local) + len(content), 0)
    return local + content + directory + end


NPY_TYPES = st.sampled_from(("<f4", ">f8", "|O", "<U9", "|V2", "<i8", "<f4" * 9))
NPY_HEADERS = st.sampled_from((b"(" * 9000, b"-" * 9000 + b"1", b"{" * 900)).map(
    lambda text: b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
)
ARRAYS = st.one_of(
    st.dictionaries(
        st.text("abc/.", min_size=1, max_size=8),
        st.one_of(st.builds(npy, SIZES, NPY_TYPES, st.binary(max_size=64)), NPY_HEADERS),
        max_size=3,
    ).map(npz),
    st.sampled_from((0.01, 0.1, 1.0, 3.0)).map(zeros_zip),
).map(lambda content: File(content, ".npz"))


def safetensors(header: str, values: bytes, *, length: int | None = None) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + values


JSONS: Strategy = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from(HUGE), st.integers(0, 70), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(("F32", "F16", "I64", "F8_E4M3", "X")),
        "shape": st.lists(st.one_of(st.integers(0, 9), st.sampled_from(HUGE)), max_size=4),
        "data_offsets": st.lists(st.one_of(st.integers(0, 64), st.sampled_from(HUGE)), min_size=2, max_size=2),
    }
)
DEEP = st.sampled_from((900, 10**4, 10**5)).map(lambda depth: "[" * depth + "]" * depth)
HEADERS = st.one_of(
    st.dictionaries(TEXT, st.one_of(ENTRIES, JSONS), max_size=3).map(json.dumps),
    DEEP.map(lambda deep: json.dumps({"__metadata__": {"convatlas": deep}})),
    DEEP.map(lambda deep: f'{{"__metadata__": {deep}}}'),
    st.one_of(st.text(max_size=30), st.just("[" * 10**5), st.just('{"a":' * 10**4)),
)
LENGTHS = st.one_of(st.none(), st.sampled_from((0, 2**31, 2**63, 2**64 - 1)))
SAFETENSORS = st.builds(safetensors, HEADERS, st.binary(max_size=64), length=LENGTHS).map(
    lambda content: File(content, ".safetensors")
)


# A record's numbers, each as a checkpoint may say it; and anything that JSON can hold.
ASKED = st.one_of(st.integers(-1, 70), st.sampled_from((8192, 10**5, 10**6, 10**7, 2**31, 2**62, 2**63, 10**30)))
ANSWERS = st.one_of(ASKED, JSONS, st.lists(ASKED, max_size=4))
OPTIONS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "depths": ANSWERS,
            "widths": ANSWERS,
            "padding": ASKED,
            "blocks": st.lists(st.lists(ASKED, min_size=2, max_size=2), min_size=5, max_size=5),
            "depth": st.sampled_from((1e300, 1e9, 50.0, -1.0)),
            "width": st.sampled_from((1e300, 1e9, 50.0, -1.0)),
            "growth_rate": ANSWERS,
            "activation": JSONS,
        },
    ),
    JSONS,
)
NAMES = st.sampled_from(
    ("resnet_uva", "lenet5", "vgg11_textbook", "efficientnet_b0_cifar", "densenet_uva", "alexnet", "dpn26_cifar")
)
ARCHITECTURES = st.one_of(
    st.fixed_dictionaries({}, optional={"name": NAMES, "options": OPTIONS, "num_classes": ASKED, "in_channels": ASKED}),
    st.fixed_dictionaries({}, optional={"name": TEXT, "options": JSONS, "num_classes": JSONS, "reference": JSONS}),
)
PREPROCESSINGS = st.fixed_dictionaries(
    {}, optional={"image_size": ANSWERS, "shorter_side": ANSWERS, "mean": JSONS, "interpolation": JSONS}
)
RECORDS = st.one_of(
    st.fixed_dictionaries({"architecture": ARCHITECTURES}),
    st.fixed_dictionaries({"architecture": ARCHITECTURES, "preprocessing": PREPROCESSINGS}),
    st.fixed_dictionaries({}, optional={"data": JSONS, "recipe": JSONS, "format": ANSWERS}),
).map(lambda changes: record(**changes)) | st.dictionaries(
    st.sampled_from(("architecture", "preprocessing", "data")), JSONS
)


def said(entry: Any) -> File:
    """Returns a checkpoint of `small_state` that says this of itself."""
    from safetensors.torch import save

    return File(save(small_state(), metadata={"convatlas": json.dumps(entry)}), ".safetensors")


# ------------------------------------------------------------------------------------------- one file for each harm


def directory_of(entries: int) -> bytes:
    """Returns an archive whose directory names one member this many times."""
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, len(entry) * entries, len(local), 0)
    return local + entry * entries + end


def keyed(value: Any, *, by: Any) -> Code:
    """Returns a dictionary of one value."""
    return Code(b"}" + operations(by) + operations(value) + b"s")


def stored(content: Any, suffix: str = ".pt") -> File:
    """Returns a file of torch with one storage of four values."""
    write = torch_zip if suffix == ".pt" else torch_legacy
    return File(write(content, {"0": bytes(16)}), suffix)


def saying(**changes: Any) -> File:
    return said(record(**changes))


def building(name: str, **options: Any) -> File:
    return saying(architecture={"name": name, "options": options})


@functools.cache
def examples() -> dict[str, tuple[File, str]]:
    """Returns a file for each harm, with the pattern of the line that refuses it."""
    much, damaged_file = "asks for at least .* of memory", "is no checkpoint of tensors and plain data: it is"
    wide, lists = tensor((3 * 10**9,), (0,)), doubled_lists(60)
    one_of_many = {f"layer{i}.weight": tensor((10**6,), (0,)) for i in range(100)}
    nine_bytes = b"\x80\x02Nr\xff\xff\xff\x0f."
    return {
        "expanded": (stored({"fc.weight": wide}), much),
        "expanded, legacy": (stored({"fc.weight": wide}, ".pth"), much),
        "expanded, beside": (stored({"state_dict": {}, "history": [wide]}), much),
        "expanded, many": (stored(one_of_many), much),
        "beyond its storage": (stored({"fc.weight": tensor((5,), (1,))}), "a tensor is larger than its storage"),
        "storage of more than the file": (
            stored({"w": tensor((4,), (1,), count=10**10)}, ".pth"),
            "larger than the file",
        ),
        "bytes by a number": (stored({"w": called("builtins.bytearray", 10**10)}), "it wants to call bytes"),
        "tensor by a number": (stored({"w": called("torch.FloatTensor", 10**10)}), "wants to load torch.FloatTensor"),
        "storage by a number": (
            stored({"w": called("torch.UntypedStorage", 10**10)}),
            "wants to load torch.UntypedStorage",
        ),
        "memo": (File(torch_zip(nine_bytes)), "holds a NoneType"),
        "memo, legacy": (File(nine_bytes, ".pth"), "it is of no known format"),
        "bytes of 2^62": (File(torch_zip(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".")), "it is cut off"),
        "number of 2^30 digits": (
            File(torch_zip(b"\x80\x02\x8b" + struct.pack("<I", 2**30) + b".")),
            "whole number of",
        ),
        "key that takes 2^100 steps": (stored(keyed(1, by=doubled_tuples(100))), "it holds ..., and none of"),
        "key of 100,000 lists": (stored(keyed(1, by=Code(b")" + b"\x85" * 10**5))), "it holds ..., and none of"),
        "lists of 2^60 items": (stored({"convatlas": lists, "state_dict": one()}), "its entry .* cannot be read"),
        "list in itself": (stored({"convatlas": {"architecture": itself()}, "state_dict": one()}), "cannot be read"),
        "options of 2^60 items": (
            stored({"convatlas": {"architecture": {"options": {"padding": lists}}}, "state_dict": one()}),
            "cannot be read",
        ),
        "options of 2^36 items": (
            stored({"convatlas": {"architecture": {"name": "x", "options": options_of_many()}}, "state_dict": one()}),
            "its entry 'convatlas' cannot be read",
        ),
        "a million operations": (File(torch_zip(b"\x80\x02(" + b"N" * 1_500_000 + b"t.")), much),
        "hyperparameters": (
            stored({"hyper_parameters": {"model_name": "ResNet", "model_hparams": lists}, "state_dict": one()}),
            "fits no architecture",
        ),
        "arrays of 3 GiB": (File(zeros_zip(3), ".npz"), much),
        "storage of zeros": (File(torch_zip(one(), {"0": bytes(10**8)}, compression=zipfile.ZIP_DEFLATED)), much),
        "pickle of 1 GiB": (File(zeros_zip(1.0, name="archive/data.pkl")), much),
        "directory": (File(directory_of(300_000)), much),
        "name in no encoding": (
            File(misnamed()),
            "is no checkpoint of tensors and plain data: it is cut off or damaged",
        ),
        "array's header": (File(npz({"a": npy((2**40,), "<f4", b"")}), ".npz"), "cut off or damaged"),
        "array's type": (File(npz({"a": npy((3,), "<f4" * 9, b"")}), ".npz"), "cut off or damaged"),
        "metadata": (with_metadata("[" * 1000 + "]" * 1000), "cannot be read|nested too deep"),
        "metadata, deep": (with_metadata("[" * 10**5), "no JSON, or nested too deep"),
        "header": (File(safetensors("[" * 10**5, b""), ".safetensors"), "is no safetensors file"),
        "header of 2^60": (File(safetensors("{}", b"", length=2**60), ".safetensors"), "is no safetensors file"),
        "classes": (saying(architecture={"num_classes": 10**7}), "it says 10,000,000 classes, and has 497 values"),
        "many classes": (saying(architecture={"num_classes": 400}), r"! head.fc.weight \(shape \(10, 4\)"),
        "channels": (saying(architecture={"in_channels": 10**6}), "it says 1,000,000 channels, and has"),
        "name of a class": (stored({"w": named("some\x1b[2J.body")}), r"\\x1b\[2J.body"),
        "pixels": (saying(preprocessing={"image_size": 8192}), "preprocessing cannot be read: images of 8192 pixels"),
        "shorter side": (saying(preprocessing={"shorter_side": 10**6}), "preprocessing cannot be read: images of 32"),
        "blocks": (building("resnet_uva", depths=[10**7]), "more blocks than the file has tensors"),
        "blocks of VGG": (building("vgg11_textbook", blocks=[[10**7, 4]] * 5), "a network of more than"),
        "depth": (building("efficientnet_b0_cifar", depth=1e9), "a network of more than"),
        "width": (building("efficientnet_b0_cifar", width=1e300), "cannot be built with them"),
        "widths": (building("resnet_uva", depths=[1], widths=[2**62]), "cannot be built with them"),
        "padding": (building("lenet5", padding=10**6), "padding=1000000 must be 0"),
        "name": (saying(architecture={"name": "x" * 5000}), "is of the architecture 'xxx"),
        "escapes": (stored({"\x1b[2J\n": tensor((1,), (1,))}), r"it holds \\x1b\[2J\\n"),
        "damage": (File(b"PK\3\4" + bytes(100)), damaged_file),
    }


def misnamed() -> bytes:
    """Returns an archive in which the name of a member, which should be UTF-8, is none."""
    return torch_zip({}).replace(b"version", b"\xa8ersion").replace(b"\x14\0\0\0\0\0", b"\x14\0\0\x08\0\0")


def options_of_many() -> dict[str, Code]:
    return {"padding": wide_lists(4096, 3)}


def one() -> dict[str, Code]:
    return {"fc.weight": tensor((2, 2), (2, 1))}


def with_metadata(text: str) -> File:
    return File(safetensors(json.dumps({"__metadata__": {"convatlas": text}}), b""), ".safetensors")


# ----------------------------------------------------------------------------------------------------- the table


BATCHES = st.dictionaries(st.sampled_from((b"data", b"labels", b"filenames")), VALUES)


def read_checkpoint(path: Path) -> object:
    """Opens a checkpoint as `evaluate` and `predict` do."""
    from convatlas.prediction import open_predictor

    return open_predictor(path)


def read_cifar(path: Path) -> object:
    from convatlas.data.sources.cifar import CIFAR10_FILES
    from convatlas.data.sources.layouts.pickles import read_batch

    return read_batch(path, labels="labels", form=CIFAR10_FILES.form)


def data_kind(files: Strategy) -> Kind:
    """Returns the row of a kind of data files."""
    return Kind(files.map(lambda pair: File(*pair)), hostile_data.read_data)


def run_kind(files: Strategy, read: Callable[[Path], object] = hostile_runs.read_run_file) -> Kind:
    """Returns the row of a kind of recipes, of files of runs, or of sets of images."""
    return Kind(files.map(lambda pair: File(*pair)), read)


KINDS: dict[str, Kind] = {
    "torch-zip": Kind(ZIPS, read_checkpoint),
    "torch-legacy": Kind(LEGACY, read_checkpoint),
    "torch-pickle": Kind(IN_ZIPS, read_checkpoint),
    "npz": Kind(ARRAYS, read_checkpoint),
    "safetensors": Kind(SAFETENSORS, read_checkpoint),
    "record": Kind(RECORDS.map(said), read_checkpoint),
    "damaged-checkpoint": Kind(damaged(), read_checkpoint),
    "cifar-pickle": Kind(st.one_of(PICKLES, VALUES.map(pickled), BATCHES.map(pickled)).map(File), read_cifar),
    "idx": data_kind(hostile_data.IDX),
    "parquet": data_kind(hostile_data.PARQUET),
    "picture": data_kind(hostile_data.PICTURES),
    "csv": run_kind(hostile_sets.CSV, hostile_sets.read_set),
    "tar": run_kind(hostile_sets.TAR, hostile_sets.read_set),
    "hub": run_kind(hostile_sets.HUB, hostile_sets.read_set),
    "voc": run_kind(hostile_boxes.VOC, hostile_boxes.read_annotations),
    "coco": run_kind(hostile_boxes.COCO, hostile_boxes.read_annotations),
    "yolo": run_kind(hostile_boxes.YOLO, hostile_boxes.read_annotations),
    "recipe": run_kind(hostile_runs.RECIPES, hostile_runs.read_recipe_file),
    "run-record": run_kind(hostile_runs.RUNS),
    "study-record": run_kind(hostile_runs.STUDIES),
    "metrics": run_kind(hostile_runs.TABLES),
    "predictions": run_kind(hostile_runs.PREDICTIONS),
}  # fmt: skip
