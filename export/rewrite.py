"""Function-preserving rewrites, chosen per runtime: what makes XNNPACK fast makes ONNX Runtime slow.

Measured on mobilevit_s, 30 s in, one machine: the stock network becomes 49 XNNPACK subgraphs and 44 ms, the rewritten
one a single subgraph and 24 ms; ONNX Runtime needs 21 ms for the stock network and 32 ms for the rewritten one. Each
rewrite changes the prediction by rounding only (a test holds them to 1e-5).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode

from export.pipeline import Pipeline
from pocketmood.mel import MelFrontEnd, centred, log_mel, weigh


class FoldedAttention(nn.Module):
    """Self-attention with the heads folded into the batch: XNNPACK takes 3-D products and leaves out 4-D ones.

    The scale of the products lies in the weights that make the queries.
    """

    def __init__(self, attention: Any) -> None:
        """Take over the weights of a timm Attention."""
        super().__init__()
        self.heads, self.width = int(attention.num_heads), int(attention.head_dim)
        self.qkv: nn.Linear = attention.qkv
        _scale_outputs(self.qkv, slice(0, self.heads * self.width), float(attention.scale))
        self.proj: nn.Linear = attention.proj

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor:
        """Attend [B, N, C] -> [B, N, C]; slices stand where timm splits, because XNNPACK does not take `split`."""
        b, n, c = x.shape
        h, d = self.heads, self.width
        qkv = self.qkv(x).reshape(b, n, 3 * h, d).permute(2, 0, 1, 3)  # [3 H, B, N, D]
        q, k, v = (qkv[i * h : (i + 1) * h].reshape(h * b, n, d) for i in range(3))
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1)
        mixed: Tensor = self.proj(torch.bmm(weights, v).reshape(h, b, n, d).permute(1, 2, 0, 3).reshape(b, n, c))
        return mixed


class AveragingLayerNorm(nn.Module):
    """LayerNorm whose mean and mean square are products with 1/C: XNNPACK has neither LayerNorm nor such means.

    Each is a layer with one output, which the arithmetic around it broadcasts; epsilon is the second one's bias. (As
    products with full C x C matrices, which need no broadcasting, they made a third of a transformer's arithmetic, and
    mobilevit_s 13 % slower.)
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        """Take over the affine part, if there is one; make the two averages."""
        super().__init__()
        c = math.prod(norm.normalized_shape)
        self.mean, self.mean_square = nn.Linear(c, 1, bias=False), nn.Linear(c, 1)
        for average in (self.mean, self.mean_square):
            average.weight.data.fill_(1 / c)
        self.mean_square.bias.data.fill_(norm.eps)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        centred = x - self.mean(x)
        normal: Tensor = centred * torch.rsqrt(self.mean_square(centred * centred))
        return normal if self.weight is None else normal * self.weight + self.bias


class FlatFrontEnd(nn.Module):
    """The front end for one clip at a fixed length, in 2-D products only.

    A 3-D times 2-D product becomes `expand` in an exported program, and a slice over the full length becomes `alias`:
    XNNPACK takes neither, and both cut the program in two.
    """

    def __init__(self, front: MelFrontEnd) -> None:
        """Take over the constants, those of products as layers."""
        super().__init__()
        self.spec, self.frames, self.step = front.spec, front.frame_count(front.spec.samples), front.step_samples
        self.first, self.columns = _product(front.first), front.bank.columns
        self.filters = nn.ModuleList(_product(filters) for filters in front.bank.filters)
        self.window: Tensor
        self.second: Tensor
        self.register_buffer("window", front.window)
        self.register_buffer("second", front.second)

    def forward(self, wave: Tensor) -> Tensor:
        """Map [1, S] to [1, 1, M, T]."""
        n_fft = self.spec.n_fft
        rows = centred(wave, self.spec, self.frames * self.step).reshape(self.frames, self.step)
        x = (rows if self.step == n_fft else rows[:, :n_fft]) * self.window
        level = log_mel(x, self.spec, self._first_stage, self.second, self._bank)  # [T, M]
        return level.permute(1, 0).reshape(1, 1, self.spec.bands, self.frames)

    def _first_stage(self, columns: Tensor) -> Tensor:
        """Multiply [T, N2, N1] in two dimensions: [T N2, 2 K1]."""
        product: Tensor = self.first(columns.reshape(-1, columns.shape[-1]))
        return product

    def _bank(self, power: Tensor) -> Tensor:
        """Weigh powers of bins [K1, T, N2] to [T, M]."""
        return weigh(power, self.columns, list(self.filters))


class _XnnpackFunctions(TorchFunctionMode):
    """Write softplus as relu(x) + log(1 + exp(-|x|)) and leave out `detach`.

    torch's own softplus leaves three portable operators at the end, and `detach` becomes `alias`, which cuts it in two.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is nn.functional.softplus and len(args) == 1 and not kwargs:
            # 1.0, because an integer becomes a constant that is cast outside of the delegate
            return torch.relu(args[0]) + torch.log(torch.exp(-torch.abs(args[0])) + 1.0)
        if func is Tensor.detach:
            return args[0]
        return func(*args, **(kwargs or {}))


class XnnpackPipeline(Pipeline):
    """A pipeline whose functions, too, are written in operators that XNNPACK takes."""

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Predict one clip."""
        with _XnnpackFunctions():
            return super().forward(waveform)


def fold_batch_norm(module: nn.Module) -> None:
    """Multiply each batch norm into the convolution before it; timm keeps the activation inside of its batch norm."""
    conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
    if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        module.conv, module.bn = fuse_conv_bn_eval(conv, norm), getattr(norm, "act", nn.Identity())
    for child in module.children():
        fold_batch_norm(child)


def fold_attention(module: nn.Module) -> None:
    """Replace every timm Attention."""
    for name, child in module.named_children():
        if type(child).__name__ == "Attention":
            setattr(module, name, FoldedAttention(child))
        else:
            fold_attention(child)


def fold_scales_of_norms(module: nn.Module) -> None:
    """Move scale and shift of a transformer block's norms into the layers that read them: two products less per norm.

    W (g x + b) + c = (W g) x + (W b + c).
    """
    blocks: list[Any] = [block for block in module.modules() if type(block).__name__ == "Block"]
    for block in blocks:
        _move_affine(block.norm1, block.attn.qkv)
        _move_affine(block.norm2, block.mlp.fc1)


def average_layer_norm(module: nn.Module) -> None:
    """Replace every LayerNorm."""
    for name, child in module.named_children():
        if isinstance(child, nn.LayerNorm):
            setattr(module, name, AveragingLayerNorm(child))
        else:
            average_layer_norm(child)


def _move_affine(norm: nn.LayerNorm, reader: nn.Linear) -> None:
    """Let a layer do the scaling and shifting of the norm before it, whose scale becomes 1 and shift 0."""
    with torch.no_grad():
        # The shift of the norm needs a bias to move into.
        if reader.bias is None:
            reader.bias = nn.Parameter(torch.zeros(reader.out_features))
        reader.bias.add_(reader.weight @ norm.bias)
        reader.weight.mul_(norm.weight)
    norm.weight, norm.bias = None, None  # type: ignore[assignment]


def _scale_outputs(layer: nn.Linear, rows: slice, factor: float) -> None:
    """Multiply some of a layer's outputs by a number."""
    with torch.no_grad():
        # The bias, too: the factor applies to the sum.
        for part in (layer.weight, layer.bias):
            if part is not None:
                part[rows].mul_(factor)


def _product(matrix: Tensor) -> nn.Linear:
    """Return x -> x @ matrix as a layer, because XNNPACK packs the weights of layers when it loads them."""
    layer = nn.Linear(matrix.shape[0], matrix.shape[1], bias=False)
    layer.weight.data = matrix.T.contiguous()
    return layer


def for_xnnpack(pipeline: Pipeline) -> Pipeline:
    """Return a copy that XNNPACK takes whole."""
    copied = copy.deepcopy(pipeline)
    # Scales leave the norms before these are replaced by modules that nobody looks for.
    fold_batch_norm(copied.network)
    fold_scales_of_norms(copied.network)
    fold_attention(copied.network)
    average_layer_norm(copied.network)
    if isinstance(copied.front, MelFrontEnd) and copied.front.step_samples >= copied.spec.n_fft:
        copied.front = FlatFrontEnd(copied.front)
    return _frozen(XnnpackPipeline(copied.front, copied.network, copied.spec))


def for_onnx(pipeline: Pipeline) -> Pipeline:
    """Return a copy for ONNX Runtime, which fuses attention and LayerNorm itself: only the batch norms are folded."""
    copied = copy.deepcopy(pipeline)
    fold_batch_norm(copied.network)
    return _frozen(copied)


def for_coreml(pipeline: Pipeline) -> Pipeline:
    """Return a copy for CoreML, which has LayerNorm, in fixed shapes that leave no `alias` in the program."""
    copied = for_onnx(pipeline)
    if isinstance(copied.front, MelFrontEnd) and copied.front.step_samples >= copied.spec.n_fft:
        copied.front = FlatFrontEnd(copied.front)
    return copied


def _frozen(pipeline: Pipeline) -> Pipeline:
    for parameter in pipeline.parameters():
        parameter.requires_grad_(False)
    return pipeline.eval()
