"""Which arithmetic a device is given."""

from __future__ import annotations

import pytest
import torch

from pocketmood.training.device import choose_precision, default_device


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_that_only_emulates_bf16_is_given_fp16(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert choose_precision("auto") == expected
    assert choose_precision("fp32") == "no" and choose_precision("bf16") == "bf16"


def test_a_cpu_computes_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device().type == "cpu" and choose_precision("auto") == "no"
