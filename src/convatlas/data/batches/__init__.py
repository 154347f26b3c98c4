"""The batches of an epoch: the order, the random changes of images, and the mixing of images and targets."""
