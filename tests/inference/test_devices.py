"""Resolution of device names."""

import pytest
import torch

from common.errors import UserError
from inference import devices
from inference.devices import find_device


@pytest.fixture
def cuda_devices(monkeypatch):
    """Return a function that sets the number of CUDA devices that torch reports."""

    def set_count(count):
        monkeypatch.setattr(devices, "_has_cuda_driver", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return set_count


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("cpu", 2, "cpu"),
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_find_device_resolves_names(cuda_devices, name, count, expected):
    cuda_devices(count)
    assert find_device(name) == expected


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2)])
def test_find_device_rejects_missing_devices(cuda_devices, name, count):
    cuda_devices(count)
    with pytest.raises(UserError, match=f"device '{name}' was given, this machine has {count} CUDA devices"):
        find_device(name)


@pytest.mark.parametrize("name", ["", "tpu", "cuda:", "cuda:-1", "cpu:0"])
def test_find_device_rejects_unknown_names(name):
    with pytest.raises(UserError, match="allowed: auto, cpu, cuda, cuda:N"):
        find_device(name)
