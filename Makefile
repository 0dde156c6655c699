# Every target sets itself up: a .venv made with python3 -m venv is the only installation.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help demo test test-all test-kernels check docs check-defence paper paper-imagenet boundary-study \
	adaptive-study attack-peers \
	theory hardening check-trace tracing-studies line-spectra check-stopping check-certificates bench bench-first-layer bench-memory \
	bench-precision bench-fast-copy bench-attacks bench-training bench-workers bench-regions bench-transforms bench-tracing clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

demo: .venv/.demo-ready  ## Attack the packaged model four ways and print the table
	.venv/bin/bandlimiter demo

PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses 2
test: .venv/.test-ready  ## Run the tests, but for those that kill and continue whole processes
	$(PYTEST) --brief

test-all: .venv/.test-ready  ## Run all tests
	$(PYTEST)

test-kernels: .venv/.test-ready  ## Run what rounding could disturb with other processors' kernels (ARGS=--fast)
	.venv/bin/python tools/test_kernels.py $(ARGS)

check: .venv/.check-ready  ## Lint, format, types, import rules
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

docs: .venv/.test-ready  ## Build the user guide into site/, without a warning
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo-ready: .venv/bin/python pyproject.toml constraints.txt
	@echo "setting up .venv (torch is large: a few minutes)"
	$(PIP) --editable .
	@touch $@

.venv/.test-ready: .venv/.demo-ready
	$(PIP) --editable '.[test,torchvision,timm,efficientnet,spectrum,onnx,report,parquet,ray,docs,foolbox]'
	@touch $@

.venv/.bench-ready: .venv/.demo-ready
	$(PIP) --editable '.[bench,torchvision,efficientnet,spectrum,onnx]'
	@touch $@

.venv/.check-ready: .venv/.test-ready
	$(PIP) --editable '.[check]'
	@touch $@

# With your own files, for example: make paper WEIGHTS=resnet110.th DATA=cifar10:FOLDER
MODEL ?= cifar-resnet110

check-defence: .venv/.demo-ready  ## Hold the defence against a loop on a real network (needs MODEL, ...)
	.venv/bin/python tools/check_defence.py --model $(MODEL) --weights $(WEIGHTS) --data $(DATA)

REPRODUCE = .venv/bin/bandlimiter reproduce $(1) --model $(MODEL) --weights $(WEIGHTS) --data $(DATA) \
	--limit $(2) --out runs/paper $(ARGS)
paper: .venv/.test-ready  ## The paper's tables and figures, all four attacks (needs WEIGHTS, DATA)
	.venv/bin/bandlimiter reproduce figure1 --out runs/paper
	$(call REPRODUCE,table1,300 --limit pgd=100 --limit cw=40)
	$(call REPRODUCE,table2,100)
	$(call REPRODUCE,figure2,100 --limit cw=40)
	$(call REPRODUCE,figure3,100 --limit cw=40)

paper-imagenet: .venv/.test-ready  ## Figure 2 with EfficientNet-Lite0, 30 images, five radii (needs DATA)
	.venv/bin/bandlimiter reproduce figure2 --model efficientnet-lite0 --data $(DATA) --limit 30 \
		--attack fgsm --attack pgd --values 6.75,10,13.51,17,20 --out runs/paper-imagenet $(ARGS)

adaptive-study: .venv/.test-ready  ## What adaptive attacks leave, case by case (needs MODEL, ...; ARGS="--case cascade")
	.venv/bin/python tools/attacks/study.py --model $(MODEL) --weights $(WEIGHTS) --data $(DATA) \
		--limit 100 --out runs/adaptive/$(MODEL) $(ARGS)

attack-peers: .venv/.test-ready  ## Square and APGD against ART's and AutoAttack's (needs MODEL, WEIGHTS, DATA)
	OMP_NUM_THREADS=1 .venv/bin/python tools/attacks/peers.py --model $(MODEL) --weights $(WEIGHTS) \
		--data $(DATA) --limit 200 --queries 500
	OMP_NUM_THREADS=1 .venv/bin/python tools/peak_memory.py \
		.venv/bin/python tools/attacks/memory.py

boundary-study: .venv/.demo-ready  ## Directions to the closest boundaries against random ones (needs MODEL, ...)
	.venv/bin/python tools/boundary_study.py --model $(MODEL) --weights $(WEIGHTS) --data $(DATA) \
		--limit 200 --out runs/boundary.json

theory: .venv/.test-ready  ## Draw the filters at n = 3072; ask what tiny regions and training under noise do
	.venv/bin/python tools/draw_transfer.py
	.venv/bin/python tools/tiny_regions.py
	.venv/bin/python tools/hardening/small_spectra.py --figure docs/hardened_spectra.png

hardening: .venv/.test-ready  ## What hardening buys, by method, minutes and setting (hours; needs DATA, OUT)
	for what in methods minutes ablations; do \
		.venv/bin/python tools/hardening/study.py $$what --data $(DATA) --out $(OUT) || exit; done
	.venv/bin/python tools/hardening/digits.py --out $(OUT)/digits

check-trace: .venv/.test-ready  ## Hold a traced line against the network's own layers (needs MODEL, WEIGHTS, DATA)
	.venv/bin/python tools/check_trace.py --model $(MODEL) --weights $(WEIGHTS) --data $(DATA)

STUDY = .venv/bin/python tools/tracing/$(1).py --model $(MODEL) --weights $(WEIGHTS) --data $(DATA) \
	--out runs/$(MODEL)
tracing-studies: .venv/.test-ready  ## Flips, tiny pieces, equation 4, on 200 images (needs MODEL, ...; an hour)
	$(call STUDY,flips)
	$(call STUDY,tiny_pieces)
	$(call STUDY,equation4)
	.venv/bin/python tools/tracing/equation4_regularised.py --out runs/perceptrons

line-spectra: .venv/.test-ready  ## What averaging removes along a line (needs MODEL, WEIGHTS, DATA)
	$(call STUDY,line_spectra) --limit 5 --length 0.05 --small-length 6

check-stopping: .venv/.demo-ready  ## How often stopping early errs (ARGS="--model ... --weights FILE --data npz:FILE")
	OMP_NUM_THREADS=1 .venv/bin/python tools/stopping/guarantee.py $(ARGS)

CHECK_CERTIFICATES = OMP_NUM_THREADS=1 .venv/bin/python tools/certificates/$(1).py
check-certificates: .venv/.test-ready  ## Certificates against known laws, exact integrals, counted points (half an hour)
	$(call CHECK_CERTIFICATES,radii)
	$(call CHECK_CERTIFICATES,floating)
	$(call CHECK_CERTIFICATES,rules)
	$(call CHECK_CERTIFICATES,guarantee)
	$(call CHECK_CERTIFICATES,truth) --figure docs/certified_truth.png

THREADS ?= $(shell getconf _NPROCESSORS_ONLN)
BENCH = OMP_NUM_THREADS=$(THREADS) .venv/bin/python benchmarks/$(1).py --threads $(THREADS) $(ARGS)
bench: .venv/.bench-ready  ## What a defended prediction costs (ARGS="--model ... --weights FILE --data npz:FILE")
	$(call BENCH,averaging)

bench-first-layer: .venv/.bench-ready  ## What keeping the first layer's response to the offsets could save
	$(call BENCH,averaging_first_layer)

bench-memory: .venv/.bench-ready  ## Memory and time of long streams
	$(call BENCH,averaging_memory)

bench-precision: .venv/.bench-ready  ## What fast copies bring to an evaluation, and change (ARGS="--quick")
	$(call BENCH,precision)

bench-fast-copy: .venv/.bench-ready  ## Gradients a second by pass size, and predict's share of the bare copy
	$(call BENCH,fast_copy)

bench-attacks: .venv/.bench-ready  ## Attacks against Foolbox's and pyautoattack's (ARGS="pgd minimal apgd square")
	$(call BENCH,attack_peers)

bench-training: .venv/.bench-ready  ## What a step of harden costs, by memory layout and compiled
	$(call BENCH,training_step)

bench-workers: .venv/.bench-ready  ## Evaluations by one worker and by two (ARGS="--ray")
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/workers.py $(ARGS)

bench-regions: .venv/.bench-ready  ## Regions a second, against regioncam
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/regions.py

bench-transforms: .venv/.bench-ready  ## Transforms, against the textbook formula (STREAM=--stream: 1e9 terms)
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/transforms.py $(STREAM)

bench-tracing: .venv/.demo-ready  ## Breakpoints a second (ARGS="--weights20 FILE --weights56 FILE --data npz:FILE")
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tracing.py $(ARGS)

clean:  ## Remove the .venv and caches
	rm -rf .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
