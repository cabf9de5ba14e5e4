#!/usr/bin/env bash
# Walk the whole road at every preset, cut by flags through make; run in a checkout. Arguments: work folder, presets.
set -euo pipefail
work=$1; shift; presets=${*:-full streamlined demo smoke}
export ANYWAY=1 HF_HUB_OFFLINE=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
py=.venv/bin/python
[ -d "$work/corpus" ] || $py -m pocketmood render --songs 30 --out "$work/corpus"
[ -d "$work/vit" ] || $py -c "import sys; from pathlib import Path; from tests.helpers.tiny_weights import write_weights; write_weights(Path(sys.argv[1]), 'base')" "$work/vit"
gan="--synthetic 8 --gan.width 4 --gan.batch-size 4 --gan.accumulation 1 --gan.epochs 1 --gan.steps-per-epoch 1 --gan.quality-clips 16 --listen-s 0"
net="--training.schedule.epochs 1 --training.schedule.batch-size 8"
ast="--ast.width 32 --ast.layers 1 --ast.heads 2 --ast-training.schedule.epochs 1"
student="--model mobilevit_xxs --layers 1 --weights random --draws 1 --schedule.epochs 1 --schedule.batch-size 8 --schedule.workers 0"
export_="--to onnx executorch --precision fp32 --golden 2 --held-out 2 --calibration 4 --sensitivity 4 --ccc-drop-limit None"
bench="--repeats 3 --warmup 1 --memory none --alternatives none --cpu-time-rounds 0 --bootstrap 100 --no-other-threads"
for preset in $presets; do
  teacher="$gan $net"
  [ "$preset" = full ] && teacher="$teacher --vit.weights $work/vit $ast --training.unfreeze 1 0"
  [ "$preset" = streamlined ] && teacher="$teacher --vit.weights $work/vit"
  args=(all DEAM="$work/corpus" RUN="$work/run-$preset" PRESET="$preset" TEACHER="$teacher" STUDENT="$student" EXPORT="$export_" BENCHMARKS="$bench")
  # Killed at five moments, then to the end: the same words every time.
  for after in ${KILLS-20 40 60 80 100}; do timeout -s KILL "$after" make "${args[@]}" >"$work/$preset.kill.log" 2>&1 || true; done
  make "${args[@]}" >"$work/$preset.log" 2>&1 && echo "$preset: exit code 0" || { echo "$preset: FAILED, see $work/$preset.log"; tail -5 "$work/$preset.log"; }
done
