"""The batches of an epoch: their order, and the stage that every kind of images passes through."""
