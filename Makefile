# Thin targets over the `lpu` command and pytest; `make` alone lists them.
PYTHON ?= python3
PRESET ?= small
SEEDS ?= 0-9
VENV := .venv
READY := $(VENV)/.ready
LPU := $(VENV)/bin/lpu

.DEFAULT_GOAL := help
.PHONY: help setup run test lint formal sweep medium fuzz verilog bench check faults synth fpga fpga-all docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## prepare .venv from requirements.lock (PYTHON=python3); afterwards everything works offline

$(READY): requirements.lock pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup
	@touch $@

run: $(READY) ## a story: a Llama on the simulated core, token by token, checked against the golden model
	@$(LPU) demo

test: lint ## lint, then every test
	@$(VENV)/bin/python -m pytest -n auto --dist worksteal

lint: $(READY) ## ruff, formatting, types
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check .
	@$(VENV)/bin/mypy --no-error-summary

fuzz: $(READY) ## random programs, RTL against the golden machine (SEEDS=0-9 PRESET=small)
	@$(LPU) fuzz --seeds $(SEEDS) --preset $(PRESET)

verilog: $(READY) ## the core as Verilog, build/lpu_core_PRESET.v (PRESET=small)
	@mkdir -p build
	@$(LPU) verilog --preset $(PRESET) -o build/lpu_core_$(PRESET).v

bench: $(READY) ## cycles of the anchor workloads, predicted and measured (PRESET=small)
	@$(LPU) bench anchors --preset $(PRESET)

check: $(READY) ## cycles, program bytes and area against bench/baseline.json (UPDATE=--update to rewrite it)
	@$(LPU) bench check $(UPDATE)

faults: $(READY) ## break the RTL on purpose, one fault at a time, and see that its test notices
	@$(VENV)/bin/python -m cocotb_tests.faults.run

formal: $(READY) ## proofs about the vector unit: arithmetic rules, timing of a chained pass
	@$(VENV)/bin/python -m pytest cocotb_tests/formal

sweep: $(READY) ## every fraction of every special function, RTL against the golden model (minutes)
	@$(VENV)/bin/python -m cocotb_tests.units.sweep

medium: $(READY) ## a Llama of 6M parameters on the RTL of preset medium, against the golden model (ten minutes)
	@$(VENV)/bin/python -m cocotb_tests.models.medium

synth: $(READY) ## area of the core (PRESET=small)
	@$(LPU) bench synth --preset $(PRESET)

fpga: $(READY) ## the core on boards: resources, Fmax, rate (UPDATE=--update to rewrite bench/fpga.json)
	@$(LPU) bench fpga $(UPDATE)

fpga-all: $(READY) ## the same with the boards that take up to an hour and a half (nightly)
	@$(LPU) bench fpga --all $(UPDATE)

docs: $(READY) ## regenerate docs/isa.md from hdl/isa
	@$(LPU) isa --markdown -o docs/isa.md

lock: $(READY) ## rewrite requirements.lock from the pins in pyproject.toml (needs a package index)
	@.ci/lock

clean: ## remove generated files (not .venv)
	@rm -rf build metronome.egg-info .pytest_cache .mypy_cache .ruff_cache
