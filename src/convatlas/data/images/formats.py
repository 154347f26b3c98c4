"""The kinds of image file the project opens, by Pillow's names for them."""

RASTER_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""What an image given by a person may be; Pillow is never let try any other reader."""
