# Thin names for the CMake presets (CMakePresets.json) and scripts that do the work. Start with `make demo`.
.PHONY: demo build test asan tsan fuzz bench format clean deps

JOBS ?= $(shell nproc)

# Built for this machine: without a GPU, without CUDA.
demo: deps
	cmake --preset release $$(scripts/gpus_here.sh)
	cmake --build --preset release -j $(JOBS) --target vitrail_cli
	scripts/demo.sh

# Everything that the compilers here can build, for every GPU that is supported.
build: deps
	cmake --preset release
	cmake --build --preset release -j $(JOBS)

test: deps
	cmake --preset dev
	cmake --build --preset dev -j $(JOBS)
	scripts/test.sh dev

asan tsan: deps
	cmake --preset $@
	cmake --build --preset $@ -j $(JOBS)
	scripts/test.sh $@

# libFuzzer on every kind of file, SECONDS each.
SECONDS ?= 600
fuzz: build
	scripts/fuzz.sh $(SECONDS) $(JOBS)

bench: build
	scripts/peers.sh

deps:
	scripts/install_deps.sh

format:
	git ls-files '*.cpp' '*.h' | xargs clang-format -i

clean:
	rm -rf build demo
