"""`python -m htq.demo`: the same as `htq demo`."""

import sys

from htq.demo import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
