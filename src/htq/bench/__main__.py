"""`python -m htq.bench`: the same as `htq bench`."""

import sys

from htq.bench import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
