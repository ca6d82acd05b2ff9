"""Train one actor's action head; the same as `actor-action retrain-head`."""

import sys

from pipeline.__main__ import run_command

if __name__ == "__main__":
    sys.exit(run_command("retrain-head"))
