# The road from music to a phone model. `make` lists the targets; README.md and docs/ explain them.

CORPUS    ?= deam
# One folder, or one per corpus: CORPUS=deam+table MUSIC=/data/DEAM:/data/mine. DEAM=folder: short for both, of DEAM alone.
MUSIC     ?= $(DEAM)
DEAM      ?=
# Of the corpus `table`: the scale of its ratings, such as 1..9.
SCALE     ?=
RUN       ?= runs/deam
PRESET    ?= full
LABEL_FIX ?= none
GPUS      ?= 1
UNLABELLED ?=
SONGS     ?= 800
BUNDLE    ?= $(RUN)/bundle
# Flags of a stage beyond its preset: TEACHER="--gan.epochs 20 --vit.dropout 0.2".
DATA ?=
TEACHER ?=
STUDENT ?=
EXPORT ?=
BENCHMARKS ?=
PYTEST_ARGS ?=
# ANYWAY=1 trains where the doctor would stop: without a GPU, without published weights, on a full disk.
ANYWAY ?=
# Flags as well: so the doctor gets them with the quotes that are in them.
export ANYWAY TEACHER STUDENT GPUS

# What was asked for first, for messages of the targets that it needs.
export GOALS ?= $(or $(MAKECMDGOALS),data)

PRESETS := full streamlined demo recordings smoke
# Every stage knows these and no others: a misspelt one is refused here, not by the third stage hours later.
ifeq ($(filter $(PRESET),$(PRESETS)),)
$(error PRESET=$(PRESET) is unknown; choose from $(PRESETS))
endif

PY := .venv/bin/python
# Only teacher and student have a gradient to share between GPUs. Without --, torchrun takes --run for its own --run-path.
TRAIN = $(if $(filter-out 1,$(GPUS)),$(PY) -m torch.distributed.run --standalone --nproc-per-node=$(GPUS) -m --,$(PY) -m)
# Without RUN=, `make benchmarks` measures the demo where there is no other run.
MEASURED = $(if $(filter file,$(origin RUN)),$(firstword $(wildcard $(RUN)) runs/demo),$(RUN))
# Two processes, one thread each: libraries that spin while they wait for a core would otherwise slow each other down.
IN_TWO = --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# Make a stage that a target needs, unless it is there: named goals alone ask whether a finished stage is up to date.
# Arguments: the stage's folder, its target, and the run where that is not RUN.
needs = +@test -f "$(or $(3),$(RUN))/$(1)/stage.json" || $(MAKE) --no-print-directory $(2) RUN=$(or $(3),$(RUN))
# A colon parts the folders of several corpora; a single folder may have one in its name, and blanks in any case.
FOLDERS = $(if $(findstring +,$(CORPUS)),"$(subst :," ",$(MUSIC))","$(MUSIC)")
EMPTY :=
# /path/to/a:/path/to/b for the corpora a+b.
EXAMPLE = $(subst $(EMPTY) $(EMPTY),:,$(addprefix /path/to/,$(subst +, ,$(CORPUS))))
headline = @printf '\n== %s: %s\n' "$@" "$(1)"

# Where this is set, every process compiles all that it imports anew: 15 s per stage for torch, timm and transformers.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo smoke corpus all doctor data teacher student export benchmarks arm64 archive android recordings recordings-more weights test check lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nvariables   CORPUS=%s MUSIC=folder RUN=%s PRESET=%s LABEL_FIX=%s UNLABELLED=folder GPUS=%s SONGS=%s BUNDLE=folder\n' \
	  '$(CORPUS)' '$(RUN)' '$(PRESET)' '$(LABEL_FIX)' '$(GPUS)' '$(SONGS)'
	@printf 'DEAM=folder stands for CORPUS=deam MUSIC=folder; several corpora: CORPUS=deam+table MUSIC=folder:folder SCALE=1..9\n'
	@printf 'dials       DATA= TEACHER= STUDENT= EXPORT= BENCHMARKS="--flag value": flags of a stage beyond its preset\n'
	@printf 'ANYWAY=1    train where the doctor would stop\n'
	@printf 'each stage  %s -m teacher --help (or student, export, benchmarks)\n' '$(PY)'
	@printf '\npresets\n'; $(firstword $(wildcard $(PY)) python3) -m pocketmood.presets

setup: .venv/.ready ## make .venv with the locked packages; every target but clean and help does this first

.venv/.ready: requirements.lock pyproject.toml tools/setup.sh
	@bash tools/setup.sh

demo: setup ## render a corpus of SONGS songs and walk the whole road on this CPU
	@$(MAKE) --no-print-directory corpus data teacher student export benchmarks \
	  RUN=runs/demo PRESET=demo CORPUS=rendered MUSIC=runs/demo/corpus SONGS=$(SONGS)

smoke: setup ## the same with 60 songs in about three minutes: shows that the pipes fit, not that anything was learnt
	@$(MAKE) --no-print-directory corpus data teacher student export benchmarks \
	  RUN=runs/smoke PRESET=smoke CORPUS=rendered MUSIC=runs/smoke/corpus SONGS=60

corpus: setup ## render a stand-in corpus of SONGS songs into RUN/corpus
	$(call headline,rendered music with synthetic labels in DEAM's layout)
	$(PY) -m pocketmood render --songs $(SONGS) --out $(RUN)/corpus

doctor: setup ## look at GPU, weights, disk, songs and time before PRESET is trained in RUN (full and streamlined do it first)
	@$(PY) -m pocketmood.training doctor --preset $(PRESET) --run $(RUN) --teacher="$$TEACHER" --student="$$STUDENT"

all: teacher student export benchmarks ## the whole road of RUN, from the music under MUSIC to the measured programs

data: setup ## decode, label and split the music under MUSIC into RUN/data
	@test -n "$(MUSIC)" || { echo 'error: $(RUN)/data needs music. Type `make $(GOALS) CORPUS=$(CORPUS) MUSIC=$(EXAMPLE) RUN=$(RUN)$(if $(filter file,$(origin PRESET)),, PRESET=$(PRESET))`, or make demo' >&2; exit 2; }
	$(call headline,decode and audit and split the music)
	$(PY) -m pocketmood data --run $(RUN) --corpus $(CORPUS) --music $(FOLDERS) --label-fix $(LABEL_FIX)$(if $(SCALE), --scale=$(SCALE))$(if $(UNLABELLED), --unlabelled "$(UNLABELLED)") $(DATA)

teacher: setup ## train the teacher (GAN, ViT, or what PRESET names), write its soft targets into RUN/teacher
	$(if $(filter data,$(MAKECMDGOALS)),,$(if $(MUSIC),@$(MAKE) --no-print-directory data,$(call needs,data,data)))
	$(call headline,the teacher learns from the ratings)
	$(TRAIN) teacher --preset $(PRESET) --run $(RUN) $(TEACHER)

student: setup ## distil the soft targets into a MobileViT in RUN/student
	$(call needs,teacher,teacher)
	$(call headline,a MobileViT learns from ratings and teacher)
	$(TRAIN) student --preset $(PRESET) --run $(RUN) $(STUDENT)

export: setup ## write and prove .pte, .onnx and .mlpackage in RUN/bundle
	$(call needs,student,student)
	$(call headline,one program per runtime and its proof against PyTorch)
	@# 3 is a bundle without programs that are not required: the road goes on; EXPORT=--strict stops it.
	$(PY) -m export --preset $(PRESET) --run $(RUN) $(EXPORT) || test $$? -eq 3

benchmarks: setup ## measure accuracy, latency, size and memory into RUN/benchmarks
	$(call needs,bundle,export,$(MEASURED))
	$(call headline,what the phone model lost and won)
	$(PY) -m benchmarks --preset $(PRESET) --run $(MEASURED) $(BENCHMARKS)

arm64: setup ## run the .pte of RUN on an emulated ARM64 processor against its golden pairs
	$(call headline,the same predictions on ARM64)
	$(PY) -m export.executorch.arm64 --run $(RUN)

archive: setup ## zip what is worth keeping of RUN into RUN.zip
	$(PY) -m pocketmood archive --run $(RUN)

android: setup ## copy BUNDLE (RUN/bundle) into the Android app; assemble and check an APK where the tools are there
	$(PY) -m tools.android_bundle $(BUNDLE)
	@tools/android.sh apk

weights: setup ## fetch the published musicnn weights (29 MB) for a teacher that has heard music; no other target does
	$(PY) -m teacher.musicnn.weights

recordings: setup ## fetch freely licensed recorded music for the tests that need it (Debian's packages)
	$(PY) -m pocketmood.data.recordings --few

recordings-more: setup ## fetch all of it, about 750 pieces: music for UNLABELLED=.cache/recordings
	$(PY) -m pocketmood.data.recordings

test: setup ## run all tests that this machine can run; says what was skipped and why
	HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest $(IN_TWO) $(PYTEST_ARGS)
	@tools/android.sh test $(BUNDLE) runs/demo/bundle runs/smoke/bundle

check: setup ## format, lint, types
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy

lock: setup ## write requirements.lock anew from requirements.in
	.venv/bin/uv pip compile --universal --generate-hashes --quiet requirements.in -o requirements.lock --python-version 3.11

clean: ## remove what tools left behind; runs/, .venv and fetched recordings stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
