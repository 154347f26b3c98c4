"""The sources of images: collections with names, and the layouts in which their files lie."""
