"""Sensitivity to int8 by group of operators: a network whose roundings can be switched on and off one by one.

The graph is the one that `quantise` makes, prepared and calibrated by the same libraries; but each observer becomes a
`Rounding`, and the values that came out while all of them were off are kept. A group's row is then had by switching on
its own roundings and computing again only what lies behind them. Nothing is lowered, and the front end is not run:
spectrograms are computed once.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from tqdm import tqdm

from export.int8.quantise import FLOAT_PATHS, HEADS, group_of, operator, quantiser
from export.parity import OUTPUTS, Outputs, sqnr_db
from export.pipeline import Pipeline
from export.rewrite import XnnpackPipeline
from pocketmood.errors import ExportError
from pocketmood.metrics import score

BATCH = 8
"""Clips that pass together: all values between operators are kept, 8 MB per clip for mobilevit_xxs."""
BYTES_SAVED = 3
"""Per weight: four bytes become one."""


class Row(NamedTuple):
    """What int8 costs and saves when one group alone is quantised."""

    group: str
    operators: int
    bytes_saved: int
    """Of the file."""
    multiply_adds: int
    """Per clip, in int8 instead of float."""
    emotion_max_error: float
    emotion_rms_error: float
    emotion_sqnr_db: float
    ccc_drop: float
    """Of the mean CCC on the validation clips."""


class Rounding(nn.Module):
    """Rounds to the int8 steps that an observer found, while it is on."""

    def __init__(self, observer: Any) -> None:
        """Take the observer's range; one scale per channel if it has several."""
        super().__init__()
        self.on = False
        scale, zero_point = observer.calculate_qparams()
        low, high = int(observer.quant_min), int(observer.quant_max)
        shift = 0 if scale.numel() > 1 else int(zero_point)  # the steps of weights are symmetric
        self.scale, self.low, self.high = scale.float(), low - shift, high - shift

    def forward(self, x: Tensor) -> Tensor:
        """Round, or return the tensor itself."""
        if not self.on:
            return x
        # torch's own fake_quantize, a scalar loop with a mask, took two thirds of the time
        scale = self.scale.reshape(-1, *[1] * (x.ndim - 1)) if len(self.scale) > 1 else self.scale
        return x.div(scale).round_().clamp_(self.low, self.high).mul_(scale)


class Group(NamedTuple):
    """The operators that are quantised together."""

    operators: int
    roundings: frozenset[str]
    """Targets in the graph: inputs, weights and outputs of the group's operators."""
    weights: int
    multiply_adds: int
    may_ship: bool
    """False for the heads, which are measured and stay float."""


class Roundable:
    """A fake-quantised network whose groups can be rounded one by one; it predicts spectrograms, batch by batch."""

    def __init__(self, pipeline: Pipeline, calibration: Tensor) -> None:
        """Prepare the network of a pipeline (see `rewrite.for_xnnpack`); calibration: spectrograms [N, 1, M, T]."""
        if not len(calibration):
            raise ExportError("int8 needs at least one training clip to calibrate on; the ranges of noise mean nothing")
        self.graph = _observed(pipeline, calibration)
        self.groups = _groups(self.graph)
        _switchable(self.graph)

    def predict(self, mels: Tensor, groups: Collection[str]) -> Outputs:
        """Predict spectrograms with these groups rounded: [N, 4], valence, arousal, and the interval68 of each."""
        self._switch(groups)
        with torch.inference_mode():
            return _joined([self.graph(batch) for batch in mels.split(BATCH)])

    def one_by_one(self, mels: Tensor) -> tuple[Outputs, dict[str, Outputs]]:
        """Predict in float, and with each group alone rounded, sharing all that lies before the group."""
        plain: list[Any] = []
        rounded: dict[str, list[Any]] = {name: [] for name in self.groups}
        with torch.inference_mode():
            for batch in tqdm(mels.split(BATCH), "  int8 sensitivity", unit="batch", leave=False):
                # All values of the float run are kept: a group's run starts from them where the group begins.
                self._switch(())
                kept = _Replay(self.graph, {}, frozenset())
                plain.append(kept.run(batch))
                for name, group in self.groups.items():
                    self._switch([name])
                    rounded[name].append(_Replay(self.graph, kept.env, group.roundings).run(batch))
        return _joined(plain), {name: _joined(parts) for name, parts in rounded.items()}

    def _switch(self, groups: Collection[str]) -> None:
        on = frozenset().union(*(self.groups[name].roundings for name in groups))
        # A rounding that stands at several places of the graph has several names, which are all looked at.
        for name, module in self.graph.named_modules(remove_duplicate=False):
            if isinstance(module, Rounding):
                module.on = name in on


def measure(network: Roundable, mels: Tensor, labels: NDArray[Any]) -> list[Row]:
    """Return a row per group, the costliest first; mels: validation spectrograms, labels: their ratings [N, 2]."""
    emotion = OUTPUTS["emotion"]
    plain, rounded = network.one_by_one(mels)
    wanted = score(plain[:, emotion], labels)["ccc_mean"]
    rows = []
    for name, found in rounded.items():
        group, error = network.groups[name], found[:, emotion].astype(np.float64) - plain[:, emotion]
        rows.append(
            Row(
                name,
                group.operators,
                BYTES_SAVED * group.weights,
                group.multiply_adds,
                float(np.abs(error).max()),
                float(np.sqrt((error**2).mean())),
                sqnr_db(found[:, emotion], plain[:, emotion]),
                wanted - score(found[:, emotion], labels)["ccc_mean"],
            )
        )
    return sorted(rows, key=lambda row: row.emotion_rms_error, reverse=True)


def table(rows: Sequence[Row], left: Collection[str]) -> str:
    """Lay the rows out for people; left: groups that stay float."""
    wide = max(len(row.group) for row in rows)
    lines = [f"  {'only this in int8':{wide}}  max error  SQNR dB  CCC drop  kB saved  Mmac  computes in"]
    lines += [
        f"  {row.group:{wide}}  {row.emotion_max_error:9.1e}  {row.emotion_sqnr_db:7.1f}  {row.ccc_drop:+8.4f}  "
        f"{row.bytes_saved / 1e3:8.1f}  {row.multiply_adds / 1e6:4.1f}  {'float' if row.group in left else 'int8'}"
        for row in rows
    ]
    return "\n".join(lines)


class _Replay(fx.Interpreter):
    """An interpreter of a graph that takes from an earlier run what lies before the first rounding that is on."""

    def __init__(self, graph: fx.GraphModule, kept: dict[fx.Node, Any], on: frozenset[str]) -> None:
        # Values must outlive their last reader here, because the next group's run reads them.
        super().__init__(graph, garbage_collect_values=False)
        self.kept, self.on, self.fresh = kept, on, set[fx.Node]()

    def run_node(self, n: fx.Node) -> Any:
        changed = not self.kept or n.target in self.on or any(source in self.fresh for source in n.all_input_nodes)
        if not changed:
            return self.kept[n]
        self.fresh.add(n)
        return super().run_node(n)


def _observed(pipeline: Pipeline, calibration: Tensor) -> fx.GraphModule:
    """Export the network alone, for any number of clips, with observers that have seen the calibration clips."""
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    alone = XnnpackPipeline(nn.Identity(), copy.deepcopy(pipeline.network), pipeline.spec).eval()
    # Two clips and not one: torch.export takes a size of 1 for a constant, whatever is said to be dynamic.
    some = torch.zeros(2, *calibration.shape[1:])
    dynamic = {"waveform": {0: torch.export.Dim("clips", min=1, max=BATCH)}}
    exported = torch.export.export(alone, (some,), dynamic_shapes=dynamic).module()
    # The heads are measured, too, although they never ship in int8: the table shows why.
    heads_too = [path for path in FLOAT_PATHS if path not in HEADS]
    prepared: fx.GraphModule = prepare_pt2e(exported, quantiser(floats=heads_too))
    with torch.inference_mode():
        for batch in calibration.split(BATCH):
            prepared(batch)
    return prepared


def _groups(graph: fx.GraphModule) -> dict[str, Group]:
    """Sort observed operators into their groups."""
    found: dict[str, Group] = {}
    for node in graph.graph.nodes:
        name = group_of(node)
        around = [neighbour for neighbour in (*node.all_input_nodes, *node.users) if _is_observer(neighbour)]
        # A LayerNorm's products, which stay float, may read a rounded value, but their weights are not observed.
        if name is None or not all(source in around for source in node.all_input_nodes[:2]):
            continue
        weights, products = _size(graph, node)
        ships = not any(name.startswith(head.removeprefix("network.")) for head in HEADS)
        old = found.get(name, Group(0, frozenset(), 0, 0, ships))
        found[name] = Group(
            old.operators + 1,
            old.roundings | {str(neighbour.target) for neighbour in around},
            old.weights + weights,
            old.multiply_adds + products,
            ships,
        )
    if not found:
        raise ExportError("nothing of this network can be int8: it has neither convolutions nor linear layers")
    return found


def _size(graph: fx.GraphModule, node: fx.Node) -> tuple[int, int]:
    """Return the weights of an operator and its multiplications for one clip; (0, 0) for a sum."""
    if operator(node) not in ("conv2d", "linear"):
        return 0, 0
    weight = node.all_input_nodes[1].all_input_nodes[0]  # behind its observer
    weights = int(attrgetter(str(weight.target))(graph).numel())
    shape = [int(length) for length in node.meta["val"].shape[1:]]  # without the clips
    channels = shape[0] if operator(node) == "conv2d" else shape[-1]
    return weights, weights * int(np.prod(shape)) // channels


def _switchable(graph: fx.GraphModule) -> None:
    """Put a rounding in the place of each observer, and operators that write no input in the place of those that do."""
    roundings: dict[int, Rounding] = {}
    for name, module in list(graph.named_modules(remove_duplicate=False)):
        if name.startswith(_OBSERVER):
            setattr(graph, name, roundings.setdefault(id(module), Rounding(module)))
    # An operator that writes its input would spoil the kept values of the float run.
    for node in graph.graph.nodes:
        if node.op == "call_function" and operator(node).endswith("_"):
            pure = getattr(torch.ops.aten, operator(node)[:-1])
            node.target = getattr(pure, node.target._overloadname)
    graph.recompile()


def _joined(parts: Sequence[Sequence[Tensor]]) -> Outputs:
    return np.concatenate([torch.cat(list(part), 1).numpy() for part in parts])


def _is_observer(node: fx.Node) -> bool:
    return node.op == "call_module" and str(node.target).startswith(_OBSERVER)


_OBSERVER = "activation_post_process_"
