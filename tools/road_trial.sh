#!/usr/bin/env bash
# Walk the whole road at every preset, cut by flags through make; run in a checkout. Arguments: work folder, presets.
# The word `hub` among the presets: streamlined with the model hub away, back, and away again.
set -euo pipefail
work=$1; shift; presets=${*:-full streamlined demo smoke hub}
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

# Weights as a hub would have them, on this machine: random ones are trained over as soon as there are any, then kept.
hub_trial() {
  local hub=$work/hub run=$work/run-hub pid
  mkdir -p "$hub/google"; ln -sfn "$(realpath "$work/vit")" "$hub/google/vit-base-patch16-224-in21k"
  rm -rf "$work/hub-cache"; export HF_HUB_CACHE=$work/hub-cache; unset HF_HUB_OFFLINE
  local words=(teacher CORPUS=rendered MUSIC="$work/corpus" RUN="$run" PRESET=streamlined TEACHER="$gan $net")
  HF_ENDPOINT=http://127.0.0.1:9 make "${words[@]}" >"$work/hub-away.log" 2>&1 || return 1
  grep -q "STARTS FROM RANDOM" "$work/hub-away.log" || return 1
  # The port is the system's choice; the hub writes its address down.
  $py -c "import sys, time; from pathlib import Path; from tests.helpers.fake_hub import serve
with serve(Path(sys.argv[1])) as address: Path(sys.argv[2]).write_text(address); time.sleep(3600)" "$hub" "$work/hub-address" & pid=$!
  trap "kill $pid" EXIT; until [ -s "$work/hub-address" ]; do sleep .2; done
  HF_ENDPOINT=$(cat "$work/hub-address") make "${words[@]}" >"$work/hub-back.log" 2>&1 || return 1
  grep -q "^vit: fine-tuning" "$work/hub-back.log" || return 1
  if grep -q "^gan: training" "$work/hub-back.log"; then return 1; fi
  kill $pid; trap - EXIT; rm "$work/hub-address"
  HF_ENDPOINT=http://127.0.0.1:9 make "${words[@]}" >"$work/hub-gone.log" 2>&1 || return 1
  grep -q "teacher: up to date" "$work/hub-gone.log" || return 1
  export HF_HUB_OFFLINE=1
}

failed=0
for preset in $presets; do
  if [ "$preset" = hub ]; then
    if hub_trial; then echo "hub: exit codes 0; trained again with the hub back, and not without it"; else echo "hub: FAILED, see $work/hub-*.log"; failed=1; fi
    continue
  fi
  teacher="$gan $net"
  [ "$preset" = full ] && teacher="$teacher --vit.weights $work/vit $ast --training.unfreeze 1 0"
  [ "$preset" = streamlined ] && teacher="$teacher --vit.weights $work/vit"
  args=(all CORPUS=rendered MUSIC="$work/corpus" RUN="$work/run-$preset" PRESET="$preset" TEACHER="$teacher" STUDENT="$student" EXPORT="$export_" BENCHMARKS="$bench")
  # Killed at five moments, then to the end: the same words every time.
  for after in ${KILLS-20 40 60 80 100}; do timeout -s KILL "$after" make "${args[@]}" >"$work/$preset.kill.log" 2>&1 || true; done
  make "${args[@]}" >"$work/$preset.log" 2>&1 && echo "$preset: exit code 0" || { echo "$preset: FAILED, see $work/$preset.log"; tail -5 "$work/$preset.log"; failed=1; }
done
exit $failed
