"""What docs/weights.md shows works as it is shown, with weights and photographs that are made up."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import torch
from elsewhere import CLASSES, drawn, named
from noisy_images import write_images
from scalenet_cli.main import app
from typer.testing import CliRunner

import scalenet

PAGE = (Path(__file__).parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")


def test_the_commands_run_one_after_another(tmp_path: Path) -> None:
    network, model = drawn(scalenet.build("mobilenet_v3_small")), scalenet.load("mobilenet_v3_small").model
    torch.save(named(network, model, "torchvision"), tmp_path / "mobilenet_v3_small-047dcff4.pth")
    write_images(tmp_path / "photos", dict.fromkeys(CLASSES, 90), 2, size=64)
    write_images(tmp_path / "flowers", {"rose": 60, "lily": 180}, 4, size=64)
    lines = re.findall(r"^\$ scalenet (.*)$", PAGE, flags=re.MULTILINE)
    assert len(lines) >= 6
    with contextlib.chdir(tmp_path):
        for line in lines:
            words = shlex.split(line.replace("--epochs 20", "--epochs 1 --resolution 32 --batch-size 2"))
            done = CliRunner().invoke(app, words + (["--workers", "0"] if words[0] in ("train", "evaluate") else []))
            assert done.exit_code == 0, f"{line}: {done.output}"
        for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            exec(code, {"__name__": "__main__"})
    assert (tmp_path / "runs" / "flowers" / "MODEL_CARD.md").is_file()
    assert (tmp_path / "exported" / "network.py").is_file()
