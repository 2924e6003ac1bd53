"""``python -m piopiy_pipeline.cli`` does the same as ``piopiy``."""

import sys

from piopiy_pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
