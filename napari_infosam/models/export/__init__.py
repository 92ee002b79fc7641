"""How a model leaves the program: ONNX, safetensors, or a state dict."""
