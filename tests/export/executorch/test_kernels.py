"""What a program needs of a phone: the list of kernels, and what is not on it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.executorch import kernels, to_executorch
from pocketmood.errors import ExportError


class Spectrum(nn.Module):
    """Asks for a Fourier transform, which XNNPACK does not take: [1, 4] to two outputs of [1, 2]."""

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        parts = torch.view_as_real(torch.fft.rfft(waveform))  # [1, 3, 2]
        return parts[:, 0], parts[:, 1]


def test_the_list_has_common_kernels_and_lacks_those_of_some_builds() -> None:
    portable = kernels.portable()
    assert {"aten::add.out", "aten::bmm.out", "dim_order_ops::_to_dim_order_copy.out"} <= portable
    assert not {"aten::_fft_r2c.out", "aten::linear.out"} & portable
    assert len(portable) > 200


@pytest.mark.slow
def test_the_list_is_what_the_runtime_registers() -> None:
    from executorch.extension.pybindings import portable_lib

    registered = set(portable_lib._get_operator_names())
    assert kernels.portable() <= registered
    # Core operators are in no list of kernels; the optimised kernels add just these.
    beyond = {name for name in registered - kernels.portable() if not name.startswith(kernels.CORE_PREFIX)}
    assert beyond - kernels.CORE == {"aten::_fft_r2c.out", "aten::_fft_c2r.out", "aten::linear.out"}


def test_a_made_up_operator_and_a_foreign_delegate_are_found() -> None:
    known = frozenset({"aten::add.out"})
    needed = ["aten::add.out", "aten::sym_size.int", "executorch_prim::mul.Scalar", "pocket::mood.out"]
    assert kernels.unknown(needed, ["XnnpackBackend", "MoodBackend"], known) == ["pocket::mood.out", "MoodBackend"]
    assert kernels.unknown(needed[:3], ["XnnpackBackend"], known) == []


@pytest.mark.slow
def test_a_fourier_transform_is_seen_in_the_program(tmp_path: Path) -> None:
    to_executorch.write(Spectrum().eval(), (1, 4), tmp_path / "fft.pte", {"schema": 1})
    found = kernels.operators(tmp_path / "fft.pte")
    assert "aten::_fft_r2c.out" in found and "aten::view_as_real_copy.out" in found
    assert kernels.unknown(found, [], kernels.portable()) == ["aten::_fft_r2c.out"]


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pte").write_text("garbage")
    with pytest.raises(ExportError, match=r"x\.pte: no ExecuTorch program"):
        kernels.operators(tmp_path / "x.pte")
