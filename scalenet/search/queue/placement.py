"""Which device each worker of this machine has.

scalenet's own training takes a device's name. Evaluators that find a GPU by themselves are shown one GPU only.
"""

from __future__ import annotations

import os
import re
from itertools import cycle, islice

from scalenet.arch.errors import ScalenetError


def devices(device: str, workers: int) -> list[str]:
    """Return each worker's device, in turns: `cuda` is every GPU of this machine, `cuda:0,cuda:2` are these two.

    Raise ScalenetError for what is no device, and for `cuda` where there is no GPU.
    """
    named = [one for word in device.split(",") for one in _named(word.strip())]
    return list(islice(cycle(named), workers))


def environments(device: str, workers: int) -> list[dict[str, str]]:
    """Return what each worker's environment has beside this one's, so that its programs see its GPU as the only one.

    A worker on the CPU sees all GPUs. Raise ScalenetError as `devices`, and for a GPU that is not among the visible.
    """
    return [_visible(one) for one in devices(device, workers)]


def _named(word: str) -> list[str]:
    if not re.fullmatch(r"[a-z]+(:\d+)?", word):
        raise ScalenetError(f"{word!r} is no device", hint="write cpu, cuda, cuda:1 or cuda:0,cuda:2")
    if word != "cuda":
        return [word]
    import torch  # noqa: PLC0415 - slow to import

    found = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if not found:
        raise ScalenetError("device 'cuda' cannot be used here", hint="--device cpu works everywhere")
    return found


def _visible(device: str) -> dict[str, str]:
    """Return the CUDA_VISIBLE_DEVICES of one GPU; where a cluster has set it, numbers count in its list."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return {}
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return {"CUDA_VISIBLE_DEVICES": number}
    shown = [name for name in listed.split(",") if name]
    if int(number) >= len(shown):
        raise ScalenetError(f"device {device!r} cannot be used here: CUDA_VISIBLE_DEVICES is {listed!r}")
    return {"CUDA_VISIBLE_DEVICES": shown[int(number)]}
