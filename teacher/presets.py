"""The teacher's presets: its config for a GPU, its short form, minutes on a CPU, and plumbing only."""

from __future__ import annotations

from dataclasses import replace

from pocketmood.training.schedule import Schedule
from teacher.company.config import CompanyConfig
from teacher.config import AST_DEMO, FineTuneConfig, SoftTargetsConfig, TeacherConfig, VitConfig
from teacher.gan.config import PRESETS as GAN_PRESETS
from teacher.recipe import SCHEDULE

_BASE = VitConfig(size="base", stride=1, frames=1292, hidden=256)
_BASE_SCHEDULE = Schedule(
    epochs=24, batch_size=12, learning_rate=1e-4, warmup=0.0, cosine_end="last", patience=5, final_rate=1e-6, workers=2
)
# The published recipe: heads first, then one, two and three layers, cosines from 1e-4 (backbone 1e-5) down to 1e-6.
_BASE_TRAINING = FineTuneConfig(
    schedule=_BASE_SCHEDULE,
    backbone_learning_rate=1e-5,
    crop_frames=1292,
    gain_db=0.0,
    mask_bands=0,
    mask_frames=0,
    ccc_weight=0.0,
    valence_share=0.6,
    unfreeze=((1, 0), (8, 1), (12, 2), (16, 3)),
    best_by="loss",
)
# From scratch and without a convolutional stem: a lower rate than the hybrid's, and crops of 7.4 s (320 frames).
_AST_TRAINING = FineTuneConfig(
    schedule=Schedule(epochs=40, learning_rate=3e-4, ema_decay=0.999, patience=10), crop_frames=320
)
_AST_DEMO_TRAINING = FineTuneConfig(schedule=replace(SCHEDULE, epochs=6, learning_rate=7e-4))
# It trains on whole clips, and crops would be strange to it: docs/teacher.md, "What it is asked".
_ASK_WHOLE = SoftTargetsConfig(ask="whole")
_DEMO = TeacherConfig(
    synthetic=96,
    gan=GAN_PRESETS["demo"],
    listen_s=5.0,
    training=FineTuneConfig(schedule=replace(SCHEDULE, epochs=13)),
    ast=AST_DEMO,
    ast_training=_AST_DEMO_TRAINING,
)
PRESETS = {
    "full": TeacherConfig(
        vit=_BASE, training=_BASE_TRAINING, ast_training=_AST_TRAINING, soft_targets=_ASK_WHOLE, doctor=True
    ),
    # The recipe's short form leaves out its optional steps: listening to the GAN, and the baseline.
    "streamlined": TeacherConfig(
        doctor=True,
        listen_s=0.0,
        gan=GAN_PRESETS["streamlined"],
        vit=_BASE,
        training=replace(_BASE_TRAINING, schedule=replace(_BASE_SCHEDULE, epochs=30), unfreeze=()),
        baseline=False,
        soft_targets=_ASK_WHOLE,
    ),
    "demo": _DEMO,
    # Without generator and baselines: on recordings no generated clip has passed the gate, and what is trained from
    # scratch on hundreds of songs is far below what has heard many thousands (benchmarks.studies.recordings_table).
    "recordings": replace(
        _DEMO,
        synthetic=0,
        listen_s=0.0,
        baseline=False,
        company=CompanyConfig(("musicnn-both",)),
    ),
    "smoke": TeacherConfig(
        synthetic=8,
        gan=GAN_PRESETS["smoke"],
        listen_s=0.0,  # librosa compiles itself for half a minute at its first use
        vit=VitConfig(width=32, layers=1, heads=2, period_frames=64),
        training=FineTuneConfig(schedule=replace(SCHEDULE, epochs=2, batch_size=8), crop_frames=64),
        ast=replace(AST_DEMO, width=32, layers=1, heads=2, period_frames=64),
        ast_training=FineTuneConfig(schedule=replace(SCHEDULE, epochs=1, batch_size=8), crop_frames=64),
        soft_targets=SoftTargetsConfig(crops=2),
    ),
}
"""Names for `--preset`: the published recipe, its short form, minutes on a CPU, what has heard music, plumbing only."""
