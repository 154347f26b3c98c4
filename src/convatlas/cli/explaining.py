"""`explain`: filters, feature maps and attributions of a network for image files, as pictures and one page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.answers import Arch, Mean, Std, check_source, normalisation, say_notes
from convatlas.cli.program import app
from convatlas.errors import UsageError, unknown


@app.command()
def explain(
    source: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT|ARCH", help="A run, a checkpoint, or a name with --weights.")
    ],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE...", help="Image files, folders, patterns, or - for names on stdin."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the page and the pictures.")] = Path(
        "runs/explain"
    ),
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Name or number; default: the network's answer.")
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option("--stage", metavar="NAME", help="Stage for feature maps; may be repeated.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Method of the maps, instead of all: grad_cam, grad_cam++, "
            "integrated_gradients, occlusion or smooth_grad; repeat.",
        ),
    ] = None,
    sanity: Annotated[
        bool, typer.Option("--sanity", help="Check that the maps change where the weights are random; takes minutes.")
    ] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Measure the maps: delete or insert the pixels with the highest values.")
    ] = False,
    curve_images: Annotated[
        int,
        typer.Option(
            "--curve-images",
            min=0,
            max=10_000,
            metavar="N",
            help="Measure the maps on N test images of the data set instead.",
        ),
    ] = 0,
    excite: Annotated[
        list[str] | None,
        typer.Option(
            "--excite", metavar="CLASS|STAGE:CHANNEL", help="Draw what excites a class or a channel most; repeat."
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, max=4096, help="Steps of each picture of --excite.")] = 192,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=0, max=32, help="Show the nearest training images of each image.")
    ] = 0,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Draw test images in two dimensions: PCA and t-SNE.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data set of training and test images; default: that of the run or weights."),
    ] = None,
    data_dir: options.DataDir = None,
    weights: options.WeightsName = None,
    arch: Arch = None,
    option: options.Options = None,
    mean: Mean = None,
    std: Std = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Show on what a network's answers to images depend, what its stages see, and its first filters. Writes a page.

    Example: convatlas explain resnet_uva --weights uva photo.png --out runs/explain

    Example: convatlas explain runs/digits/resnet_uva@quick/seed0 digit.png --class 3 --stage stage2

    Example: convatlas explain runs/digits/resnet_uva@quick/seed0 --excite 3 --excite stage2:5 --embedding
    """
    from convatlas.data_names import check_reference

    chosen = options.architecture_options(option)
    check_source(source, arch=arch, weights=weights, options=chosen)
    options.check_computing(device, None)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")

    if data is not None:
        check_reference(data)

    from convatlas.insight.explain import METHODS, Wanted, check_captum, material_for
    from convatlas.insight.explain import explain as explained
    from convatlas.prediction import Pictures, names_in, open_predictor, pictures_of

    for name in method or []:
        if name not in METHODS:
            raise unknown("--method", name, METHODS)
    check_captum((method or METHODS) if images or curve_images else ())
    found = pictures_of(images, names=names_in(sys.stdin)) if images else Pictures()
    predictor = open_predictor(
        source, arch=arch, weights=weights, options=chosen, normalisation=normalisation(mean, std)
    ).to(device)
    say_notes((*predictor.notes, *found.notes), source=predictor.source)
    asked = {"sanity": sanity, "curves": curves, "embedding": embedding}
    wanted = Wanted(
        images=found.paths,
        methods=list(dict.fromkeys(method or METHODS)),
        stages=list(dict.fromkeys(stage or [])),
        class_name=class_name,
        checks=frozenset(name for name, wished in asked.items() if wished),
        excite=excite or [],
        steps=steps,
        neighbours=neighbours,
        curve_images=curve_images,
    )
    shown = material_for(predictor, wanted, name=data, folder=data_dir)
    content = explained(predictor, wanted, out, data=shown).content
    if as_json:
        options.print_json(content)
    else:
        _print(content)


def _print(content: Mapping[str, Any]) -> None:
    """Prints each image with its answer and the remarks of its maps, the verdict of the check, and the page."""
    for image in content["images"]:
        best = image["classes"][0]
        _say(f"{image['path']}: {best['class']} ({100 * best['probability']:.1f} %), explained: {image['explained']}")
        _say(f"  {image['reading']}")
        if (near := image["neighbours"]) is not None:
            named = ", ".join(f"{each['class']} ({each['distance']:.3f})" for each in near["images"])
            _say(f"  nearest of {near['of']:,} training images: {named}")
        for each in image["maps"]:
            _say(f"  {each['title']}: {each['remark']}")
    if (check := content["sanity"]) is not None:
        for method in content["methods"]:
            name, last = method["name"], check["correlations"][method["name"]][-1]
            if name in check["undecided"]:
                _say(f"sanity check: {method['title']} is undecided: no map is left that could be compared")
                continue
            verdict = "fails" if name in check["failed"] else "passes"
            _say(f"sanity check: {method['title']} {verdict}, rank correlation {last:.2f} with random weights")
    if (measured := content["curves"]) is not None:
        for name, title in measured["titles"].items():
            areas = (f"{kind} {_interval(found['areas'][name])}" for kind, found in measured["kinds"].items())
            _say(f"area under the curves, images {measured['images']}: {title}: {', '.join(areas)}")
        for line in measured["verdicts"]:
            _say(line)
    for each in (content["excited"] or {"pictures": []})["pictures"]:
        real = "" if each["real"] is None else f"; real images reach {each['real']:.3g}"
        times = "" if each["times"] is None else f" ({each['times']:.1f} times)"
        _say(f"excited: {each['title']}: from {each['start']:.3g} to {each['end']:.3g}{real}{times}")
    _say(f"wrote {content['page']}")


def _interval(found: dict[str, Any]) -> str:
    """Returns a mean with its 95 % interval, where there is one."""
    ends = found["ci95"]
    return f"{found['mean']:.3f}" + ("" if ends is None else f" ({ends[0]:.3f} to {ends[1]:.3f})")


def _say(line: str) -> None:
    options.console().print(line, highlight=False, soft_wrap=True, markup=False)
