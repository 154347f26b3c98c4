"""The text of docs/few_labels_example.md, made from results/few_labels/."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from benchmark_tables import short
from few_labels_longer import longer
from few_labels_words import (
    AIM,
    BIASED,
    LONGER,
    METHODS,
    TEACHER,
    accuracy,
    best_steps,
    course,
    every,
    gained,
    interval,
    lines_of,
    minutes,
    part,
    reached,
    signed,
    spread,
    versus,
)
from page_script import item_of, plain_command, wrapped

from convatlas.evaluation import FEWEST_SEEDS
from convatlas.report.protocol import values
from convatlas.words import percent

Content = Mapping[str, Any]

HEADER = """# Few labels of CIFAR-10: a study

<!-- python docs/write_few_labels.py writes this page from results/few_labels -->

How much do images without labels help? This page answers for CIFAR-10, with {labels:,} labels for {images:,} training
images. `bash bench/few_labels.sh DATA_DIR OUT` repeats all runs. [semi_supervised.md](semi_supervised.md)
says what each method does.

```sh
{command}
```

The images of this copy of CIFAR-10 were compressed again as JPEG. Compare the numbers with each other, and not with
published ones. No epoch was selected: each training keeps its last one. The {validation:,} labelled validation images
select nothing in a run. They outnumber the labels that a method learns: a user with {labels:,} labels would not have
them.
"""

FOOTER = """## What these numbers do not show

- The network is small and the training is short. FixMatch's paper trains a Wide ResNet 28-2 for 2^20 steps of 64
  labelled and 448 unlabelled images and reaches 95.7 % with as many labels; Meta Pseudo Labels takes 305,000 larger
  steps and reaches 96.1 % (published).
- The order of the methods may be another one with more steps. Their time is not equal: a step of `supervised` is the
  cheapest, because it sees labelled images alone.
- {interval}
- The recipes are the papers' with fewer steps; the commands below say all that was changed. The network and the rate
  were chosen by trainings of labelled images, the weaker views and the values of `meta_pseudo_labels` by four earlier
  trainings with the same seed, all watched on validation. Of these, the one with more finetuning was tested.
- The minutes are the epochs times the median time of one, on one core while other trainings ran on the same machine.

Every number and figure on this page is made by `docs/write_few_labels.py` from `results/few_labels`.
"""


def page(content: Content) -> str:
    """Returns the page as Markdown."""
    runs = content["fixmatch"]["runs"]
    data, labels = runs[0]["data"], runs[0]["labelled"]["count"]
    header = HEADER.format(
        labels=labels, images=data["train"], validation=data["validation"], command=lines_of(runs[0]["command"])
    )
    sections = (study, adds, longer, rounds, fails, footer, circumstances)
    return "\n".join([header, *(section(content) for section in sections)])


def study(content: Content) -> str:
    """Returns the section of the study: figure, table and what they say."""
    first = content["fixmatch"]["runs"][0]
    said = (
        f"The network is `examples/small_resnet.py`, with {first['network']['params']:,} parameters. Each network "
        f"of the table took {first['recipe']['steps']:,} steps of {first['recipe']['batch_size']} labelled images. "
        "On the left is the accuracy on the test images, which were looked at once a run; on the right the way there. "
        "Round 0 of `noisy_student` is its first teacher: labels alone, with RandAugment and cutout."
    )
    lines = [
        "| method | n | test % | 95 % interval | points above `supervised` (95 % interval) | validation %, end (best) "
        "| minutes a run |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for member, title in METHODS.items():
        runs = content[member]["runs"]
        mean, low, high = spread(runs)
        gain = gained(content[member], "supervised")
        ends = f"{percent(low)} to {percent(high)}"
        watched = f"{percent(course(runs)[-1])} ({percent(max(course(runs)))})"
        lines.append(f"| {title} | {len(runs)} | {percent(mean)} | {ends} | {gain} | {watched} | {minutes(runs):.0f} |")
    table = "\n".join(lines)
    return (
        f"{wrapped(said)}\n\n![Accuracy of the methods](few_labels/study.png)\n\n{table}\n\n{wrapped(aims(content))}\n"
    )


def aims(content: Content) -> str:
    """Returns the sentence on what the study had to reach, and whether it did."""
    student = content["noisy_student/round2"]["differences"][TEACHER]
    found = [f"`{member}` {reached(content, member)}" for member in ("fixmatch", "meta_pseudo_labels")]
    longer_reached = reached(content, f"{LONGER}meta_pseudo_labels")
    return (
        f"Before the study, the aim was set at {100 * AIM:.0f} points above `supervised`, with 95 % intervals that lie "
        f"apart: {'; '.join(found)}. For `noisy_student`, the second student had to beat the first teacher: "
        f"{'reached' if student['mean'] > 0 else 'not reached'} ({signed(student['mean'])}). With twice as many steps, "
        f"a trial that we added after a first result, `meta_pseudo_labels`: {longer_reached}. {counted(content)}"
    ).strip()


def counted(content: Content) -> str:
    """Returns the sentence on the number of seeds, where there are too few."""
    fewest = min(len(content[member]["runs"]) for member in METHODS)
    said = f"n is the number of seeds; {fewest} of each {'is' if fewest == 1 else 'are'} too few to tell."
    return said if fewest < FEWEST_SEEDS else ""


def adds(content: Content) -> str:
    """Returns the section on what each method adds."""
    alone, fixmatch, teacher = (content[name]["runs"] for name in ("supervised", "fixmatch", TEACHER))
    items = [
        f"`supervised` sees the same {alone[0]['labelled']['count']:,} images again and again, flipped and cropped. It "
        f"ends at {percent(accuracy(alone))} %. On validation it is at its best after {best_steps(alone):,} steps. In "
        f"the last {every(alone):,} steps it answers {percent(alone[0]['course']['train_top1'][-1])} % of its labelled "
        "images rightly: it has almost learned them by heart.",
        "The first teacher of `noisy_student` (round 0) learns the same labels alone. Its images are changed by "
        "RandAugment and cutout, and its labels are smoothed. "
        f"{versus(content[TEACHER], 'supervised', '`supervised`')} So try RandAugment on the labelled images first: "
        f"here it {'is worth more than' if accuracy(teacher) > accuracy(fixmatch) else 'comes before'} FixMatch.",
        "`fixmatch` makes its own labels while it learns. Where it is sure of the weak view of an image, this class "
        "becomes the label of the strong view. The labelled images are flipped and cropped alone, as in its paper. "
        f"{versus(content['fixmatch'], 'supervised', '`supervised`')} At first it is sure of few images: in the first "
        f"{every(fixmatch):,} steps {part(fixmatch, 0)} % of the images teach, in the last {part(fixmatch, -1)} %. So "
        f"it rises for longer. {stronger(content)}",
        "`meta_pseudo_labels` trains two networks. The teacher learns the labels, agreement between the views, and how "
        "much its labels helped the student. The student sees no true label before the end: it learns the teacher's. "
        f"{versus(content['meta_pseudo_labels'], 'supervised', '`supervised`')} {earlier(content)}",
        "The teacher of `noisy_student` is finished before its student begins. It labels all images once, and the "
        "student, a new network, learns these labels under noise. "
        f"{versus(content['noisy_student/round2'], TEACHER, 'its first teacher')}",
    ]
    return "## What each method adds\n\n" + "\n".join(item_of(item) for item in items) + "\n"


def stronger(content: Content) -> str:
    """Returns the sentence on FixMatch with the paper's strong views."""
    here, there = (content[name]["runs"][0]["recipe"] for name in ("fixmatch", "fixmatch_strong"))
    return (
        f"In this study the strong views are changed by RandAugment of magnitude {here['rand_magnitude']:g} and by "
        f"cutout of {here['cutout']} pixels. With the paper's {there['rand_magnitude']:g} and {there['cutout']} it "
        f"ends at {percent(accuracy(content['fixmatch_strong']['runs']))} %."
    )


def earlier(content: Content) -> str:
    """Returns the sentences on the run with more finetuning, and on what was corrected after it."""
    runs = content["meta_finetuned"]["runs"]
    fields, seen = runs[0]["recipe"], course(runs)
    before = seen[int(fields["steps"] * (1 - fields["finetune_part"])) // every(runs) - 1]
    return (
        f"An earlier run learned the labelled images in the last {100 * fields['finetune_part']:.0f} % of the steps, "
        f"at a rate of {fields['finetune_lr']:g}. This cost what was won: {percent(before)} % on validation before, "
        f"{percent(seen[-1])} % after, and {percent(accuracy(runs))} % on test. It is of a program with two faults, "
        "which a comparison with that of the authors has shown since: the threshold was on the wrong probabilities, so "
        "that too few images taught the teacher, and the student began at its full rate. The trainings that chose the "
        "values had both faults too. The runs of `meta_pseudo_labels` in the tables were made with both mended; the "
        "first of them repeats one with the faults, and ends within a tenth of a point of it on test."
    )


def rounds(content: Content) -> str:
    """Returns the table of Noisy Student's rounds."""
    said = (
        "Round 0 is the first teacher: it learns the labelled images alone, with RandAugment as its students have it. "
        "Each student is as large as its teacher, begins anew and takes as many steps. A round needs those before it, "
        "so the second student costs all the minutes of the table."
    )
    lines = [
        "| round | test accuracy % | 95 % interval | points above round 0 (95 % interval) | minutes |",
        "|--:|--:|--:|--:|--:|",
    ]
    for place in range(3):
        member = content[f"noisy_student/round{place}"]
        mean, low, high = spread(member["runs"])
        gain = gained(member, TEACHER)
        ends = f"{percent(low)} to {percent(high)}"
        lines.append(f"| {place} | {percent(mean)} | {ends} | {gain} | {minutes(member['runs']):.0f} |")
    return f"## The rounds of Noisy Student\n\n{wrapped(said)}\n\n" + "\n".join(lines) + "\n"


def fails(content: Content) -> str:
    """Returns the section on the run that fails by confirmation bias."""
    alone, biased = content["few_supervised"]["runs"], content[BIASED]["runs"]
    losses = biased[0]["course"]["train_unlabelled_loss"]
    milder = content["few_pseudo_label"]["differences"]["few_supervised"]
    weight = biased[0]["recipe"]["unlabelled_weight"]
    said = (
        "A network that learns its own answers also learns its own errors. This is called confirmation bias. The run "
        f"`pseudo_label` with `--set threshold=0 --set ramp_up=0 --set unlabelled_weight={weight:g}` has "
        f"{biased[0]['labelled']['count']} labels. It believes every answer from the first step, and its answers count "
        f"{weight:g} times. {versus(content[BIASED], 'few_supervised', 'the same labels alone')} These reach "
        f"{percent(accuracy(alone))} % on test. That is what "
        f"{biased[0]['data']['train']:,} images without labels have added. With the recipe's weight of 1 they add next "
        f"to nothing: {signed(milder['mean'])} points ({interval(milder)})."
    )
    why = (
        "Its own labels look better and better to it: their loss (dashed) falls from "
        f"{losses[0]:.2f} to {losses[-1]:.2f}. It is sure, and wrong on {100 * (1 - accuracy(biased)):.0f} of 100 test "
        f"images. On validation its loss ends at {biased[0]['course']['val_loss'][-1]:.1f} (cross entropy; an answer "
        f"of equal probabilities has 2.3), where labels alone end at {alone[0]['course']['val_loss'][-1]:.1f}. "
        "The curves of the training do not show this; only labelled images that it does not learn show it. "
        "The threshold, the strong view, the feedback of Meta Pseudo Labels and the finished "
        "teacher of Noisy Student are four ways against this bias."
    )
    picture = "![The run that fails](few_labels/confirmation_bias.png)"
    return f"## Where it fails: confirmation bias\n\n{wrapped(said)}\n\n{picture}\n\n{wrapped(why)}\n"


def footer(content: Content) -> str:
    """Returns the section of limits."""
    counts = [len(content[member]["runs"]) for member in METHODS]
    over_images = (
        "The intervals of methods with fewer than three seeds are those of the test images for one trained network. "
        "They leave out the chance of its training and of the choice of the labels."
    )
    over_seeds = (
        "The intervals are those of the seeds, which choose labels, weights and order; in differences of the test "
        "images too."
    )
    chosen = over_seeds if min(counts) >= FEWEST_SEEDS else over_images
    return FOOTER.format(interval=textwrap.fill(chosen, 116, subsequent_indent="  ", break_on_hyphens=False))


def circumstances(content: Content) -> str:
    """Returns the lines of data, seeds, machine, versions, commits and commands."""
    members = [member for name, member in content.items() if not name.endswith(("round1", "round2"))]
    runs = [run for member in members for run in member["runs"]]
    data = runs[0]["data"]
    seeds = [
        f"{name}: {', '.join(str(run['seed']) for run in member['runs'])}"
        for name, member in content.items()
        if not name.endswith(("round1", "round2"))
    ]
    lines = [
        f"Data: `{data['name']}`, {data['train']:,} training, {data['validation']:,} validation and "
        f"{data['test']:,} test images, split {data['split_hash']}, images {data['images_hash']}",
        f"Seeds, which also choose the labels: {'; '.join(seeds)}",
        *dict.fromkeys(f"Hardware: {values(run['hardware'])}; other trainings ran on the same machine" for run in runs),
        *dict.fromkeys(f"Versions: {values(run['versions'])}" for run in runs),
        f"Commits: {', '.join(dict.fromkeys(short(run['git_commit']) for run in runs))}; `examples/small_resnet.py` "
        "was added afterwards, as it was in the runs, and 3e2ab3a04a, of a branch, has the package of e2a410c6da",
        *dict.fromkeys(f"Command: `{plain_command(run['command'])}`" for run in runs),
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"
