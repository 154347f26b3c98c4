"""The random changes of training images: crops, mirroring, RandAugment, cutout, and images mixed with others."""
