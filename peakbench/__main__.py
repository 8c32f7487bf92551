"""``python -m peakbench`` is ``peakbench``."""

from __future__ import annotations

import sys

from peakbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
