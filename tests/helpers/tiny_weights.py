"""Folders of pretrained weights, as `save_pretrained` makes them, of networks small enough for a test."""

from __future__ import annotations

from pathlib import Path

import torch

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def write_weights(folder: Path, size: str, seed: int = 1) -> Path:
    """Write a ViT on 32 x 32 pictures ("base"), or an AST on 128 bands and 64 frames ("ast-base"), of 2 layers."""
    from transformers import ASTConfig, ASTModel, ViTConfig, ViTModel

    torch.manual_seed(seed)
    if size == "base":
        model = ViTModel(ViTConfig(**SHAPE, image_size=32, patch_size=8), add_pooling_layer=False)
    else:
        model = ASTModel(ASTConfig(**SHAPE, max_length=64, num_mel_bins=128))
        with torch.no_grad():  # transformers begins with zeros, which could not tell one token from another
            for name in ("cls_token", "distillation_token", "position_embeddings"):
                getattr(model.embeddings, name).normal_()
    model.save_pretrained(folder)
    return folder
