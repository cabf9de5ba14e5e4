"""Distil the teacher's answers into a MobileViT: `python -m student --run runs/x`. Reads and writes folders only."""
