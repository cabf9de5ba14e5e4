"""ExecuTorch: writer, reader, kernels, and the proof on ARM64."""
