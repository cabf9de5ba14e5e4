"""ONNX: writer, reader, quantiser."""
