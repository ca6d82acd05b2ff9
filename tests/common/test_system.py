"""The number of threads follows a container's CPU quota, and large allocations are returned to the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common import system
from common.errors import UserError
from common.system import available_cores, cpu_quota, use_threads

CODE = """
import sys
import numpy as np
from common.system import return_large_allocations
if sys.argv[1] == "yes":
    return_large_allocations()
for _ in range(3):  # glibc takes the first from the system and, once it was freed, the next from the heap
    image = np.ones(1_000_000, np.uint8)
    del image
image = np.ones(900_000, np.uint8)
(heap,) = [line for line in open("/proc/self/maps") if line.rstrip().endswith("[heap]")]
first, last = (int(end, 16) for end in heap.split()[0].split("-"))
print(first <= image.ctypes.data < last)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="specific to glibc")
def test_return_large_allocations_keeps_images_off_the_heap():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    root = Path(__file__).resolve().parents[2]
    on_heap = [
        subprocess.run(
            [sys.executable, "-c", CODE, choice], cwd=root, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()
        for choice in ("no", "yes")
    ]
    assert on_heap == ["True", "False"]


REUSE = """
import resource
import numpy as np
from common.system import return_free_memory, return_large_allocations, reuse_large_allocations

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 23, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def last_of_three():
    return [faults() for _ in range(3)][-1]

return_large_allocations()
print(last_of_three())
with reuse_large_allocations():
    print(last_of_three())
    with reuse_large_allocations():
        last_of_three()
    print(last_of_three())
return_free_memory()
print(last_of_three())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="specific to glibc")
def test_large_allocations_are_reused_while_a_network_computes():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", REUSE], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    outside, inside, inside_still, outside_again = map(int, done.stdout.split())
    assert min(outside, outside_again) > 3  # pages of 4 KiB, or huge ones of 2 MiB: all are cleared again
    assert max(inside, inside_still) < outside / 2


VERSION_1 = "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/docker/1\n"
CPU_ALONE = "2:cpuacct:/\n1:cpu:/a/b\n0::/\n"
QUOTAS = [
    pytest.param("", {}, None, id="no groups"),
    pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="v2, no quota"),
    pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="v2"),
    pytest.param("0::/\n", {"cpu.max": "50000\n"}, 0.5, id="v2, default period"),
    pytest.param("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0, id="v2, outer group"),
    pytest.param("0::/a/b\n", {"a/b/cpu.max": "100000 50000", "a/cpu.max": "300000 100000"}, 2.0, id="v2, inner group"),
    pytest.param("0::/host/path\n", {"cpu.max": "300000 100000"}, 3.0, id="v2, path of the host"),
    pytest.param("0::/../a\n", {"a/cpu.max": "300000 100000"}, 3.0, id="v2, path outside the namespace"),
    pytest.param("0::/a:b\n", {"a:b/cpu.max": "300000 100000"}, 3.0, id="v2, colon in the path"),
    pytest.param("0::/\n", {"cpu.max": "0 100000\n"}, None, id="v2, zero"),
    pytest.param("0::/\n", {"cpu.max": "many 100000\n"}, None, id="v2, no number"),
    pytest.param("0::/\n", {"cpu.max": ""}, None, id="v2, empty"),
    pytest.param("nonsense\n:\n\n", {"cpu.max": "many"}, None, id="no membership"),
    pytest.param(
        VERSION_1,
        {"cpu,cpuacct/docker/1/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n"},
        2.5,
        id="v1",
    ),
    pytest.param(
        VERSION_1,
        {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        1.0,
        id="v1, path of the host",
    ),
    pytest.param(
        CPU_ALONE,
        {
            "cpu/a/b/cpu.cfs_quota_us": "-1",
            "cpu/a/b/cpu.cfs_period_us": "100000",
            "cpu/a/cpu.cfs_quota_us": "400000",
            "cpu/a/cpu.cfs_period_us": "100000",
        },
        4.0,
        id="v1, outer group",
    ),
    pytest.param(CPU_ALONE, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, id="v1, no quota"),
    pytest.param(CPU_ALONE, {"cpu/cpu.cfs_quota_us": "100000"}, None, id="v1, no period"),
    pytest.param(
        CPU_ALONE,
        {
            "cpu/cpu.cfs_quota_us": "200000",
            "cpu/cpu.cfs_period_us": "100000",
            "unified/cpu.max": "100000 100000",
        },
        1.0,
        id="both versions",
    ),
]


@pytest.mark.parametrize(("membership", "files", "expected"), QUOTAS)
def test_cpu_quota(membership, files, expected, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cpu_quota(tmp_path, membership) == expected


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that sets the number of cores and the quota, in cores, of this process."""
    for name in ("ACTOR_ACTION_THREADS", *system.LIBRARY_VARIABLES):
        monkeypatch.setenv(name, "")  # so that it is restored afterwards
        monkeypatch.delenv(name)
    for library in ("torch", "cv2"):  # would be told
        monkeypatch.delitem(sys.modules, library, raising=False)
    (tmp_path / "cgroup").write_text("0::/\n")
    monkeypatch.setattr(system, "CGROUPS", tmp_path)
    monkeypatch.setattr(system, "MEMBERSHIP", tmp_path / "cgroup")

    def make(cores, quota=None):
        monkeypatch.setattr(system, "_cores_of_affinity", lambda: cores)
        (tmp_path / "cpu.max").write_text("max 100000" if quota is None else f"{round(quota * 100000)} 100000")

    return make


@pytest.mark.parametrize(
    ("cores", "quota", "expected"), [(8, None, 8), (8, 2, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 6, 2), (1, 1, 1)]
)
def test_available_cores_are_limited_by_the_quota(machine, cores, quota, expected):
    machine(cores, quota)
    assert available_cores() == expected


def test_use_threads_overrides_the_quota_in_this_process_and_its_children(machine):
    machine(8, 2)
    use_threads(5)
    assert available_cores() == 5
    code = "import common.system, os; print(common.system.available_cores(), os.environ['OMP_NUM_THREADS'])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["5", "5"]


def test_quota_limits_libraries_that_only_know_the_number_of_cores(machine):
    machine(8, 2)
    os.environ["MKL_NUM_THREADS"] = "7"
    use_threads(None)
    assert available_cores() == 2
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENCV_FOR_THREADS_NUM"] == "2"
    assert os.environ["MKL_NUM_THREADS"] == "7", "what the user has set stays"


def test_without_quota_libraries_are_left_alone(machine):
    machine(8)
    use_threads(None)
    assert not any(name in os.environ for name in system.LIBRARY_VARIABLES)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1025", "10000", "²"])
def test_number_of_threads_in_the_environment_is_checked(machine, monkeypatch, value):
    monkeypatch.setenv("ACTOR_ACTION_THREADS", value)
    with pytest.raises(UserError, match=f"ACTOR_ACTION_THREADS='{value}' was given, 1 to 1024 is allowed"):
        available_cores()
