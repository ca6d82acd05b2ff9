"""A server of S3 on this machine, which this process and those that it starts find by the environment."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import pytest
import s3fs
from moto.server import ThreadedMotoServer

BUCKET = "clips"
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Requests(logging.Handler):
    """What a server was asked for, such as `GET /clips/a.mp4`."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += re.findall(r"(?:GET|HEAD|PUT) \S+", record.getMessage())

    def fetched(self) -> list[str]:
        """Return the videos that were asked for since the last time, in order."""
        found = [line.removeprefix("GET ") for line in self.lines if re.fullmatch(r"GET \S+\.mp4", line)]
        self.lines.clear()
        return found


@contextmanager
def serve_s3() -> Iterator[Requests]:
    """Serve an empty bucket; yields what the server is asked for."""
    requests, log = Requests(), logging.getLogger("werkzeug")
    before = log.level
    log.addHandler(requests)
    log.setLevel(logging.INFO)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        for name, value in {**VARIABLES, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # which know the server of another test
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield requests
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()
    log.removeHandler(requests)
    log.setLevel(before)


def put(name: str, content: bytes, bucket: str = BUCKET) -> None:
    """Write an object."""
    boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=content)
