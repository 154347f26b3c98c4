"""The random changes of training images: crops, mirroring, colours, RandAugment, cutout, images mixed with others."""
