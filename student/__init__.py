"""Distil the teacher's soft targets into a MobileViT: `python -m student --run runs/x`. Works on folders only."""
