"""Images and preprocessing to logits: the one path of everything that asks a network for an answer."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from convatlas.data.batches.loader import EvaluationBatches
from convatlas.data.images.protocol import Images
from convatlas.data.images.resident import unlabelled
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import BATCH_SIZE, autocast, network_input, out_of_memory
from convatlas.errors import UsageError
from convatlas.layers import folded
from convatlas.recipe import Precision

LARGEST_BATCH = BATCH_SIZE * 640**2  # pixels at a time; a checkpoint may ask for images of 4,096


def predict_logits(
    network: nn.Module, images: Images | Tensor, *, preprocessing: Preprocessing, precision: Precision = "float32"
) -> Tensor:
    """Returns logits (N, num_classes), float32 on the CPU, for images or pixels (N, C, H, W): uint8, or 0 to 1.

    The network is put in eval mode for the time of the call. Images may be on the network's device or on the CPU. Where
    memory does not suffice, fewer images are worked on at a time, and a warning says so.
    """
    if isinstance(images, Tensor):
        images = unlabelled(images.float() if images.is_floating_point() else images)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    parts: list[Tensor] = []
    size, done = max(1, min(BATCH_SIZE, LARGEST_BATCH // preprocessing.image_size**2)), 0
    try:
        with torch.inference_mode(), autocast(device, precision):
            while done < len(images) or not parts:
                try:
                    left = EvaluationBatches(
                        images, preprocessing=preprocessing, batch_size=size, first=done, device=device
                    )
                    for inputs, _ in left:
                        parts.append(_checked(network(network_input(inputs)), images=len(inputs)))
                        done += len(inputs)
                except RuntimeError as error:
                    if size == 1 or not out_of_memory(error):
                        raise
                    size = _halved(size, device)
    finally:
        network.train(was_training)
    return torch.cat(parts).cpu()  # once: each copy to the CPU would wait for the device


def _checked(output: object, *, images: int) -> Tensor:
    """Returns the output as logits (N, classes), float32. Raises `UsageError` for anything else."""
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == images:
        return output.float()
    given = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
    raise UsageError(f"the network gives {given} for {images} images; logits of shape ({images}, classes) are needed")


def _halved(size: int, device: torch.device) -> int:
    """Returns half the batch size, and warns."""
    warnings.warn(
        f"too little memory on {device.type} for {size} images at a time: going on with {size // 2}; "
        "the answers are the same but for rounding",
        stacklevel=3,
    )
    return size // 2


def answering(network: nn.Module, *, precision: Precision) -> nn.Module:
    """Returns the network in its fastest form: channels last, and in bf16 a copy with its batch norms folded.

    The weights of the copy are rounded to bf16 here, once, and not for each batch. In float32 it is the network itself,
    unfolded, so that its logits are the plain ones.
    """
    if precision == "bf16":
        network = folded(network)
        for layer in network.modules():
            if type(layer) in (nn.Conv2d, nn.Linear):
                layer.to(torch.bfloat16)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
