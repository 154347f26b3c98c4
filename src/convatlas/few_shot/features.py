"""The features that the runs of a study share: each image goes once through the body, for every method and draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convatlas.data import DataSet, Images
from convatlas.data.images.protocol import short_hash
from convatlas.data.subset import at
from convatlas.few_shot.planning import Member
from convatlas.prediction import answering, predict_logits
from convatlas.progress.counting import counting
from convatlas.run import is_run, read_run
from convatlas.screen import Screen, say
from convatlas.training.features import PARTS, KeptFeatures, no_features, read_features, write_features
from convatlas.training.freezing import head_of
from convatlas.training.head_only import Body, HeadOnly
from convatlas.values import plain
from convatlas.words import canonical

AT_ONCE = 512  # images between two looks at the bar


def with_features(members: Sequence[Member], data: DataSet, *, out: Path, device: str, quiet: bool) -> list[Member]:
    """Returns the runs of a study with the features that they need; these are computed once, and kept in `features/`.

    One file has those of one body: of the same weights, preprocessing and arithmetic.
    """
    groups: dict[str, list[Member]] = {}
    for member in members:
        if _needs(member):
            groups.setdefault(canonical(_facts(member, data, device=device)), []).append(member)
    kept: dict[str, KeptFeatures] = {}
    for key, group in groups.items():
        facts = _facts(group[0], data, device=device)
        path = out / "features" / f"{short_hash([key.encode()])}.npz"
        kept[key] = _computed(group, data, path=path, facts=facts, device=device, quiet=quiet)
    return [
        dataclasses.replace(member, plan=dataclasses.replace(member.plan, features=kept[key]))
        if _needs(member) and (key := canonical(_facts(member, data, device=device))) in kept
        else member
        for member in members
    ]


def _needs(member: Member) -> bool:
    """Returns whether a run is still to be made and works on features alone."""
    if is_run(member.folder) and read_run(member.folder).finished:
        return False
    return not member.trained or member.plan.objective is HeadOnly


def _facts(member: Member, data: DataSet, *, device: str) -> dict[str, Any]:
    """Returns the facts that decide the features of an image."""
    plan = member.plan
    drawn = {} if plan.start.sha256 else {"seed": plan.seed}  # a body from the seed differs from draw to draw
    return {
        "network": plan.label,
        "weights": plan.start.sha256,
        **drawn,
        "preprocessing": plain(dataclasses.asdict(plan.preprocessing)),
        "precision": plan.recipe.precision,
        "data": data.spec.name,
        "split_hash": data.split_hash,
        "images_hash": data.images_hash,
        "device": device,
    }


def _computed(
    group: Sequence[Member], data: DataSet, *, path: Path, facts: dict[str, Any], device: str, quiet: bool
) -> KeptFeatures:
    """Returns the features of all images that some runs need: those in the file, and the others, which it gets."""
    wanted = {"train": np.unique(np.concatenate([_numbers(each.plan.data.train) for each in group]))}
    wanted["test"] = np.sort(_numbers(data.test))
    found = read_features(path, facts=facts)
    lacking = {part: wanted[part] if found is None else found.missing(part, wanted[part]) for part in PARTS}
    if found is not None and not any(map(len, lacking.values())):
        return found
    if not quiet:
        counts = " and ".join(f"{len(numbers):,} {part}" for part, numbers in lacking.items() if len(numbers))
        say(f"the features of {counts} images are computed once and kept in {path}")
    plan = group[0].plan
    network = plan.build().to(memory_format=torch.channels_last).to(device)  # type: ignore[call-overload]
    body = Body(answering(network, precision=plan.recipe.precision), head_of(network))
    with counting(Screen(stderr=True, quiet=quiet), "features") as counted:
        for part, numbers in lacking.items():
            if len(numbers):
                images = _at_numbers(data.parts[part].to(device), numbers)
                values = _values(body, images, member=group[0], counted=counted)
                found = (found or no_features(body.shape)).with_more(part, numbers, values)
                write_features(found, path, facts=facts)
    assert found is not None
    return found


def _values(body: Body, images: Images, *, member: Member, counted: Callable[[int, int], None]) -> np.ndarray:
    """Returns the features (N, features) of some images, in their order."""
    plan, parts = member.plan, []
    for places in torch.split(torch.arange(len(images)), AT_ONCE):
        few = at(images, places)
        parts.append(predict_logits(body, few, preprocessing=plan.preprocessing, precision=plan.recipe.precision))
        counted(int(places[-1]) + 1, len(images))
    return torch.cat(parts).numpy()


def _numbers(images: Images) -> np.ndarray:
    return images.index.cpu().numpy()


def _at_numbers(images: Images, numbers: np.ndarray) -> Images:
    """Returns the images of some numbers in their source, in this order."""
    order = np.argsort(_numbers(images))
    places = order[np.searchsorted(_numbers(images), numbers, sorter=order)]
    return at(images, torch.from_numpy(places))
