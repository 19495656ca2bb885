# Everything that a developer does, a line each. Needs Debian 12 with Swift 6.3, git and make;
# the Debian packages that are missing are installed on the way (scripts/dependencies).

BIN   := .build/release
# Its own TMPDIR: the package manager leaves empty directories behind.
BUILD := TMPDIR=$(CURDIR)/.build/tmp swift build -c release --static-swift-stdlib -Xlinker -s
# By name: the static toolchain has no Testing module, which the targets for tests need.
PROGRAMS := matriarch-guard matriarch-proxy matriarchd matriarch matriarch-simulate matriarch-lab
SEEDS ?= 1..300

.PHONY: help deps build demo test lint simulate bench docs clean

help:                ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

deps:                ## install the Debian packages that are missing
	@scripts/dependencies

build: deps          ## all programs, as they are shipped, into .build/release
	@mkdir -p .build/tmp
	@set -e; for program in $(PROGRAMS); do echo "building $$program"; $(BUILD) --product $$program; done
	@rm -rf .build/tmp

demo: build          ## a herd of three on this machine: loss, return, switchover (KEEP=1 leaves it running)
	$(BIN)/matriarch-lab demo $(if $(KEEP),--keep)

# Suites that start programs run apart from exit tests: those wait for any child of the test process.
test: deps lint build ## everything that CI runs: style, all suites (as root: the cluster suite too), simulation
	swift test --skip ClusterTests --skip CommandTests
	swift test --skip-build --no-parallel --filter CommandTests
	swift test --skip-build --no-parallel --filter ClusterTests
	$(BIN)/matriarch-simulate --seeds $(SEEDS)

lint:                ## formatting, as .swift-format says
	swift format lint --strict --recursive Sources Tests Package.swift

simulate: build      ## the deciding code in a hostile simulated world; SEED=7 traces one, SEEDS=1..5000 runs many
	$(BIN)/matriarch-simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

bench: build         ## time without writes for each kind of loss, beside the raw floor; memory and CPU when idle
	$(BIN)/matriarch-lab bench

docs: deps           ## write the texts that are made from the table of settings
	REWRITE=1 swift test --filter GeneratedTextTests

clean:               ## remove all that was built
	swift package clean
