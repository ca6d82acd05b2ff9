"""One of Ray's actors whose worker process is that of `toy_worker`."""

from typing import Any

from pipeline.supervision import process, ray_crew

BOOT = process.BOOT.replace("pipeline.supervision.worker", "toy_worker")


class ToyRayWorker(ray_crew._RayWorker):
    """An actor with toys."""

    def __init__(self, *arguments: Any) -> None:
        process.BOOT = BOOT
        super().__init__(*arguments)
