"""Writes src/convatlas/architectures/index.json, the facts of all architectures, from the families.

python docs/write_index.py           rewrite the index
python docs/write_index.py --check   change nothing; exit 1 where the index is stale
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from convatlas.architectures.families import FAMILIES
from convatlas.architectures.index import INDEX, index_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if wanted not in ([], ["--check"]):
        sys.exit(str(__doc__))
    text = index_text(row for family in FAMILIES for row in family.rows)
    if not wanted:
        INDEX.write_text(text, encoding="utf-8")
    elif not INDEX.is_file() or INDEX.read_text(encoding="utf-8") != text:
        print(f"{INDEX.name} is stale; run python docs/write_index.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
