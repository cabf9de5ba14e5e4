"""Distil the teacher's soft targets into a MobileViT: `python -m student --run runs/x`. Reads and writes folders only."""
