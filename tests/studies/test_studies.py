"""Studies: their files, their networks at equal costs, and how one is run, gone on with, refused and written."""

from __future__ import annotations

import csv
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import commands
import pytest
from noisy_images import write_images
from plain_figures import draw_none

import scalenet
from scalenet.arch.errors import ConfigError, ScalenetError
from scalenet.costs.formula import cost
from scalenet.scaling.scaler import load
from scalenet.search.queue.pace import Pace
from scalenet.studies.definition import Definition, files, load_study
from scalenet.studies.folder import discard
from scalenet.studies.points import find_points

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOUND = {"alpha": 1.3, "beta": 1.1, "gamma": 1.1}
GAINS = {"depth": 0.02, "width": 0.05, "resolution": 0.03, "compound": 0.05, "dwr": 0.05}
STUDY = """\
schema: scalenet-study/1
name: two
costs: [2, 4]
series:
  depth: {kind: ray, ray: depth}
  width: {kind: ray, shares: [0, 1, 0]}
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_none(monkeypatch.setattr)


class Judge:
    """A function of a notebook: it knows what series are worth, and which jobs it was called for."""

    def __init__(self, *, stop_at: int | None = None, fails: str = "") -> None:
        self.calls: list[tuple[str, int]] = []
        self.stop_at, self.fails = stop_at, fails

    def __call__(self, architecture: Any, *, seed: int, **_: Any) -> float:
        if len(self.calls) == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        name = architecture.name
        self.calls.append((name, seed))
        if name == self.fails:
            return float("nan")
        series, _, times = name.partition("_")
        grown = {"2x": 1, "4x": 2}.get(times, 0)
        return 0.5 + GAINS.get(series, 0) * grown + 0.01 * seed + 0.001 * (len(name) * seed % 3)


def asked(place: Path, judge: Callable[..., float] | str, study: Any = None, **options: Any) -> scalenet.Study:
    (place / "two.yaml").write_text(STUDY)
    own = {"resolution": 16, "evaluate": judge, "epochs": 1, "seeds": 2, "say": None, "folder": place / "run"} | options
    return scalenet.study(study or place / "two.yaml", "small_resnet", **own)


@pytest.mark.parametrize(
    ("network", "name"), [*(("small_resnet", name) for name in files()), ("mobilenet_v2", "table7")]
)
def test_the_networks_of_shipped_studies_cost_what_they_are_asked_for(network, name):
    base = scalenet.scale(load(network), resolution=0.5)
    found = find_points(load_study(name), base, FOUND)
    assert found.points[0].config.model == base.model
    assert len({id(one) for one in found.networks.values()}) == len(found.networks)
    for point in found.points:
        if point.asked is not None:
            ratio = cost(point.config.model).flops / cost(base).flops / point.asked
            assert point.met == (abs(ratio - 1) <= 0.0101)
            assert point.met, "every one of them can be had within 1 %"


def test_single_dimensions_grow_in_one_dimension():
    base = scalenet.load("efficientnet_b0")
    points = {
        point.network: point.config.scaling for point in find_points(load_study("single-dimension"), base, None).points
    }
    for name in ("depth", "width", "resolution"):
        applied = points[f"{name}_4x"].applied
        assert max(("depth", "width", "resolution"), key=lambda axis: getattr(applied, axis)) == name


def test_a_study_is_run_and_says_what_can_be_told_apart(tmp_path):
    judge, said = Judge(), list[str]()
    methods = load_study("methods").changed(costs=(2, 4))
    study = asked(tmp_path, judge, methods, coefficients=FOUND, say=said.append)
    assert any("methods: 11 networks of 13 points" in line for line in said)
    assert [row["cost"] for row in study.points()][:4] == [None, 2, 4, 2]
    assert not (tmp_path / "run").exists()
    study.run(say=said.append)
    assert len(judge.calls) == len(set(judge.calls)) == 2 * 11
    assert study.finished
    assert any(re.fullmatch(r"\[22/22\] .+", line) for line in said)
    first, *more = study.sentences()
    assert re.match(r"\w+ is ahead of depth, .*in the mean of 2×, 4× the FLOPs \(± \d\.\d points\); not told", first)
    assert more[0].startswith("in the mean of all costs ")
    assert any(line.startswith("at 4× the FLOPs ") and "depth (" in line for line in more)
    assert any(line.startswith("each doubling of FLOPs changes the error by ") for line in more)
    assert more[-1].startswith("intervals are at 95 %, over 2 seeds, on these images alone")
    table = study.results()
    assert table[table.network == "width_4x"].accuracy.iloc[0] == pytest.approx(0.605, abs=0.002)


def test_the_same_results_are_written_as_the_same_bytes(tmp_path):
    study = asked(tmp_path, Judge()).run(say=None)
    names = {"results.csv", "slopes.csv", "comparisons.csv", "jobs.csv", "results.tex", "slopes.tex", "comparisons.tex"}
    names |= {"report.html"} | {
        f"figures/{name}.{form}" for name in ("accuracy", "costs") for form in ("pdf", "svg", "png")
    }
    before = {name: (study.folder / name).read_bytes() for name in names}
    opened = scalenet.open_study(study.folder)
    opened.write()
    assert {name: (study.folder / name).read_bytes() for name in names} == before
    rows = list(csv.DictReader(before["comparisons.csv"].decode().splitlines()))
    assert [(row["cost"], row["first"], row["second"]) for row in rows] == [
        (cost, "depth", "width") for cost in ("2.0", "4.0", "")
    ]
    assert before["results.tex"].count(b" \\\\\n") == 1 + 5
    assert opened.data()["comparisons"][2]["difference"] == pytest.approx(-0.045, abs=0.002)
    again = asked(tmp_path, f"table:{study.folder}/jobs.csv", folder=tmp_path / "again").run(say=None)
    assert again.sentences() == opened.sentences()


def test_an_interrupted_study_goes_on_and_more_seeds_are_added(tmp_path):
    judge, said = Judge(stop_at=4), list[str]()
    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path, judge).run(say=said.append)
    assert "stopped; what is finished is kept in" in said[-1]
    assert asked(tmp_path, judge).run(say=None).finished
    assert len(judge.calls) == len(set(judge.calls)) == 10
    study = asked(tmp_path, judge, seeds=3).run(say=None)
    assert (len(judge.calls), study.plan.seeds) == (15, (0, 1, 2))


def test_another_study_of_a_folder_is_refused_and_discarded_by_force(tmp_path):
    judge = Judge()
    asked(tmp_path, judge, seeds=1).run(say=None)
    with pytest.raises(ScalenetError, match=r"run: holds another study: .*model.* differ \(give another folder"):
        asked(tmp_path, judge, seeds=1, resolution=20).run(say=None)
    assert len(judge.calls) == 5
    asked(tmp_path, judge, seeds=1, resolution=20, force=True).run(say=None)
    assert len(judge.calls) == 10
    with pytest.raises(ScalenetError, match="holds no search"):
        scalenet.open_search(tmp_path / "run")
    shared = {"seeds": 1, "storage": f"sqlite:///{tmp_path / 'shared.db'}", "name": "mine"}
    asked(tmp_path, judge, **shared, folder=tmp_path / "one").run(say=None)
    for options in ({}, {"resolution": 20, "force": True}):
        with pytest.raises(
            ScalenetError, match=rf"'mine', is the study in {tmp_path}/one, of which .*two has no files"
        ):
            asked(tmp_path, judge, **shared, folder=tmp_path / "two", **options).run(say=None)
    assert not (tmp_path / "two").exists()
    (tmp_path / "one").rename(tmp_path / "two")
    asked(tmp_path, judge, **shared, folder=tmp_path / "two").run(say=None)
    shutil.rmtree(tmp_path / "two")
    with pytest.raises(ScalenetError, match=r", 'mine': holds another study: .* differ \(give another --name"):
        asked(tmp_path, judge, **shared, folder=tmp_path / "three", resolution=20).run(say=None)


def test_a_network_that_diverged_is_left_out_of_comparisons_and_said(tmp_path):
    study = asked(tmp_path, Judge(fails="depth_4x")).run(say=None)
    assert "depth_4x is left out of all comparisons: 2 trainings of it diverged or failed" in study.sentences()
    assert study.results().set_index("network").diverged["depth_4x"] == 2
    assert [row["cost"] for row in study.data()["comparisons"]] == [2]


def test_costs_that_no_network_meets_are_said_first(tmp_path):
    (tmp_path / "fine.yaml").write_text(STUDY.replace("series:", "tolerance: 0.0001\nseries:"))
    said: list[str] = []
    study = asked(tmp_path, Judge(), tmp_path / "fine.yaml", say=said.append).run(say=None)
    assert any(re.fullmatch(r"depth_4x: 3\.99× the FLOPs, for 4×: no .*", line) for line in said)
    assert study.results().set_index("network").depth["depth_4x"] == 4, "not a wide network that costs it exactly"
    assert study.sentences()[0].startswith("not all costs are equal within 0.01 %: depth_2x 2.0")
    table = study.results().set_index("network")
    assert not table.met["depth_4x"]
    assert " (for 4)" in (study.folder / "results.tex").read_text()


def test_the_command_goes_by_a_table_and_writes_json(tmp_path):
    (tmp_path / "two.yaml").write_text(STUDY)
    names = ["small_resnet", *(f"{series}_{cost}x" for series in ("depth", "width") for cost in (2, 4))]
    rows = [f"{name},{seed},0.{5 + place}{seed}{place}" for place, name in enumerate(names) for seed in (0, 1)]
    (tmp_path / "known.csv").write_text("\n".join(["name,seed,accuracy", *rows]))
    words = ["study", "two.yaml", "--resolution", "16", "--evaluate", "table:known.csv", "--seeds", "2", "--json"]
    done = commands.run([*commands.SCALENET, *words, "-o", "run"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["points"]) == 5
    assert found["sentences"][0].startswith("width is ahead of depth in the mean of 2×, 4× the FLOPs (± ")
    with pytest.raises(ScalenetError, match="no small_resnet seed 2"):
        asked(tmp_path, f"table:{tmp_path / 'known.csv'}", seeds=3).run(say=None)


def test_one_seed_tells_nothing_apart(tmp_path):
    study = asked(tmp_path, Judge(), seeds=1).run(say=None)
    assert study.sentences()[0] == "nothing is told apart: of one seed nothing is known of the noise; width is ahead"
    assert not any(row["told"] for row in study.data()["comparisons"])


def test_seeds_that_a_time_limit_does_not_hold_are_left_out_but_for_two(tmp_path, monkeypatch):
    monkeypatch.setattr(Pace, "is_due", True)  # these trainings take no time between two looks
    judge, said = Judge(), list[str]()
    study = asked(tmp_path, judge, seeds=5, time_limit=0.001).run(say=said.append)
    assert "0.001 s hold 2 seeds of 5" in said
    assert study.finished
    assert {seed for _, seed in judge.calls} == {0, 1}
    assert set(study.results().seeds) == {2}
    assert scalenet.open_study(study.folder).plan.seeds == (0, 1)
    asked(tmp_path, judge, seeds=3).run(say=None)
    assert len(judge.calls) == len(set(judge.calls)) == 15


def test_the_time_of_earlier_runs_counts_as_long_as_they_took(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(Pace, "is_due", True)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.perf_counter", lambda: 3 * now)  # as of three workers at once

    def timed(architecture: Any, **others: Any) -> float:
        nonlocal now
        accuracy = judge(architecture, **others)
        now += 10
        return accuracy

    kept = []
    for stop_at in (None, 9):
        judge = Judge(stop_at=stop_at)
        (place := tmp_path / str(stop_at)).mkdir()
        study = asked(place, timed, seeds=5, time_limit=300)
        if stop_at is not None:
            with pytest.raises(KeyboardInterrupt):
                study.run(say=None)
            now += 1000
        kept.append(study.run(say=None).plan.seeds)
    assert kept == [(0, 1, 2, 3)] * 2


def test_networks_are_trained_compared_image_by_image_and_kept(tmp_path):
    write_images(tmp_path / "images", {"dark": 90, "light": 160}, 40, size=16)
    options = {"evaluate": "train", "data": tmp_path / "images", "epochs": 1, "workers": 1, "resolution": 8}
    said: list[str] = []
    text = STUDY.replace("costs: [2, 4]", "costs: [2]").replace("  depth: {kind: ray, ray: depth}\n", "")
    (tmp_path / "one.yaml").write_text(text)
    kept = options | {"keep_models": True, "say": said.append}
    study = asked(tmp_path, Judge(), tmp_path / "one.yaml", **kept).run(say=said.append)
    assert any(line.startswith("learning rate: ") for line in said)
    assert study.findings().scored.right.shape == (2, 8)
    assert "over 2 seeds and 8 held-out images" in study.sentences()[-1]
    assert study.results().latency.notna().all()
    size = re.compile(r"trained networks are kept in models/: about .* MB of weights each, 2\.\d MB in all")
    assert any(map(size.match, said))
    assert any("`scalenet cam " in line and "width_2x_seed0 IMAGE…`" in line for line in said)
    _look_at_models(study, tmp_path / "images")

    said.clear()
    (study.folder / "models" / "width_2x_seed0" / "model.safetensors").unlink()
    asked(tmp_path, Judge(), tmp_path / "one.yaml", **options, keep_models=True).run(say=said.append)
    assert any(re.match(r"no network is kept here of 1 training \(width_2x_seed0\), .*--force ", line) for line in said)

    next(study.folder.glob("jobs/*_seed1/answers-1.npy")).unlink()
    assert "on these images alone; which images 1 training of 4 got right is in another folder" in study.sentences()[-1]
    (study.folder / "latency.csv").write_text("network,seconds\nsmall_resnet,soon\n")
    with pytest.raises(ScalenetError, match=r"latency.csv: no table of latencies"):
        study.results()
    discard(study.folder, study.plan.networks)
    assert not [*study.folder.glob("models/*")]


def _look_at_models(study: scalenet.Study, images: Path) -> None:
    """Take the networks that a study kept as the folders of trainings that they are."""
    models = study.models()
    assert list(models) == ["small_resnet_seed0", "width_2x_seed0", "small_resnet_seed1", "width_2x_seed1"]
    assert sorted(one.name for one in study.folder.glob("models/*")) == sorted(models), "none of the pilot's"
    assert all(name in (study.folder / "report.html").read_text() for name in models)
    assert study.data()["models"] == [str(place) for place in models.values()]

    losses = study.jobs().set_index(["name", "seed"]).loss
    for seed in (0, 1):  # of which the first one drew the images that all are held against
        judged = scalenet.evaluate(models[f"width_2x_seed{seed}"], images, workers=0, say=None)
        assert judged.loss == pytest.approx(losses["width_2x", seed], rel=1e-5)
    two = [models["small_resnet_seed0"], models["width_2x_seed0"]]
    maps = scalenet.cam(two, sorted((images / "light").iterdir())[:2], say=None)
    assert [one.name for one in maps.models] == ["small_resnet", "width_2x"]
    scaled = scalenet.load(study.folder / "candidates" / "width_2x.yaml")
    assert cost(scalenet.load(two[1]).model).flops == cost(scaled.model).flops


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"study": "method"}, "unknown study 'method'.*did you mean 'methods'"),
        ({"study": "nowhere.yaml"}, "nowhere.yaml: .*scalenet studies"),
        ({"coefficients": {"alpha": 1.2}}, "the study two has no series|no coefficients"),
        ({"coefficients": FOUND}, "--coefficients: the study two has no series that takes them"),
        ({"study": "table7", "coefficients": {"alpha": 1.2}}, "no coefficients"),
        ({"time_limit": "10min", "epochs": None}, "--time-limit is for scalenet's own training"),
        ({"keep_models": True}, "--keep-models is for scalenet's own training"),
        ({"time_limit": "soon"}, "--time-limit: "),
        ({"name": "mine"}, "--name is the study's name in a --storage"),
        ({"seeds": 0}, "--seeds: 0 is not a whole number from 1 on"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_line(tmp_path, options, message):
    with pytest.raises(ScalenetError, match=message) as refused:
        asked(tmp_path, Judge(), **options).run(say=None)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_networks_that_see_more_than_the_images_have_are_refused_unless_asked_for(tmp_path):
    write_images(tmp_path / "images", {"dark": 90, "light": 160}, 12, size=16)
    study = load_study("single_dimension").changed(costs=(4,))
    options = {"evaluate": "train", "data": tmp_path / "images"}
    with pytest.raises(ScalenetError, match=r"resolution_4x sees 31 px, and the images of .* have 16 ") as refused:
        asked(tmp_path, Judge(), study, **options)
    (lower,) = re.findall(r"begin at --resolution (\d+), ", str(refused.value))
    asked(tmp_path, Judge(), study, **options | {"resolution": int(lower)})
    asked(tmp_path, Judge(), study, **options, upsample=True)


def test_a_time_limit_says_how_many_epochs_or_that_it_is_too_short(tmp_path):
    write_images(tmp_path / "images", {"dark": 90, "light": 160}, 12, size=16)
    options = {"evaluate": "train", "data": tmp_path / "images", "resolution": 16, "epochs": None, "workers": 1}
    with pytest.raises(ScalenetError, match=r"--time-limit 0\.001 s: one epoch of each network takes about"):
        asked(tmp_path, Judge(), **options, time_limit=0.001).run(say=None)
    said = asked(tmp_path, Judge(), **options, time_limit="3h").expected()
    assert said[0].startswith("3 h: ")
    assert "10 trainings, about" in said[-1]


def test_a_time_limit_that_holds_no_epoch_takes_fewer_images_and_a_run_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 1.0)
    write_images(tmp_path / "images", {"dark": 90, "light": 160}, 60, size=16)
    options = {"evaluate": "train", "data": tmp_path / "images", "epochs": None, "workers": 1, "learning_rate": 0.01}
    said: list[str] = []
    study = asked(tmp_path, Judge(), **options, seeds=1, time_limit=250.0).run(say=said.append)  # 540 s for all of them
    assert "42 of 108 images to train on, which is what the time holds: --images takes another number" in said
    assert (study.plan.images.train, study.plan.images.fitted, study.plan.budget) == (42, 42, 1)
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 0.01)  # all would fit now
    again = asked(tmp_path, Judge(), **options, seeds=1, time_limit=250.0).run(say=None)
    assert again.plan.images == study.plan.images
    with pytest.raises(ScalenetError, match="images differ"):
        asked(tmp_path, Judge(), **options, seeds=1, images=50, time_limit=250.0).run(say=None)
    monkeypatch.setattr("scalenet.search.speed.seconds_an_image", lambda *_, **__: 1.0)
    for few in ({"time_limit": 90.0}, {"time_limit": 250.0, "images": 100}):  # 15 are too few, and 100 too many
        with pytest.raises(ScalenetError, match="one epoch of each network takes about"):
            asked(tmp_path, Judge(), **options, seeds=1, **few, folder=tmp_path / "other").run(say=None)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("costs:", "cost:", "unknown key"),
        ("costs: [2, 4]\n", "", "a ray wants costs"),
        ("[2, 4]", "[2, 2]", "twice"),
        ("ray: depth", "ray: deep", "depth"),
        ("ray: depth", "ray: depth, shares: [1, 0, 0]", "one of them"),
        ("[2, 4]", "[2, 1.0e+15]", "1000000"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(tmp_path, before, after, message):
    file = tmp_path / "broken.yaml"
    file.write_text(STUDY.replace(before, after, 1))
    with pytest.raises(ConfigError, match=message) as refused:
        load_study(file)
    assert str(file) in str(refused.value)


def test_a_cost_that_no_network_has_is_refused():
    base = scalenet.scale(scalenet.load("efficientnet_b0"), resolution=0.2)
    depth = {"kind": "ray", "ray": "depth"}
    study = Definition(schema="scalenet-study/1", name="low", costs=(0.001,), series={"depth": depth})
    with pytest.raises(
        ScalenetError,
        match=r"depth at 0.001× the FLOPs: no network of efficientnet_b0.* costs that, the nearest 13.5 times",
    ):
        find_points(study, base, None)


def test_series_start_where_they_are_told_and_hold_networks_of_other_names(tmp_path):
    text = STUDY.replace("shares: [0, 1, 0]", "ray: width, start: [3, 1, 1]")
    (tmp_path / "mine.yaml").write_text(f"{text}  others: {{kind: networks, values: [resnet18, small_resnet]}}\n")
    base = load("small_resnet").at(16)
    found = find_points(load_study(tmp_path / "mine.yaml"), base, None)
    networks = {point.network: point.config.model for point in found.points}
    assert [stage.depth for stage in networks["width_start"].stages] == [3, 3, 6]
    assert networks["resnet18"].head.classes == base.model.head.classes
    assert (networks["small_resnet"].size, networks["others_small_resnet"].size) == ((16, 16), (22, 22))


def test_a_study_of_found_coefficients_alone_asks_for_them(tmp_path):
    text = STUDY.replace("ray: depth", "ray: found").replace("shares: [0, 1, 0]", "ray: found")
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(ScalenetError, match=r"a series wants found coefficients \(--coefficients"):
        asked(tmp_path, Judge(), tmp_path / "one.yaml")
