"""Limits hold through renames: what is recognised, what is unclear, and what the project file says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import scalenet
from scalenet.arch.config import dumps
from scalenet.checks.lock import StageCost, TargetCost
from scalenet.checks.measuring import by_formula
from scalenet.checks.renames import Renames, Sources, find_renames

if TYPE_CHECKING:
    from conftest import Folder

R18 = "nets/resnet18.yaml"
GATE = "[[tool.scalenet.gates]]\nmax_increase = {percent = 5}\n"
NOWHERE = Sources(Path("nowhere"), "HEAD", {})


def project(folder: Folder, *more: str) -> None:
    folder.write("pyproject.toml", "\n".join(['[tool.scalenet]\ntargets = ["nets/*.yaml"]', *more, GATE]))


@pytest.fixture
def branch(locked: Folder) -> Folder:
    """Return a project under a limit of 5 %, on a branch of its own."""
    project(locked)
    locked.commit()
    locked.git("checkout", "-q", "-b", "change")
    return locked


def renamed(folder: Folder, old: str = R18, new: str = "nets/other.yaml", classes: int = 1000) -> None:
    folder.git("mv", old, new)
    folder.edit(new, "classes: 1000", f"classes: {classes}")


def test_a_renamed_config_is_held_to_the_limit_of_what_it_was(branch: Folder) -> None:
    renamed(branch)
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    assert f"nets/other.yaml: renamed from {R18}: costs as before" in said.stdout
    assert "gone" not in said.stdout
    branch.lock()
    assert branch.check("--base", "main").exit_code == 0
    branch.edit("nets/other.yaml", "classes: 1000", "classes: 400000")
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    assert re.search(
        rf"nets/other.yaml: renamed from {R18} \(accepted in the lock file\): FLOPs 1.81 G → 2", said.stdout
    )
    assert re.search(rf"OVER  nets/other.yaml: .* too many \(was {R18}\)", said.stdout)


def test_a_limit_without_a_base_fails_until_the_project_file_says_that_it_is_new(branch: Folder) -> None:
    branch.write("nets/new.yaml", dumps(scalenet.load("mobilenet_v2")))
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    assert "NO BASE  nets/new.yaml: FLOPs 301 M, max_increase without a base\n" in said.stdout
    assert said.stdout.splitlines()[-2:] == [
        "failed: 1 without a base",
        'accept in [tool.scalenet]: new = ["nets/new.yaml"]',
    ]
    assert branch.check().exit_code == 0
    project(branch, 'new = ["nets/new.yaml"]')
    said = branch.check("--base", "main")
    assert said.exit_code == 0
    assert "ok  nets/new.yaml: FLOPs 301 M, max_increase without a base, accepted as new" in said.stdout


def test_a_base_without_a_lock_file_is_one_line_for_all_its_limits(branch: Folder) -> None:
    branch.git("checkout", "-q", "main")
    branch.git("rm", "-q", "scalenet.lock.json")
    branch.git("commit", "-qm", "Drop")
    branch.git("checkout", "-q", "-B", "change")
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    lines = said.stdout.splitlines()
    assert re.fullmatch(r"NO BASE  2 limits by max_increase: no scalenet.lock.json at main \([0-9a-f]{7}\)", lines[1])
    assert lines[-1] == 'accept in [tool.scalenet]: new = ["*"]'
    project(branch, 'new = ["*"]')
    said = branch.check("--base", "main")
    assert said.exit_code == 0
    assert 'new = ["*"] exempts 2 targets without a base from max_increase\n' in said.stdout


def test_an_entry_of_new_that_was_left_in_is_told_before_and_while_it_exempts_others(branch: Folder) -> None:
    project(branch, 'new = ["*"]')
    idle = 'new = ["*"] exempts nothing: take it out, for it would exempt later targets'
    assert idle in branch.check("--base", "main", "--report", "markdown=report.md").stdout.splitlines()
    assert f"- `{idle}`" in (branch.path / "report.md").read_text().splitlines()
    assert "exempts" not in branch.check().stdout + branch.check(R18, "--base", "main").stdout
    branch.write("nets/new.yaml", dumps(scalenet.load("mobilenet_v2")))
    branch.lock()
    said = branch.check("--base", "main", "--report", "markdown=report.md")
    exempted = 'new = ["*"] exempts 1 target without a base from max_increase'
    assert (said.exit_code, exempted in said.stdout.splitlines()) == (0, True)
    assert f"- `{exempted}`" in (branch.path / "report.md").read_text().partition("<details>")[0].splitlines()


def test_a_lock_file_that_moved_with_its_project_is_still_the_base(
    branch: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (branch.path / "team").mkdir()
    branch.git("mv", "nets", "pyproject.toml", "scalenet.lock.json", "team")
    branch.commit()
    moved = type(branch)(branch.path / "team")
    monkeypatch.chdir(moved.path)
    assert moved.check("--base", "main").exit_code == 0
    moved.edit(R18, "classes: 1000", "classes: 400000")
    moved.lock()
    assert "OVER" in moved.check("--base", "main").stdout


def test_several_renames_at_once_are_told_apart(branch: Folder) -> None:
    renamed(branch)
    renamed(branch, "nets/efficientnet_b0.yaml", "nets/another.yaml", classes=1100)
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 0, said.stdout
    assert "nets/another.yaml: renamed from nets/efficientnet_b0.yaml" in said.stdout
    assert f"nets/other.yaml: renamed from {R18}" in said.stdout


def test_a_target_split_in_two_is_unclear_until_the_project_file_says_it(branch: Folder) -> None:
    renamed(branch, new="nets/one.yaml", classes=1010)
    branch.write("nets/two.yaml", dumps(scalenet.load("resnet18")).replace("classes: 1000", "classes: 990"))
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    assert said.stdout.count("NO BASE") == 2
    was = f'"nets/one.yaml" = "{R18}" or "nets/two.yaml" = "{R18}"'
    assert said.stdout.splitlines()[-1].endswith(f"(or, if one was another: was = {{{was}}})")
    project(branch, f'was = {{"nets/one.yaml" = "{R18}", "nets/two.yaml" = "{R18}"}}')
    said = branch.check("--base", "main")
    assert said.exit_code == 0
    assert said.stdout.count(f"(was {R18})") == 2


def test_swapped_names_are_held_by_name(branch: Folder) -> None:
    texts = [(branch.path / name).read_text() for name in (R18, "nets/efficientnet_b0.yaml")]
    branch.write(R18, texts[1])
    branch.write("nets/efficientnet_b0.yaml", texts[0])
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 1
    assert "OVER  nets/efficientnet_b0.yaml: FLOPs 1.81 G, max_increase to 405 M" in said.stdout


def test_limits_by_the_former_name_hold_too(branch: Folder) -> None:
    gate = (
        f'[[tool.scalenet.gates]]\ntarget = "{R18}"\nmax = "1G"\n\n[[tool.scalenet.gates]]\ntarget = "*"\nmax = "9G"\n'
    )
    branch.write("pyproject.toml", f"{(branch.path / 'pyproject.toml').read_text()}\n{gate}")
    renamed(branch)
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 2
    assert "OVER  nets/other.yaml: FLOPs 1.81 G, max 1.00 G" in said.stdout
    assert f"no target is called '{R18}'" in said.stdout


def test_what_was_says_of_names_that_there_are_not_is_no_base(branch: Folder) -> None:
    branch.write("nets/new.yaml", dumps(scalenet.load("mobilenet_v2")))
    project(branch, 'was = {"nets/new.yaml" = "nets/nothing.yaml"}')
    branch.lock()
    assert branch.check("--base", "main").exit_code == 1


def described(name: str) -> TargetCost:
    return TargetCost(input=("1x3x224x224",), uncounted=(), **by_formula(scalenet.load(name).model))


def stage(flops: int) -> StageCost:
    return StageCost(params=flops, activations=1, operators={"conv": flops, "batch_norm": 1})


def module(*stages: int) -> TargetCost:
    counts = {f"layers.{number}": stage(flops) for number, flops in enumerate(stages)}
    total = sum(stages)
    return TargetCost(input=("1x3",), flops=total, params=total, activations=1, stages=counts, uncounted=())


def test_networks_of_other_families_are_no_renames() -> None:
    names = ("resnet18", "efficientnet_b0", "small_resnet")
    for old in names:
        others = {f"nets/{name}.yaml": described(name) for name in names if name != old}
        assert find_renames({f"nets/{old}.yaml": described(old)}, others, NOWHERE, said={}) == Renames()


def test_of_two_that_cost_the_same_the_nearest_name_is_taken() -> None:
    gone = {"old.nets:small": module(10, 20), "old.nets:tiny": module(10, 20)}
    new = {"new.nets:tiny": module(10, 20), "new.nets:small": module(10, 20)}
    assert find_renames(gone, new, NOWHERE, said={}).was == {
        "new.nets:tiny": "old.nets:tiny",
        "new.nets:small": "old.nets:small",
    }


def test_callables_of_a_renamed_package_are_paired_by_their_texts(tmp_path: Path, folder: Folder) -> None:
    text = (
        "def small():\n    return Net(width={0}, depths=[1, 2])\n\ndef large():\n    # wide\n    return Wide(64, {0})\n"
    )
    folder.write("old.py", text.format(3))
    folder.git("init", "-q")
    folder.commit()
    folder.write("new.py", text.format(7).replace("# wide", "# very wide"))
    gone = {"old:small": module(10, 20), "old:large": module(11, 21)}
    new = {"new:small": module(90, 20), "new:large": module(91, 21)}
    sources = Sources(folder.path, "HEAD", {name: name for name in new})
    assert sources.text("old:small", now=False) == "def small():\n    return Net(width=3, depths=[1, 2])"
    assert sources.text("new:nothing", now=True) is None
    assert find_renames(gone, new, sources, said={}).was == {"new:small": "old:small", "new:large": "old:large"}


MAKE = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 8, {0}), nn.ReLU(), nn.Conv2d(8, 8, {0}))
"""


def test_a_callable_that_moves_and_grows_is_over_its_limit(folder: Folder) -> None:
    def target(name: str) -> None:
        entry = f'{{module = "{name}", input = "1x3x32x32"}}'
        folder.write("pyproject.toml", f"[tool.scalenet]\ntargets = [{entry}]\n{GATE}")

    folder.write("mymodels.py", MAKE.format(3))
    target("mymodels:make")
    assert folder.run("lock").exit_code == 0
    folder.git("init", "-q")
    folder.commit()
    folder.git("checkout", "-q", "-b", "change")
    folder.git("rm", "-q", "mymodels.py")
    (folder.path / "mymodels").mkdir()
    folder.write("mymodels/__init__.py", "")
    folder.write("mymodels/net.py", MAKE.format(7))
    target("mymodels.net:make")
    assert "mymodels.net:make: renamed from mymodels:make: FLOPs" in folder.run("lock").stdout
    said = folder.run("check", "--base", "main")
    assert said.exit_code == 1
    assert re.search(
        r"OVER  mymodels.net:make: FLOPs .*, max_increase to .* too many \(was mymodels:make\)", said.stdout
    )
    said = folder.run("check", "--base", "main", "--github").stderr
    assert "::error file=mymodels/net.py,line=4,title=scalenet check::OVER mymodels.net:make: FLOPs" in said


def test_stages_that_are_renamed_or_lost_are_told(branch: Folder) -> None:
    gates = '[[tool.scalenet.gates]]\ntarget = "*b0*"\nstage = "stages.6"\nmax_increase = {percent = 1}\n'
    branch.write("pyproject.toml", f"{(branch.path / 'pyproject.toml').read_text()}\n{gates}")
    text = (branch.path / "nets/efficientnet_b0.yaml").read_text()
    lines = text.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if line.startswith("  - {block"))
    branch.write("nets/efficientnet_b0.yaml", "".join(lines[:last] + lines[last + 1 :]))
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 2
    assert (
        "nets/efficientnet_b0.yaml: no stage is called 'stages.6' any more ([tool.scalenet]: gates[1])" in said.stdout
    )


def test_an_increase_of_memory_is_counted_from_a_base_that_did_not_limit_it(branch: Folder) -> None:
    gate = '[[tool.scalenet.gates]]\nmetric = "memory"\nmax_increase = {percent = 5}\n'
    branch.write("pyproject.toml", f"{(branch.path / 'pyproject.toml').read_text()}\n{gate}")
    branch.lock()
    said = branch.check("--base", "main")
    assert said.exit_code == 0, said.stdout
    assert f"ok  {R18}: memory 53.8 MB, max_increase to 56.5 MB, headroom 2.69 MB" in said.stdout


def test_a_hook_of_git_finds_each_projects_own_repository(branch: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert branch.check("--base", "main").exit_code == 0
