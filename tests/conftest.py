"""One thread for each test process: several run side by side, and more threads than cores only wait for each other."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
