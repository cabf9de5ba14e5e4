"""The Trainer behind `pocketmood.training.fit.fit`: transformers' loop with our data order, checkpoints and log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from pocketmood.errors import PocketmoodError
from pocketmood.training.callback import Progress
from pocketmood.training.checkpoints import load_tensors, pack_optimizer, read_state, unpack_optimizer, write_checkpoint
from pocketmood.training.fit import Training
from pocketmood.training.schedule import EpochDataset


class EpochSampler(Sampler[int]):
    """A permutation of the items that follows from (seed, epoch) alone."""

    def __init__(self, length: int, seed: int) -> None:
        """Start at epoch 0; `epoch` is set before each pass."""
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        """Count the items."""
        return self.length

    def __iter__(self) -> Iterator[int]:
        """Yield the epoch's order."""
        yield from np.random.default_rng([self.seed, self.epoch]).permutation(self.length).tolist()


class StageTrainer(Trainer):  # type: ignore[misc, unused-ignore]
    """transformers' Trainer with every file it would pickle replaced by `pocketmood.training.checkpoints`."""

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        dataset: EpochDataset,
        collate: Callable[[list[Any]], dict[str, Tensor]],
        progress: Progress,
        groups: Sequence[Mapping[str, Any]] | None,
    ) -> None:
        """Put the parts in place; `progress` is told about each step and epoch."""
        super().__init__(model=model, args=args, data_collator=collate, train_dataset=dataset, callbacks=[progress])
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = False  # a model with **kwargs must not be handed a token count
        self.progress, self.groups = progress, groups
        self.optimizer: Any
        self.lr_scheduler: Any
        self.sampler = EpochSampler(len(dataset), args.seed)

    def get_train_dataloader(self) -> Any:
        """Build the loader over our own order; whole batches only, because a batch norm cannot train on one item."""
        size = self.args.per_device_train_batch_size
        loader = DataLoader(
            self.train_dataset,
            batch_size=size,
            sampler=self.sampler,
            collate_fn=self.data_collator,
            drop_last=len(self.sampler) >= size * self.args.world_size,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.device.type == "cuda",
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """Make AdamW over the given parameter groups."""
        if self.optimizer is None:
            groups = self.groups or default_groups(self.model, self.args.weight_decay)
            self.optimizer = torch.optim.AdamW(
                [dict(group) for group in groups],
                lr=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                fused=self.args.device.type in ("cpu", "cuda"),
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Make the cosine with its restarts; each group comes from its own peak down to the same last rate."""
        if self.lr_scheduler is None:
            schedule, optimizer = self.progress.schedule, optimizer or self.optimizer
            warmup = self.args.get_warmup_steps(num_training_steps)
            restarts = [epoch * self.progress.steps_per_epoch for epoch in schedule.restarts]
            peaks = [group["lr"] for group in optimizer.param_groups]
            shape = partial(cosine, total=num_training_steps, warmup=warmup, restarts=restarts)
            shapes: list[Callable[[int], float]] = [
                partial(shape, last=min(schedule.final_rate / peak, 1.0) if peak else 0.0) for peak in peaks
            ]
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, shapes)
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """Run the model, keep its terms for the log, return its loss."""
        terms = model(**inputs)
        self.progress.add(terms)
        loss: Tensor = terms["loss"]
        return loss

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if not self.progress.is_main:
            return
        tensors, rest = pack_optimizer(self.optimizer.state_dict())
        files: dict[str, Mapping[str, Tensor]] = {"model": self.model.state_dict(), "optimizer": tensors}
        if self.progress.averages:
            files["averages"] = self.progress.averages.state()
        scheduler = {k: v for k, v in self.lr_scheduler.state_dict().items() if k != "lr_lambdas"}
        scaler = self.accelerator.scaler
        state = {
            **self.progress.state(),
            "optimizer": rest,
            "scheduler": scheduler,
            "scaler": scaler.state_dict() if scaler else {},
            "trainer_state.json": asdict(self.state),
        }
        write_checkpoint(Path(self.args.output_dir), self.state.global_step, files, state)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        checkpoint = Path(resume_from_checkpoint)
        self.model.load_state_dict(load_tensors(checkpoint / "model.safetensors"))
        averages = load_tensors(checkpoint / "averages.safetensors") if self.progress.schedule.ema_decay else None
        self.progress.load(read_state(checkpoint), averages)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        state = read_state(Path(checkpoint))
        self.optimizer.load_state_dict(
            unpack_optimizer(load_tensors(Path(checkpoint) / "optimizer.safetensors"), state["optimizer"])
        )
        match_layout(self.optimizer.state)
        scheduler = self.lr_scheduler.state_dict() | state["scheduler"]
        self.lr_scheduler.load_state_dict(scheduler)

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(read_state(Path(checkpoint))["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Do nothing: `Progress` seeds every epoch anew, and checkpoints lie between epochs."""

    def release(self) -> None:
        """Give the model back its own forward, without autocast around it, once every process has got this far."""
        self.accelerator.wait_for_everyone()
        self.accelerator.unwrap_model(self.model_wrapped, keep_fp32_wrapper=False)


def cosine(step: int, total: int, warmup: int, restarts: Sequence[int], last: float) -> float:
    """Return the rate of a step as a share of its peak.

    A straight line up over `warmup` steps, then half a cosine down to `last`, and another from the peak after each step
    of `restarts` (SGDR, Loshchilov and Hutter 2017, with cycles as long as they are asked to be).
    """
    edges = [0, *restarts, max(total, 1)]
    begin = max((edge for edge in edges[:-1] if edge <= step), default=0)
    end = next(edge for edge in edges[edges.index(begin) + 1 :])
    if begin == 0:
        if step < warmup:
            return step / max(warmup, 1)
        begin = warmup
    progress = min((step - begin) / max(end - begin, 1), 1.0)
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))


def match_layout(state: Mapping[Tensor, dict[str, Any]]) -> None:
    """Give loaded moments the strides of their weights.

    Files hold contiguous tensors; the fused AdamW pairs elements by address, so that moments of channels-last weights
    would silently belong to other elements.
    """
    for weight, entries in state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                entries[key] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def default_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters: decay for matrices and kernels, none for biases, norms and single numbers."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]


def synchronised(model: nn.Module) -> nn.Module:
    """Return the model with batch norms that ask the other processes; weights, their names and answers stay.

    timm's converter, because torch's own drops the activation inside timm's `BatchNormAct2d`: every ReLU or SiLU there.
    """
    from timm.layers import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(model)
    return converted


def build_trainer(training: Training) -> tuple[StageTrainer, Progress]:
    """Join Trainer and Progress for one training."""
    model, dataset, folder, schedule = training.model, training.dataset, training.folder, training.schedule
    if len(dataset) < 2:
        raise PocketmoodError(f"{len(dataset)} training items: at least 2 are needed")
    gpu = torch.cuda.is_available()
    precision = schedule.precision
    if precision == "auto":
        precision = ("bf16" if torch.cuda.is_bf16_supported() else "fp16") if gpu else "fp32"
    args = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        num_train_epochs=schedule.epochs,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        warmup_steps=schedule.warmup,
        max_grad_norm=schedule.clip,
        seed=training.seed,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not gpu,
        dataloader_num_workers=schedule.workers,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        remove_unused_columns=False,
        # Layers that wait for their epoch get no gradient, and must not be waited for.
        ddp_find_unused_parameters=training.on_epoch is not None,
    )
    if args.n_gpu > 1:
        print(f"{args.n_gpu} GPUs are here and one is used; start with torchrun to use all", flush=True)
        args._n_gpu = 1
    if schedule.batch_size % args.world_size:
        raise PocketmoodError(f"batch_size {schedule.batch_size} does not divide among {args.world_size} processes")
    args.per_device_train_batch_size = max(1, min(schedule.batch_size, len(dataset)) // args.world_size)
    if args.world_size > 1 and gpu:  # the statistics of a batch norm are those of the whole batch, as in one process
        model = synchronised(model)
    progress = Progress(replace(training, model=model))
    trainer = StageTrainer(model, args, dataset, training.collate, progress, training.groups)
    progress.rank, progress.sampler = args.process_index, trainer.sampler
    progress.steps_per_epoch = len(trainer.get_train_dataloader())
    return trainer, progress
