"""`python -m htq`: the same as `htq`."""

import sys

from htq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
