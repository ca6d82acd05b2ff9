"""Score a labelled split; the same as `actor-action score-split`."""

import sys

from pipeline.__main__ import run_command

if __name__ == "__main__":
    sys.exit(run_command("score-split"))
