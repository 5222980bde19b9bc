"""Count 120 networks of timm and torchvision at their default sizes, against torch's own counter on the meta device.

    OMP_NUM_THREADS=1 nice python benchmarks/counting.py [PATTERN …]

It needs timm==1.0.31 and torchvision==0.28.0, installed with `--no-deps`: a requirement of this benchmark alone, never
of scalenet. torchvision's wheel wants operators that the CPU build of torch cannot load; it imports once two schemas
are there. Each row is a network: its FLOPs (multiply-adds), the processor's seconds of `scalenet.measure`, and whether
torch's counter gives the same; a refusal is told with its reason. Exit code 1 if fewer than 118 are counted and equal.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

import scalenet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

TIMM = """
    beit_base_patch16_224 botnet26t_256 caformer_s18 cait_xxs24_224 coat_tiny coatnet_0_rw_224 convformer_s18
    convit_tiny convmixer_768_32 convnext_tiny convnextv2_atto crossvit_tiny_240 cs3darknet_m cspresnet50
    darknet53 davit_tiny deit3_small_patch16_224 deit_tiny_patch16_224 densenet121 dla34 dm_nfnet_f0 dpn68
    eca_halonext26ts edgenext_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 efficientnetv2_rw_s
    efficientvit_b0 efficientvit_m0 eva02_tiny_patch14_224 fastvit_t8 fasternet_t0 fbnetc_100 focalnet_tiny_srf
    gcresnet33ts gcvit_xxtiny gernet_s ghostnet_100 ghostnetv2_100 halonet26t hardcorenas_a hgnet_tiny
    hgnetv2_b0 hiera_tiny_224 hrnet_w18_small inception_next_tiny inception_resnet_v2 inception_v3 inception_v4
    lambda_resnet26t lcnet_050 legacy_senet154 levit_128s mambaout_femto maxvit_tiny_rw_224
    maxxvit_rmlp_nano_rw_256 mixer_s32_224 mixnet_s mnasnet_100 mobilenetv3_small_100 mobilenetv4_conv_small
    mobileone_s0 mobilevit_xxs mobilevitv2_050 mvitv2_tiny nasnetalarge nest_tiny nextvit_small nf_resnet50
    pit_ti_224 poolformer_s12 pvt_v2_b0 regnetx_002 regnety_002 regnetz_b16 repghostnet_050 repvgg_a0
    repvit_m0_9 res2net50_26w_4s resmlp_12_224 resnest14d resnet50 resnetv2_50 resnext50_32x4d rexnet_100
    sebotnet33ts_256 sequencer2d_s shvit_s1 skresnet18 starnet_s1 swin_tiny_patch4_window7_224
    swinv2_tiny_window8_256 tiny_vit_5m_224 tinynet_a tnt_s_patch16_224 tresnet_m twins_svt_small vgg11_bn
    vit_base_patch16_224 vit_base_patch16_siglip_224 vit_tiny_patch16_224 vitamin_small_224 volo_d1_224
    vovnet39a xception41 xcit_nano_12_p16_224
"""
TORCHVISION = """
    alexnet convnext_tiny densenet121 googlenet inception_v3 maxvit_t mnasnet0_5 mobilenet_v2 mobilenet_v3_small
    shufflenet_v2_x1_0 squeezenet1_0 swin_t vit_b_16
"""
_SIZES = {"inception_v3": 299, "googlenet": 224}
LEAST = 118


@dataclass(frozen=True, slots=True)
class Row:
    """One network: what scalenet counted or why it refused, its seconds, and torch's own count."""

    name: str
    size: str
    flops: int | None
    reason: str
    seconds: float
    expected: int

    @property
    def equal(self) -> bool:
        """Whether both counters say the same."""
        return self.flops == self.expected

    def __str__(self) -> str:
        found = f"{self.flops:,}" if self.flops is not None else "refused"
        verdict = "equal" if self.equal else self.reason or f"torch {self.expected:,}"
        return f"{self.name:42} {self.size:>12} {found:>16} {self.seconds:6.2f} s  {verdict}"


def load_torchvision() -> None:
    """Make torchvision importable beside the CPU build of torch."""
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def make(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a network of `timm/NAME` or `torchvision/NAME` with fresh weights, and its default input size."""
    origin, _, plain = name.partition("/")
    torch.manual_seed(0)
    if origin == "timm":
        module = import_module("timm").create_model(plain)
        return module, (1, *module.default_cfg["input_size"])
    extra = {"init_weights": False} if plain in ("googlenet", "inception_v3") else {}
    size = _SIZES.get(plain, 224)
    return import_module("torchvision.models").get_model(plain, weights=None, **extra), (1, 3, size, size)


def count(name: str) -> Row:
    """Count one network with both counters."""
    module, shape = make(name)
    module.eval()
    images = torch.zeros(shape)
    start = time.process_time()
    flops, reason = None, ""
    try:
        flops = scalenet.measure(module, images).flops
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    module.requires_grad_(False).to("meta")
    with FlopCounterMode(display=False) as counter:
        module(images.to("meta"))
    return Row(name, "x".join(map(str, shape)), flops, reason, seconds, counter.get_total_flops() // 2)


def main(patterns: Iterable[str]) -> int:
    """Print a row for each network whose name matches a pattern, all without one, and what they come to."""
    warnings.simplefilter("ignore")
    load_torchvision()
    names = [*(f"timm/{name}" for name in TIMM.split()), *(f"torchvision/{name}" for name in TORCHVISION.split())]
    chosen = [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]
    rows = []
    for name in chosen:
        rows.append(count(name))
        print(rows[-1], flush=True)
    equal = sum(row.equal for row in rows)
    seconds = [row.seconds for row in rows]
    print(f"{equal} of {len(rows)} counted and equal; {sum(seconds):.0f} s in all, {median(seconds):.2f} in the median")
    return 0 if patterns or equal >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
