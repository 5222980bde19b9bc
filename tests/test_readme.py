"""What the README shows works as it is shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import commands
from commands import SCALENET

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_commands_are_the_two_that_set_all_up():
    assert re.findall(r"^make \w+", README, flags=re.MULTILINE)[:2] == ["make run", "make test"]


def test_the_commands_run_one_after_another(tmp_path):
    lines = re.findall(r"^\$ (.*)$", "".join(blocks("console")), flags=re.MULTILINE)
    assert lines
    for line in lines:
        program, *words = line.split()
        assert program == "scalenet"
        commands.run([*SCALENET, *words], cwd=tmp_path, check=True)


def test_the_python_example_runs(tmp_path):
    (code,) = blocks("python")
    commands.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_the_example_network_is_valid(tmp_path):
    import scalenet

    (text,) = blocks("yaml")
    (tmp_path / "my_net.yaml").write_text(text)
    assert scalenet.cost(scalenet.load(tmp_path / "my_net.yaml")).params > 0


def test_the_family_is_as_the_table_says():
    import scalenet

    rows = re.findall(
        r"^\| ([\d.]+ [MG]) \| ([\d,.]+) M \| ([\d.]+) M \| (.*) \| (\d+) px \|$", README, flags=re.MULTILINE
    )
    assert len(rows) == 4
    for asked, flops, params, multipliers, pixels in rows:
        config = scalenet.scale_by("efficientnet_b0", flops=asked.replace(" ", ""))
        found = scalenet.cost(config)
        applied = config.scaling.applied
        assert (f"{found.flops / 1e6:,.1f}", f"{found.params / 1e6:.2f}") == (flops, params)
        assert f"{applied.depth:.2f} | {applied.width:.2f}" == multipliers
        assert config.model.resolution == int(pixels)


def test_the_documents_it_links_to_exist():
    for target in re.findall(r"\]\(([^):]+)\)", README):
        name, _, anchor = target.partition("#")
        page = Path(__file__).parents[1] / name
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def anchors(page):
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
