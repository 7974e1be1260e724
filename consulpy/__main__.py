"""`python -m consulpy`."""

import sys

from consulpy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
