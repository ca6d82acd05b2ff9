"""Which workers do the work of a command: this process, several of this machine, or those of a Ray cluster."""

import argparse
import math
from typing import TYPE_CHECKING

from common.errors import UserError
from common.system import share_cores
from pipeline.commands import console
from pipeline.commands.argument_types import positive

if TYPE_CHECKING:
    from pipeline.detection_ahead import DetectionAhead
    from pipeline.supervision.messages import Setup
    from pipeline.supervision.ray_crew import RayCrew
    from pipeline.supervision.workforce import Workforce

ENGINES = LOCAL, RAY = "local", "ray"


def add_engine_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the arguments that say who does the work.

    Args:
        parser: Where to add them.
        what: What the workers do, for example `tag`.
    """
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help=f"processes that {what} at the same time, each with its share of the cores (default: one, which has all "
        f"of them; with --engine {RAY}, as many as the cluster has room for)",
    )
    engine = parser.add_argument_group("more than one machine")
    engine.add_argument(
        "--engine",
        choices=ENGINES,
        default=LOCAL,
        help=f"{LOCAL}: this machine; {RAY}: a Ray cluster (default: %(default)s)",
    )
    engine.add_argument("--ray-address", metavar="ADDRESS", help="of the cluster (default: one is started here)")
    engine.add_argument("--cpus-per-worker", type=positive, metavar="N", help="cores of each worker (default: 1)")
    engine.add_argument(
        "--gpus-per-worker", type=gpus, metavar="N", help="GPUs of each worker, or a part of one (default: 0)"
    )


def gpus(text: str) -> float:
    """Parse how many GPUs a worker has; a part of one lets several share it."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} was given, 0 or more is allowed")
    return number


def check_engine(arguments: argparse.Namespace) -> None:
    """Check that the options of a cluster are given with one only.

    Raises:
        UserError: If they are not.
    """
    if arguments.engine == RAY:
        return
    for name in ("ray_address", "cpus_per_worker", "gpus_per_worker"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} is an option of --engine {RAY}")


def uses_workers(arguments: argparse.Namespace) -> bool:
    """Return whether other processes than this one are to do the work."""
    return arguments.engine == RAY or arguments.workers is not None


def start_cluster(
    arguments: argparse.Namespace,
    setup: "Setup | None" = None,
    timeout_seconds: float | None = None,
    *,
    quiet: bool = False,
) -> "RayCrew":
    """Connect to the cluster that the arguments name, or start one.

    Args:
        arguments: Of the command.
        setup: What each worker loads; None if they are only to call functions.
        timeout_seconds: As for `Supervisor`.
        quiet: Whether to print no note about it.

    Raises:
        UserError: If there is no such cluster.
    """
    from pipeline.supervision.ray_crew import RayCrew, RayOptions

    cpus, gpus_each = arguments.cpus_per_worker or 1, arguments.gpus_per_worker or 0.0
    options = RayOptions(arguments.ray_address, arguments.workers, cpus, gpus_each)
    crew = RayCrew(setup, options, timeout_seconds)
    if crew.dashboard and not quiet:
        console.print_note(f"Ray's dashboard: {crew.dashboard}", "faint")
    return crew


def start_workers(
    setup: "Setup", arguments: argparse.Namespace, timeout_seconds: float | None = None, *, quiet: bool = False
) -> "Workforce":
    """Start the workers that the arguments ask for; they load the setup while this process goes on.

    Args:
        setup: What each loads.
        arguments: Of the command.
        timeout_seconds: As for `Supervisor`.
        quiet: Whether to print no note about them.

    Raises:
        UserError: If the arguments contradict each other, or there is no such cluster.
    """
    from pipeline.supervision.crew import Crew
    from pipeline.supervision.process import WorkerProcess
    from pipeline.supervision.supervisor import Supervisor

    check_engine(arguments)
    if arguments.engine == RAY:
        if setup.demo:
            raise UserError(f"--demo is made on this machine: leave out --engine {RAY}")
        return start_cluster(arguments, setup, timeout_seconds, quiet=quiet)
    if arguments.workers and arguments.workers > 1 and not setup.demo:
        return Crew(setup, share_cores(arguments.workers), timeout_seconds)
    return Supervisor(WorkerProcess(setup), timeout_seconds)


def detection_ahead(arguments: argparse.Namespace) -> "DetectionAhead":
    """Return what has workers detect before the command does its own work, if the arguments ask for workers.

    Raises:
        UserError: If the arguments contradict each other.
    """
    from functools import partial

    from pipeline.detection_ahead import DetectionAhead

    check_engine(arguments)
    start = partial(start_workers, arguments=arguments) if uses_workers(arguments) else None
    return DetectionAhead(start, console.progress_bar)


def report_restarts(restarts: int) -> None:
    """Print how often a worker was lost, if any was."""
    if restarts:
        times = "once" if restarts == 1 else f"{restarts} times"
        console.print_warning(f"the decoding process had to be restarted {times}")
