"""A third party's block and baseline: EfficientNetV2-B0 with its fused inverted bottleneck."""
