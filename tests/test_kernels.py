"""A fault of oneDNN's kernel for processors without AVX-512: no network that is trained meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from convatlas.architectures import architecture
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import around_fault
from convatlas.prediction import Predictor

# The smallest plain form: torch.nn.Conv2d(4, 4, 1, stride=2) on (4, 4, 16, 16), float32, channels last, one thread.
TRAINED = """
import torch
from torch import nn
from convatlas.recipe import recipe
from convatlas.training.classification import Classification
from convatlas.training.learner import Learner
torch.set_num_threads(1)
torch.manual_seed(0)
chosen = recipe("quick").replaced(batch_size=64)
for channels in (1, 2, 3, 4, 5, 6, 7, 8):
    for size in (8, 16, 32):
        first = nn.Conv2d(1, channels, 3, padding=1)
        network = nn.Sequential(first, nn.Conv2d(channels, 16, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        labels = torch.arange(64) % 10
        objective = Classification(network, recipe=chosen, labels=labels, num_classes=10, device="cpu")
        learner = Learner(objective, recipe=chosen, steps_per_epoch=10)
        for _ in range(10):
            learner.step((torch.randn(64, 1, size, size), labels))
print("whole")
"""  # noqa: E501


@pytest.mark.slow
def test_narrow_convolutions_train_on_a_processor_with_avx2_only() -> None:
    """In a process of its own: without the way around, it dies with a corrupted heap."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", TRAINED], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr


def test_a_predictors_plain_network_goes_around_the_fault() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    preprocessing = Preprocessing(8, (0.5,) * 4, (0.5,) * 4)
    predictor = Predictor(
        "mine", Path("mine.pt"), network, architecture("lenet5"), {}, 8, 4, preprocessing=preprocessing
    )
    images = torch.rand(2, 4, 8, 8)
    expected = network(predictor.inputs(images)).detach()
    assert torch.allclose(predictor.plain_network(predictor.inputs(images)), expected, atol=1e-6)
    assert network[0].stride == (1, 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_way_around_gives_the_same_answers_and_gradients(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 8, 1, stride=(2, 3), groups=groups).double()
    images = torch.randn(5, 6, 9, 10, dtype=torch.float64)
    outcomes = []
    for around in (False, True):
        given = images.clone().requires_grad_()
        layer.zero_grad()
        answers = (around_fault(nn.Sequential(layer)) if around else layer)(given)
        (answers * torch.linspace(-1, 1, answers.numel(), dtype=torch.float64).view_as(answers)).sum().backward()
        assert layer.weight.grad is not None
        assert given.grad is not None
        outcomes.append((answers.detach(), given.grad, layer.weight.grad.clone()))
    for ours, theirs in zip(*outcomes, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 1, stride=2),
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(4, 8, 3, stride=2),
        nn.Conv2d(4, 8, 1, stride=2, padding=1),
    ],
)
def test_other_layers_stay_as_they_are(layer: nn.Conv2d) -> None:
    stride = layer.stride
    around_fault(nn.Sequential(layer))
    assert layer.stride == stride
    assert not layer._forward_pre_hooks
