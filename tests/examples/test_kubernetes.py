"""The Job of the Kubernetes example: its command is one of ours, and its volumes are there."""

from __future__ import annotations

from pathlib import Path

import yaml
from scalenet_cli.main import app
from typer.main import get_command

JOB = Path(__file__).parents[2] / "examples" / "kubernetes" / "search.yaml"


def test_options_are_those_of_the_command_and_each_mount_has_a_volume():
    pod = yaml.safe_load(JOB.read_text())["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["scalenet", "grid-search"]
    command = get_command(app).commands["grid-search"]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in container["args"]} <= known
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
