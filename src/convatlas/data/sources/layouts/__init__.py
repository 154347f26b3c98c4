"""The layouts of published data files: each finds out whether it lies in a folder and reads it."""
