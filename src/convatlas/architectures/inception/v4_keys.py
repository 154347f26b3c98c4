"""Key tables for Inception-v4 in other projects' layouts, and functions for networks whose modules are numbered."""

from __future__ import annotations

from collections.abc import Mapping

# The convolutions of each module: timm's names and ours.
_STEM = {
    "0": "conv1",
    "1": "conv2",
    "2": "conv3",
    "3.conv": "mixed1.conv",
    "4.branch0.0": "mixed2.branch3x3.reduce",
    "4.branch0.1": "mixed2.branch3x3.conv",
    "4.branch1.0": "mixed2.branch7x7.reduce",
    "4.branch1.1": "mixed2.branch7x7.conv1.row",
    "4.branch1.2": "mixed2.branch7x7.conv1.column",
    "4.branch1.3": "mixed2.branch7x7.conv2",
    "5.conv": "mixed3.conv",
}
_A = {
    "branch0": "branch1x1",
    "branch1.0": "branch3x3.reduce",
    "branch1.1": "branch3x3.conv",
    "branch2.0": "branch_double.reduce",
    "branch2.1": "branch_double.conv1",
    "branch2.2": "branch_double.conv2",
    "branch3.1": "branch_pool.projection",
}
_REDUCTION_A = {
    "branch0": "branch3x3",
    "branch1.0": "branch_double.reduce",
    "branch1.1": "branch_double.conv1",
    "branch1.2": "branch_double.conv2",
}
_B = {
    "branch0": "branch1x1",
    "branch1.0": "branch7x7.reduce",
    "branch1.1": "branch7x7.conv.row",
    "branch1.2": "branch7x7.conv.column",
    "branch2.0": "branch_double.reduce",
    "branch2.1": "branch_double.conv1.column",
    "branch2.2": "branch_double.conv1.row",
    "branch2.3": "branch_double.conv2.column",
    "branch2.4": "branch_double.conv2.row",
    "branch3.1": "branch_pool.projection",
}
_REDUCTION_B = {
    "branch0.0": "branch3x3.reduce",
    "branch0.1": "branch3x3.conv",
    "branch1.0": "branch7x7.reduce",
    "branch1.1": "branch7x7.conv1.row",
    "branch1.2": "branch7x7.conv1.column",
    "branch1.3": "branch7x7.conv2",
}
_C = {
    "branch0": "branch1x1",
    "branch1_0": "branch3x3.reduce",
    "branch1_1a": "branch3x3.expand.row",
    "branch1_1b": "branch3x3.expand.column",
    "branch2_0": "branch_double.reduce",
    "branch2_1": "branch_double.conv.column",
    "branch2_2": "branch_double.conv.row",
    "branch2_3a": "branch_double.expand.row",
    "branch2_3b": "branch_double.expand.column",
    "branch3.1": "branch_pool.projection",
}


def layer_keys(modules: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
    """Returns the rows for the convolutions with norm of these modules; each module maps its layers' names to ours."""
    return {
        f"{module}.{theirs}.{their_part}": f"{module}.{ours}.{part}"
        for module, layers in modules.items()
        for theirs, ours in layers.items()
        for their_part, part in (("conv", "conv"), ("bn", "norm"))
    }


def module_keys(first: int, depths: tuple[int, int, int]) -> dict[str, str | None]:
    """Returns rows from modules named `features.N`, with N from `first` on, to our stages and reductions."""
    a, b, c = depths
    names = [
        *(f"stage1.{index}" for index in range(a)),
        "reduction1",
        *(f"stage2.{index}" for index in range(b)),
        "reduction2",
        *(f"stage3.{index}" for index in range(c)),
    ]
    return {f"features.{number}": name for number, name in enumerate(names, start=first)}


_LAYERS = layer_keys(
    {
        "stem": _STEM,
        "stage1.{}": _A,
        "reduction1": _REDUCTION_A,
        "stage2.{}": _B,
        "reduction2": _REDUCTION_B,
        "stage3.{}": _C,
    }
) | {"head.fc": "head.fc"}
# timm's names are those of https://github.com/Cadene/pretrained-models.pytorch: the stem's layers are modules too.
TIMM_KEYS = (
    {f"features.{number}": f"stem.{number}" for number in range(6)}
    | module_keys(6, (4, 7, 3))
    | {"last_linear": "head.fc"},
    _LAYERS,
)
# The names in https://github.com/zhulf0804/Inceptionv4_and_Inception-ResNetv2.PyTorch, which spells "brance".
ZHULF_KEYS = (
    {
        "features.0.conv2d_1a_3x3": "stem.0",
        "features.0.conv2d_2a_3x3": "stem.1",
        "features.0.conv2d_2b_3x3": "stem.2",
        "features.0.mixed_3a_branch_1": "stem.3.conv",
        "features.0.mixed_4a_branch_{}": "stem.4.branch{}",
        "features.0.mixed_5a_branch_0": "stem.5.conv",
        **module_keys(1, (4, 7, 3)),
        "linear": "head.fc",
    },
    {
        "stage1.{}.brance_3": "stage1.{}.branch3",
        "stage3.{}.branch_1": "stage3.{}.branch1_0",
        "stage3.{}.branch_1_1": "stage3.{}.branch1_1a",
        "stage3.{}.branch_1_2": "stage3.{}.branch1_1b",
        "stage3.{}.branch_2.{}": "stage3.{}.branch2_{}",
        "stage3.{}.branch_2_1": "stage3.{}.branch2_3a",
        "stage3.{}.branch_2_2": "stage3.{}.branch2_3b",
        "stage{}.{}.branch_{}": "stage{}.{}.branch{}",
        "reduction{}.branch_{}": "reduction{}.branch{}",
        "stem": "stem",
        "head": "head",
    },
    _LAYERS,
)
