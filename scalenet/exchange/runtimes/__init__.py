"""Networks leave for runtimes that know neither scalenet nor PyTorch's modules: ONNX, torch.export, int8."""
