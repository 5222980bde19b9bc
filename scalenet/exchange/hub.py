"""What the files of Hugging Face's folders may hold: records of the keys that are read, others are left alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field

from scalenet.arch.records import Record, as_tuple

Side: TypeAlias = Annotated[int, Field(ge=1, le=10_000)]
Width: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]
Widths: TypeAlias = Annotated[tuple[Width, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=100)]
Depth: TypeAlias = Annotated[int, Field(ge=1, le=1_000)]
Depths: TypeAlias = Annotated[tuple[Depth, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=100)]
Numbers: TypeAlias = Annotated[tuple[Annotated[int, Field(ge=0, le=1_000)], ...], BeforeValidator(as_tuple)]
Times: TypeAlias = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Eps: TypeAlias = Annotated[float, Field(gt=0, le=1)]
Mean: TypeAlias = Annotated[float, Field(ge=-1_000, le=1_000)]
Means: TypeAlias = Annotated[tuple[Mean, Mean, Mean], BeforeValidator(as_tuple)]
Deviation: TypeAlias = Annotated[float, Field(gt=0, le=1_000)]
Deviations: TypeAlias = Annotated[tuple[Deviation, Deviation, Deviation], BeforeValidator(as_tuple)]


class Read(Record):
    """A record that leaves keys alone that it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class HubConfig(Read):
    """What every config of transformers says."""

    model_type: str
    num_channels: Width = 3
    hidden_act: str | None = None
    id2label: dict[str, str] | None = None
    image_size: Side | list[Any] | None = None
    quantization_config: Any = None
    name_or_path: str | None = Field(None, alias="_name_or_path")


class ResNet(Read):
    """ResNet, by its outer widths."""

    embedding_size: Width = 64
    hidden_sizes: Widths = (256, 512, 1024, 2048)
    depths: Depths = (3, 4, 6, 3)
    layer_type: Literal["basic", "bottleneck"] = "bottleneck"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False


class RegNet(Read):
    """RegNet, of which all stages have groups of the same width."""

    embedding_size: Width = 32
    hidden_sizes: Widths = (128, 192, 512, 1088)
    depths: Depths = (2, 6, 12, 2)
    groups_width: Width = 64
    layer_type: Literal["x", "y"] = "y"
    downsample_in_first_stage: bool = True


class ConvNext(Read):
    """ConvNeXt; the eps is that of the last normalisation alone."""

    patch_size: Side = 4
    hidden_sizes: Widths = (96, 192, 384, 768)
    depths: Depths = (3, 3, 9, 3)
    layer_norm_eps: Eps = 1e-12
    layer_scale_init_value: Annotated[float, Field(ge=0, le=1)] = 1e-6


class MobileNetV1(Read):
    """MobileNetV1, whose `depth_multiplier` is one of width."""

    depth_multiplier: Times = 1.0
    min_depth: Width = 8
    layer_norm_eps: Eps = 0.001
    tf_padding: bool = True


class MobileNetV2(Read):
    """MobileNetV2, whose `depth_multiplier` is one of width; other kinds of it are not known here."""

    depth_multiplier: Times = 1.0
    depth_divisible_by: Width = 8
    finegrained_output: bool = True
    layer_norm_eps: Eps = 0.001
    tf_padding: bool = True
    first_layer_is_expansion: Literal[True] = True
    output_stride: Literal[32] = 32
    expand_ratio: Annotated[float, Field(ge=6, le=6)] = 6.0


class EfficientNet(Read):
    """EfficientNet; the defaults are those of B7, as there."""

    image_size: Side = 600
    width_coefficient: Times = 2.0
    depth_coefficient: Times = 3.1
    depth_divisor: Width = 8
    kernel_sizes: Depths = (3, 3, 5, 3, 5, 5, 3)
    out_channels: Widths = (16, 24, 40, 80, 112, 192, 320)
    depthwise_padding: Numbers = ()
    strides: Depths = (1, 2, 2, 2, 1, 2, 1)
    num_block_repeats: Depths = (1, 2, 2, 3, 3, 4, 1)
    expand_ratios: Annotated[tuple[Times, ...], BeforeValidator(as_tuple)] = (1, 6, 6, 6, 6, 6, 6)
    squeeze_expansion_ratio: Share = 0.25
    batch_norm_eps: Eps = 0.001


class Sides(Read):
    """A size by its shorter side, or by both."""

    shortest_edge: Side | None = None
    height: Side | None = None

    @property
    def side(self) -> int | None:
        """The side in pixels."""
        return self.shortest_edge or self.height


class Processor(Read):
    """What becomes of images, `preprocessor_config.json`."""

    image_processor_type: str = ""
    size: Sides | Side | None = None
    crop_size: Sides | Side | None = None
    do_center_crop: bool = True
    crop_pct: Share | None = None
    resample: int | str | None = None
    include_top: bool = False
    image_mean: Means | None = None
    image_std: Deviations | None = None


class TimmPretrained(Read):
    """What timm says of weights, `pretrained_cfg`."""

    tag: str | None = None
    input_size: Annotated[tuple[int, Side, Side], BeforeValidator(as_tuple)] | None = None
    test_input_size: Annotated[tuple[int, Side, Side], BeforeValidator(as_tuple)] | None = None
    crop_pct: Share | None = None
    test_crop_pct: Share | None = None
    interpolation: str = "bicubic"
    mean: Means | None = None
    std: Deviations | None = None
    label_names: list[Any] | None = None


class TimmConfig(Read):
    """What timm's folders say, `config.json`."""

    architecture: str
    model_args: dict[str, Any] | None = None
    label_names: list[Any] | None = None
    pretrained_cfg: TimmPretrained = TimmPretrained()
