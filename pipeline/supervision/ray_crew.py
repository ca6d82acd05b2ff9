"""Workers on the machines of a Ray cluster: Ray Data hands out blocks of clips there, and brings the results back.

The only module that imports Ray, and only when it is used. What is handed out is a block's number, by which a worker
finds the paths of its clips, see `pipeline.supervision.ray_tasks`; never a frame. Each of Ray's actors has a worker
process and a supervisor, as a run on one machine has: a clip that makes the worker crash or hang costs that clip. When
an actor is lost, or its machine, Ray has its blocks done elsewhere.
"""

import logging
import os
import pickle
import socket
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate, islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from common.core_claims import claim_cores
from common.errors import UserError
from common.system import Share
from pipeline.supervision.blocks import block_sizes
from pipeline.supervision.calls import Outcome, call, log_warnings
from pipeline.supervision.feed import Feed
from pipeline.supervision.in_order import Event, InOrder, OnWait
from pipeline.supervision.messages import Ready, Refused, Setup, Tagged, Task
from pipeline.supervision.pace import Pace
from pipeline.supervision.process import WorkerProcess
from pipeline.supervision.ray_tasks import TaskBlocks, TaskStore
from pipeline.supervision.supervisor import Supervisor

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = {  # of the processes that Ray starts here, unless the environment has others
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what concerns a run is raised
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told of a run
    "RAY_enable_metrics_collection": "0",  # every process would export some, all the time
    "RAY_enable_autoscaler_v2": "1",  # the first asks a process that has ended, and keeps the end waiting for a second
    "RAY_raylet_client_connect_timeout_milliseconds": "50",  # then it tries again; a second is lost in a start of four
    "RAY_raylet_client_num_connect_attempts": "200",  # for ten seconds, as by default
}
CONNECT_SECONDS = 10.0
BLOCK, NEWS = "id", "news"  # columns of the tables; Ray names the first
BLOCKS_AHEAD = 2  # of each worker: the one that it works on, and the next
SEND_SECONDS = 2.0  # after which a worker sends what has happened, at the earliest
TABLES_PER_SECOND = 20  # that all workers send together: each costs the driver a millisecond, and 2 kB for good
ROWS_PER_SECOND = 2000.0  # that all workers send together, on average: this process writes some more than that to disk
MAX_WAITING_BYTES = 64 << 20  # of what has happened, if it does not; then Ray asks without a pause whether it may go on
News = list[tuple[Event | Refused, bool]]
"""What comes of tasks, and whether that is all of a task."""


@dataclass(frozen=True)
class RayOptions:
    """How a cluster is used.

    Attributes:
        address: Of a cluster, see `ray.init`; None starts one on this machine.
        workers: How many; None: as many as there is room for.
        cpus: Of each worker.
        gpus: Of each worker; a fraction lets several share one.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: float = 0.0


class RayCrew:
    """Has the tasks of a run done on a Ray cluster; does what `Supervisor` does.

    A context manager, which leaves the cluster, and ends it if it was started here.

    Args:
        setup: What each worker loads; the paths in it are those of its machine. None if they only call functions.
        options: How the cluster is used.
        timeout_seconds: As for `Supervisor`.

    Attributes:
        on_wait: See `InOrder`.

    Raises:
        UserError: If Ray is not installed, or there is no such cluster.
    """

    restarts = 0  # those of the actors' workers are said in the clips' rows

    def __init__(self, setup: Setup | None, options: RayOptions, timeout_seconds: float | None = None) -> None:
        self.on_wait: OnWait | None = None
        self._ray = _import_ray()
        self._setup, self._options, self._timeout_seconds = setup, options, timeout_seconds
        self._ready: Ready | None = None
        self._example = setup and Supervisor(WorkerProcess(setup))  # it loads while the cluster is looked for
        try:
            self.dashboard = self._connect()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_example()
        self._ray.shutdown()

    def ready(self) -> Ready:
        """Load the tagger here, to know what the run uses.

        Raises:
            UserError: If it cannot be loaded.
        """
        if self._ready is None:
            assert self._example
            self._ready = self._example.ready()
            self._end_example()
        return self._ready

    def run(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Work on tasks; yields what `Supervisor.run` does, in the order of the tasks.

        Raises:
            UserError: If a worker cannot go on through no fault of a clip, or uses other weights than this machine.
        """
        ready, order = self.ready(), InOrder(on_wait=self.on_wait)
        store = TaskStore(self._ray.put)
        for task in tasks:
            if task.result and not task.copy:  # of an earlier run
                yield from order.add(Tagged(task.index, task.result), is_last=True)
            else:
                store.add(task)
        for event, is_last in self._events(store):
            if isinstance(event, Refused):
                raise UserError(event.reason)
            if isinstance(event, Tagged) and event.result.weights != ready.weights:
                raise UserError(f"{event.result.video}: its worker uses other weights than this machine")
            yield from order.add(event, is_last=is_last)  # what an actor did that was lost may come again

    def call_all(self, setups: Sequence[Setup]) -> Iterator[tuple[int, Outcome]]:
        """Call the functions of setups, each in a process of its own; yields as `pipeline.supervision.calls.call_all`.

        Raises:
            UserError: If there is no room for a worker.
        """
        from ray.exceptions import RayError

        task = self._ray.remote(num_cpus=self._options.cpus, num_gpus=self._options.gpus or None)(call)
        places, running = iter(range(len(setups))), dict[Any, int]()
        room = self._count_workers()
        while True:
            for place in islice(places, room - len(running)):
                running[task.remote(replace(setups[place], share=Share(self._options.cpus)))] = place
            if not running:
                return
            (done, *_), _ = self._ray.wait(list(running))
            try:
                outcome: Outcome = self._ray.get(done)
            except RayError as reason:
                outcome = Outcome(error=f"Ray: {str(reason).strip().splitlines()[-1]}")
            yield running.pop(done), log_warnings(outcome)

    def _end_example(self) -> None:
        if self._example:
            self._example.__exit__()

    def _connect(self) -> str:
        """Connect to the cluster, or start one; return the address of its dashboard, or an empty string."""
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        may_show = self._options.address is not None or find_spec("aiohttp_cors") is not None
        if not may_show:  # a dashboard, so that nobody asks for what it would tell
            os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
            os.environ.setdefault("RAY_event_stats", "0")
        try:
            _check_reachable(self._options.address)
            with ThreadPoolExecutor(1) as executor:  # mostly, the connection waits for processes of Ray's
                imported = executor.submit(import_module, "ray.data")
                context = self._ray.init(
                    self._options.address or "local",
                    include_dashboard=None if may_show else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            imported.result()
            logging.getLogger("ray.data").setLevel(logging.ERROR)  # after the import, which sets it
        except ImportError as reason:
            raise _missing(reason) from None
        except (OSError, RuntimeError, ValueError) as reason:
            line = str(reason).strip().partition("\n")[0]
            raise UserError(f"--ray-address {self._options.address}: no cluster can be reached ({line})") from None
        return context.dashboard_url or ""

    def _count_workers(self) -> int:
        """Return how many workers there are to be.

        Raises:
            UserError: If there is no room for a single one.
        """
        resources, wanted = self._ray.cluster_resources(), self._options
        room = int(resources.get("CPU", 0) // wanted.cpus)
        if wanted.gpus:
            room = min(room, int(resources.get("GPU", 0) // wanted.gpus))
        if not room:
            raise UserError(
                f"the cluster has no room for a worker: it was to have {wanted.cpus} cores and {wanted.gpus:g} GPUs, "
                f"there are {resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}"
            )
        return min(room, wanted.workers or room)

    def _concurrency(self, blocks: int) -> tuple[int, int]:
        """Return for how many workers there is room, and how many there may be once the cluster has grown."""
        now = min(self._count_workers(), blocks)
        return now, max(now, min(self._options.workers or 0, blocks))

    def _events(self, tasks: TaskStore) -> Iterator[tuple[Event | Refused, bool]]:
        """Have tasks done; yields what comes of them, and whether that is all of a task."""
        if not tasks:
            return
        import ray.data
        from ray.data import ActorPoolStrategy, DataContext, ExecutionResources
        from ray.exceptions import RayError

        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = 1  # byte: each row is sent at once
        limits = ExecutionResources(object_store_memory=MAX_WAITING_BYTES)
        context.execution_options.resource_limits = context.execution_options.resource_limits.min(limits)
        assert self._setup
        setup = replace(self._setup, share=Share(self._options.cpus))
        workers = max(self._count_workers(), self._options.workers or 0)  # the cluster may grow
        ends = list(accumulate(block_sizes(len(tasks), workers)))
        least, most = self._concurrency(len(ends))
        blocks = ray.data.range(len(ends), override_num_blocks=len(ends))  # their numbers
        send_seconds = max(SEND_SECONDS, most / TABLES_PER_SECOND)
        dataset = blocks.map_batches(
            _RayWorker,
            fn_constructor_args=(
                _Job(setup, tasks.close(), ends, self._timeout_seconds, send_seconds, ROWS_PER_SECOND / most),
            ),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(
                min_size=least,
                max_size=most,
                max_tasks_in_flight_per_actor=BLOCKS_AHEAD,
                max_concurrent_calls_per_actor=BLOCKS_AHEAD,
                enable_true_multi_threading=True,
            ),
            num_cpus=self._options.cpus,
            num_gpus=self._options.gpus or None,
        )
        try:
            tables: Iterable[Any] = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
            for table in tables:
                for content in table[NEWS].to_pylist():
                    yield from pickle.loads(content)
        except RayError as reason:
            raise UserError(f"Ray: {str(reason).strip().splitlines()[-1]}") from None


@dataclass(frozen=True)
class _Job:
    """What one of Ray's actors is told.

    Attributes:
        setup: What its worker loads.
        chunks: See `TaskBlocks`.
        ends: See `TaskBlocks`.
        timeout_seconds: As for `Supervisor`.
        send_seconds: What happens meanwhile is sent together.
        rows_per_second: That the actor sends at most, on average.
    """

    setup: Setup
    chunks: Sequence[Any]
    ends: Sequence[int]
    timeout_seconds: float | None
    send_seconds: float
    rows_per_second: float


class _RayWorker:
    """What one of Ray's actors does: its worker process is given one block after another, without a pause between.

    Ray has two threads call it, so that the worker always has a block to go on with.
    """

    def __init__(self, job: _Job) -> None:
        setup = job.setup
        if setup.share:
            setup = replace(setup, share=claim_cores(setup.share.threads))
        self._feed = Feed(Supervisor(WorkerProcess(setup), job.timeout_seconds))
        self._blocks = TaskBlocks(job.chunks, job.ends, _import_ray().get)
        self._send_seconds = job.send_seconds
        self._pace = Pace(job.rows_per_second)
        self._machine = socket.gethostname()

    def __call__(self, numbers: "pa.Table") -> "Iterator[pa.Table]":
        """Yield what comes of the tasks of blocks, at intervals: events, or why the run cannot go on."""
        news, sent = News(), monotonic()
        tasks = [task for number in numbers[BLOCK].to_pylist() for task in self._blocks[number]]
        try:
            for event, is_last in self._feed.run(tasks):
                if isinstance(event, Tagged):
                    event = replace(event, machine=self._machine)
                news.append((event, is_last))
                if monotonic() - sent > self._send_seconds:
                    yield self._row(news)
                    news, sent = News(), monotonic()
        except UserError as reason:  # which Ray would bury under its own
            news.append((Refused(str(reason)), True))
        if news:
            yield self._row(news)

    def _row(self, news: News) -> "pa.Table":
        """Return a table of what has happened, as soon as the driver can keep up with it."""
        import pyarrow as pa

        self._pace.wait(len(news))
        return pa.table({NEWS: pa.array([pickle.dumps(news)], pa.binary())})


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as reason:
        raise _missing(reason) from None
    return ray


def _missing(reason: ImportError) -> UserError:
    return UserError(f"--engine ray needs Ray ({reason}): pip install actor-action[ray], or -r requirements-ray.txt")


def _check_reachable(address: str | None) -> None:
    """Connect to an address for a moment: Ray would try for minutes.

    Raises:
        OSError: If that is impossible.
    """
    host, separator, port = (address or "").rpartition("://")[2].rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
