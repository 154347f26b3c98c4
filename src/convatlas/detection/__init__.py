"""The arithmetic of detectors: anchors, coder, matcher, losses, suppression, and boxes from a network's output."""
