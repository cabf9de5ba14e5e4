"""Imported once by the fork server of the export stage, so that its processes need not import it again."""

import executorch.exir
import onnxruntime
import timm
import torch.onnx

__all__ = ["executorch", "onnxruntime", "timm", "torch"]
