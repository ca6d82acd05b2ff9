"""Tag videos; the same as `actor-action tag`."""

import sys

from pipeline.__main__ import run_command

if __name__ == "__main__":
    sys.exit(run_command("tag"))
