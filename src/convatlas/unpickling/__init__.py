"""A pickle as plain data: a machine of ours carries its operations out, and it imports and calls nothing.

Python's own unpickler imports and calls; it also grows by any index or length that a pickle states. Here a name stands
for itself (`Maker`), and a call of it is answered by a function of ours, or by `LeftOut` where there is none.
"""

from __future__ import annotations

from convatlas.unpickling.machine import unpickle
from convatlas.unpickling.names import NUMPY, PLAIN, Array, ArrayType
from convatlas.unpickling.source import Source
from convatlas.unpickling.stand_ins import Buildable, Key, LeftOut, Maker, PickleError, RefusedError, mapping

__all__ = [
    "NUMPY",
    "PLAIN",
    "Array",
    "ArrayType",
    "Buildable",
    "Key",
    "LeftOut",
    "Maker",
    "PickleError",
    "RefusedError",
    "Source",
    "mapping",
    "unpickle",
]
