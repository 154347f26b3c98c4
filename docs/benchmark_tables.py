"""The tables of docs/benchmarks.md, made from the JSON files that the scripts in bench/ write."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from convatlas.files import read_json
from convatlas.report.protocol import values

TUTORIALS = ("resnet_uva", "preact_resnet_uva", "googlenet_uva", "densenet_uva")
AIMS = {  # the least speed-up over the tutorial's way, for a bench and our way: the networks in the order above
    ("train_throughput", "ours bf16"): (3, 3, 3, 3),
    ("train_throughput", "ours float32"): (1.8, 1.8, 1.8, 1.8),
    ("evaluate", "ours bf16"): (3.5, 3.5, 8, 8),
    ("evaluate", "ours float32"): (1.9, 1.9, 4.5, 4.5),
}
EPOCH = 45_000  # training images of CIFAR-10, when 5,000 of the 50,000 are held out


def tables(folder: Path) -> dict[str, str]:
    """Returns each table by the name of its place on the page."""
    content = {path.stem: read_json(path) for path in folder.glob("*.json")}
    return {
        "aims": aims(content),
        "train_throughput": against(content["train_throughput"], first="tutorial", epoch=True),
        "train_throughput_googlenet": against(content["train_throughput_googlenet"], first="tutorial", epoch=True),
        "evaluate": against(content["evaluate"], first="tutorial"),
        "evaluate_epyc": against(content["evaluate_epyc"], first="tutorial"),
        "libraries": against(content["libraries"], first="theirs"),
        "augmentation": against(content["augmentation"], first="PIL"),
        "loader": against(loading(content["loader"]), first="torchvision"),
        "loader_networks": loader_networks(content["loader_networks"]),
        "scaling": scaling(content["scaling"]),
        "peak": beside_the_peak(content["peak"]),
        "step_overhead": times(per_step(content["step_overhead"]), unit="ms a step", factor=1000),
        "start_up": start_up(content["start_up"]),
        "memory": memory(content["memory"]),
        "forward_backward": forward_backward(content["forward_backward"]),
        "memory_efficient": memory_efficient(content["memory_efficient"]),
    }


def aims(content: dict[str, Any]) -> str:
    """Returns the table of the speed-ups aimed at beside the measured ones."""
    lines = ["| | aimed at | measured, median | range | reached | on |", "|:--|--:|--:|--:|:--|:--|"]
    for (bench, way), least in AIMS.items():
        for network, aim in zip(TUTORIALS, least, strict=True):
            ratio = content[bench]["results"][network]["ratios"][way]
            lines.append(aimed(f"{bench}: `{network}`, {way}", aim, ratio, content[bench]))
    (augmentation,) = content["augmentation"]["results"].values()
    lines.append(aimed("augmentation: ours", 15, augmentation["ratios"]["ours"], content["augmentation"]))
    return "\n".join(lines) + "\n"


def aimed(name: str, aim: float, ratio: dict[str, float], content: dict[str, Any]) -> str:
    """Returns one row: an aim, the measured ratio, the verdict on its median, and the processor of the measurement."""
    cells = [name, f"{aim:g}", f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}"]
    cells += ["yes" if ratio["median"] >= aim else "no", content["hardware"]["cpu"]]
    return f"| {' | '.join(cells)} |"


def against(content: dict[str, Any], *, first: str, epoch: bool = False) -> str:
    """Returns the table of several ways to do a task: their speeds, and their speed-ups over the way `first`.

    With `epoch`, a column has the seconds of an epoch of CIFAR-10's training images at the median speed.
    """
    columns = ["", "", "images/s, median", "range", f"times {first}, median", "range", "rounds"]
    columns += [f"s for {EPOCH:,} images"] if epoch else []
    lines = [f"| {' | '.join(columns)} |", "|:--|:--" + "|--:" * (len(columns) - 2) + "|"]
    for name, result in content["results"].items():
        for index, (way, speeds) in enumerate(result["images_per_second"].items()):
            median, ratio = statistics.median(speeds), result["ratios"].get(way)
            cells = ["" if index else f"`{name}`" if " " not in name else name, way]
            cells += [f"{median:,.0f}", f"{min(speeds):,.0f} to {max(speeds):,.0f}"]
            cells += [f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}"] if ratio else ["", ""]
            cells += [str(len(speeds))] + ([f"{EPOCH / median:.0f}"] if epoch else [])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *circumstances(content)]) + "\n"


def circumstances(content: dict[str, Any]) -> list[str]:
    """Returns data, hardware, versions and command of a bench."""
    facts = {
        "Data": "; ".join(content.get("notes", ())),
        "Hardware": values(content["hardware"]),
        "Versions": f"{values(content['versions'])}; commit {short(content['git_commit'])}",
        "Command": f"`{content['command']}`",
    }
    return [f"- {term}: {text}" for term, text in facts.items() if text]


def per_step(content: dict[str, Any]) -> dict[str, Any]:
    """Returns a bench of whole trainings with its times divided by the number of steps."""
    seconds = {way: [taken / content["steps"] for taken in values] for way, values in content["seconds"].items()}
    return {**content, "seconds": seconds}


def times(content: dict[str, Any], *, unit: str, factor: float = 1) -> str:
    """Returns the table of the times that several commands or loops take."""
    lines = [f"| | {unit}, median | range | rounds |", "|:--|--:|--:|--:|"]
    for name, seconds in content["seconds"].items():
        low, middle, high = (factor * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
        lines.append(f"| {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {len(seconds)} |")
    return "\n".join([*lines, "", *circumstances(content)]) + "\n"


def start_up(content: dict[str, Any]) -> str:
    """Returns the table of the times from start to end of short commands, with the seconds of the processor."""
    lines = ["| | s, median | range | processor s, median | rounds |", "|:--|--:|--:|--:|--:|"]
    for name, seconds in content["seconds"].items():
        middle, worked = (statistics.median(values) for values in (seconds, content["processor_seconds"][name]))
        times = f"{middle:.2f} | {min(seconds):.2f} to {max(seconds):.2f} | {worked:.2f}"
        lines.append(f"| {name} | {times} | {len(seconds)} |")
    return "\n".join([*lines, "", *circumstances(content)]) + "\n"


def memory(content: dict[str, Any]) -> str:
    """Returns the table of a training run's memory after some of its epochs, and its growth in an epoch."""
    measured, growth = content["megabytes"], content["megabytes_per_epoch"]
    last = len(measured["held"])
    epochs = sorted({1, 2, last // 2, last})
    lines = [f"| MB after epoch | {' | '.join(map(str, epochs))} | growth an epoch, second half |"]
    lines.append("|:--" + "|--:" * (len(epochs) + 1) + "|")
    for kind, values_of in measured.items():
        cells = [f"{values_of[epoch - 1]:.1f}" for epoch in epochs]
        lines.append(f"| {kind} | {' | '.join(cells)} | {growth[kind]:.2f} |")
    facts = f"- Run: `{content['network']}`, {content['recipe']}"
    return "\n".join([*lines, "", facts, *circumstances(content)]) + "\n"


def loading(content: dict[str, Any]) -> dict[str, Any]:
    """Returns the loader's results under their names on the page: for training and for evaluation."""
    shown = {"train": "for training", "evaluate": "for evaluation"}
    return {**content, "results": {shown[what]: result for what, result in content["results"].items()}}


def loader_networks(content: dict[str, Any]) -> str:
    """Returns the table of networks with images in memory or streamed, and the loader's speed beside the fastest's."""
    lines = []
    for what, found in content["verdict"].items():
        together = 1 / (1 / found["loader"] + 1 / found["network"])
        lines.append(
            f"- {what}: the fastest network in memory ({found['fastest'].replace(f', {what}', '')}) "
            f"{found['network']:,.0f} images/s; the loader alone {found['loader']:,.0f}, {found['times']:.1f} times as "
            f"many; both in turn on the same cores would be {together:,.0f}"
        )
    return "\n".join([*lines, "", against({**content, "results": content["networks"]}, first="in memory")])


def scaling(content: dict[str, Any]) -> str:
    """Returns the table of the time for an image when the batch, the image or the number of images grows."""
    columns = ["", "at a time", "pixels", "images", "images/s, median", "ms an image, median", "range", "rounds"]
    lines = [f"| {' | '.join(columns)} |", "|:--" + "|--:" * (len(columns) - 1) + "|"]
    for grows in ("batch_size", "image_size", "images"):
        for work, rows in content["results"][grows].items():
            for index, row in enumerate(rows):
                each = [1000 * seconds / row["images"] for seconds in row["seconds"]]
                settings = {key: f"{row[key]:,}" for key in ("batch_size", "image_size", "images")}
                settings[grows] = f"**{settings[grows]}**"
                cells = ["" if index else work, *settings.values(), f"{row['images_per_second']:,.0f}"]
                cells += [f"{1000 * row['seconds_per_image']:.2f}", f"{min(each):.2f} to {max(each):.2f}"]
                lines.append(f"| {' | '.join([*cells, str(len(each))])} |")
    facts = f"- Network: `{content['network']}`, {content['precision']}"
    return "\n".join([*lines, "", facts, *circumstances(content)]) + "\n"


def beside_the_peak(content: dict[str, Any]) -> str:
    """Returns the table of the speeds that `convatlas bench` measured, and their share of the machine's peak."""
    columns = ["network", "", "images/s, median", "range", "GFLOP/s", "of peak", "rounds"]
    lines = [f"| {' | '.join(columns)} |", "|:--|:--" + "|--:" * (len(columns) - 2) + "|"]
    for network in content["networks"]:
        for index, row in enumerate(network["speeds"]):
            count = network["batch_size"]
            cells = ["" if index else f"`{network['architecture']}`", f"{row['work']}, {row['precision']}"]
            cells += [f"{row['images_per_second']:,.0f}"]
            cells += [f"{count / max(row['seconds']):,.0f} to {count / min(row['seconds']):,.0f}"]
            best = max(each["gflops_per_second"] for name, each in peaks(content) if name == row["precision"])
            share = row["gflops_per_second"] / best
            cells += [f"{row['gflops_per_second']:,.0f}", f"{100 * share:.0f} %", str(row["n"])]
            lines.append(f"| {' | '.join(cells)} |")
    found = (f"{each['work']} in {name} {each['gflops_per_second']:,.0f}" for name, each in peaks(content))
    return "\n".join([*lines, "", f"- Peak, GFLOP/s: {', '.join(found)}", *circumstances(content)]) + "\n"


def peaks(content: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Returns each peak that `convatlas bench` measured, with its precision."""
    return [(precision, each) for precision, kinds in content["peak"].items() for each in kinds.values()]


def forward_backward(content: dict[str, Any]) -> str:
    """Returns the table of our networks' times relative to torchvision's (bench/forward_backward.py)."""
    lines = ["| network | times torchvision's, median | range | pairs | batch | pixels |", "|:--" + "|--:" * 5 + "|"]
    for name, result in content["results"].items():
        cells = [
            f"`{name}`",
            f"{result['ratio_median']:.3f}",
            f"{result['ratio_min']:.3f} to {result['ratio_max']:.3f}",
        ]
        cells += [str(result[key]) for key in ("pairs", "batch_size", "image_size")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *beside(content)]) + "\n"


def memory_efficient(content: dict[str, Any]) -> str:
    """Returns the table of the savings and the cost of DenseNet's memory-efficient mode (bench/forward_backward.py)."""
    lines = ["| network | bytes kept for backward | plain | part | times the time, median | range | pairs | batch |"]
    lines.append("|:--" + "|--:" * 7 + "|")
    for name, result in content["results"].items():
        kept, plain = result["bytes_recomputed"], result["bytes_plain"]
        cells = [f"`{name}`", f"{kept:,}", f"{plain:,}", f"{100 * kept / plain:.0f} %", f"{result['ratio_median']:.2f}"]
        cells += [f"{result['ratio_min']:.2f} to {result['ratio_max']:.2f}", str(result["pairs"])]
        lines.append(f"| {' | '.join([*cells, str(result['batch_size'])])} |")
    return "\n".join([*lines, "", *beside(content)]) + "\n"


def beside(content: dict[str, Any]) -> list[str]:
    """Returns hardware, versions and command of a bench."""
    hardware, versions = content["hardware"], content["versions"]
    return [
        f"- Hardware: cpu {hardware['cpu']}, cores {hardware['cores']}, gpu {hardware['gpu'] or 'none'}; float32",
        f"- Versions: python {versions['python']}, torch {versions['torch']}; commit {short(content['git_commit'])}",
        f"- Command: `python bench/{content['command']}`",
    ]


def short(commit: str) -> str:
    """Returns a commit as ten digits.

    >>> short("c4de07ecc519be8d27f036805b62ed840f008d9e-dirty")
    'c4de07ecc5 with uncommitted changes'
    """
    digits, dirty, _ = commit.partition("-dirty")
    return digits[:10] + (" with uncommitted changes" if dirty else "")
