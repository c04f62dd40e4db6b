# Every target is a script or a cargo call; read those for what really happens.
SHELL := /bin/bash
.DEFAULT_GOAL := help

.PHONY: help setup setup-labs build demo lab-dpu lab-netdevsim test fuzz soak live-flips test-faults lint bench bench-datapath bench-prefilter bench-convergence bench-scale clean

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

setup: ## install what the build and the tests need, and say what that is
	@.ci/setup

build: setup ## build the optimised binaries into target/release
	cargo build --release --locked

demo: setup ## a fabric in network namespaces: policy from YAML to verdict, every flow probed
	@lab/demo

# Virtual machines take an emulator and a compiler for arm64 besides.
setup-labs:
	@.ci/setup --labs

lab-dpu: setup-labs ## a DPU of its own architecture, arm64, as a virtual machine in a fabric: every flow probed
	@lab/dpu

lab-netdevsim: setup-labs ## ports that are simulated cards, in a virtual machine where this kernel has none: what the kernel says
	@lab/netdevsim

test: setup-labs ## every test, the demo and the labs included
	@.ci/test

live-flips: setup ## policy flips 1,000 times under traffic, every packet judged (as root)
	cargo build --locked --bins
	SELVEDGE_FLIPS=1000 cargo test --locked -p selvedge-tests --test live_flips -- --nocapture

test-faults: setup ## etcd, controllers and agents die, hang and fill up under traffic, every packet judged (as root): FAULTS=WORDS
	cargo build --locked --bins
	SELVEDGE_FAULTS="$(FAULTS)" cargo test --locked -p selvedge-tests --test live_faults -- --nocapture

fuzz: setup ## search for inputs that break a promise: TARGET=all SECONDS=60
	@.ci/fuzz $(or $(TARGET),all) $(or $(SECONDS),60)

soak: setup ## random connection histories through oracle, classifier and kernel: SECONDS=60
	SELVEDGE_SOAK_SECONDS=$(or $(SECONDS),60) cargo test --locked -p selvedge-tests --test histories -- --nocapture soaked

lint: setup ## formatting, clippy with warnings denied, licences and bans
	@.ci/lint

bench: setup ## how long compiling, saying what a change means, proving a slot and a small change (as root) take; results in target/bench
	cargo bench --locked -p selvedge-tests --bench compile --bench diff --bench proof

bench-datapath: ## ns per packet against the floor, nft, iptables and xdp-filter (as root); results in target/bench
	@.ci/setup --bench
	cargo bench --locked -p selvedge-tests --bench datapath

bench-prefilter: setup ## ns per packet of a flood with a prefilter before the full program and without (as root); results in target/bench
	cargo bench --locked -p selvedge-tests --bench prefilter

# The controller and the agent are the product's own binaries.
convergence = cargo build --release --locked --bins && cargo bench --locked -p selvedge-tests --bench convergence --

bench-convergence: setup ## how long changes take to be in force on all nodes, beside the floor (as root): CONVERGENCE_NODES=1000,10000
	$(convergence)

bench-scale: setup ## what a node, a workload, an identity, a policy and an edit cost, into docs/scale.md (as root): SCALE_NODES=100,300,1000
	$(convergence) --model

clean: ## remove what the build made, and labs that are still up
	@.ci/clean
