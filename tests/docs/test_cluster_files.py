"""The files for clusters are what Ray's launcher accepts, and their commands are ours."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from common.paths import PROJECT
from pipeline.__main__ import build_parser

FOLDER = PROJECT / "docs" / "cluster"
LAUNCHER_FILES = ("aws.yaml", "on_premise.yaml")


def read(name):
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def parse(command):
    program, *arguments = shlex.split(command)
    assert program == "actor-action"
    return build_parser(complete=True).parse_args(arguments)


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launcher_files_fit_rays_schema(name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    content = read(name)
    validate_config(prepare_config(content))
    with pytest.raises(Exception, match="was unexpected"):
        validate_config(prepare_config({**content, "setup_comands": []}))


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_launcher_files_copy_the_project_and_install_it_with_ray(name):
    content = read(name)
    (target,) = content["file_mounts"]
    assert target == "~/actor-action"
    assert any('"./actor-action[ray]"' in command for command in content["setup_commands"])


def test_machines_on_aws_have_the_cores_that_the_file_says():
    types = read("aws.yaml")["available_node_types"]
    sizes = {"xlarge": 4, "2xlarge": 8}
    tagging = types["tagging"]
    assert tagging["resources"]["CPU"] == sizes[tagging["node_config"]["InstanceType"].partition(".")[2]]
    assert types["head"]["resources"]["CPU"] == 0


def test_the_job_runs_our_command_on_its_own_cluster():
    job = read("kuberay_job.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    arguments = parse(job["spec"]["entrypoint"])
    assert (arguments.engine, arguments.ray_address) == ("ray", "auto")
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert int(workers["rayStartParams"]["num-cpus"]) % arguments.cpus_per_worker == 0
    for group in (cluster["headGroupSpec"], workers):
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        mounts = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
        assert {volume["name"] for volume in spec["volumes"]} == set(mounts)
        for path in (*arguments.video, arguments.out):
            assert Path(path).is_relative_to(mounts["archive"])
    (container,) = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == workers["rayStartParams"]["num-cpus"]


def test_the_image_has_the_version_of_ray_that_the_job_says():
    dockerfile = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    (version,) = re.findall(r"^FROM rayproject/ray:([0-9.]+)-py311$", dockerfile, re.MULTILINE)
    assert read("kuberay_job.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == version
    (command,) = re.findall(r"docker build \S+ (\S+) -f (\S+) \.", dockerfile)
    assert command == ("actor-action", "docs/cluster/Dockerfile")
