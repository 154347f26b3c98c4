"""The kinds of image file the project opens, by Pillow's names for them."""

RASTER_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""The formats that an image given by a person may have; Pillow tries no other reader."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""The endings, in small letters, by which image files are found in a folder."""
