# Thin: meson builds, the scripts in tools/ do the rest.
PREFIX ?= /usr/local
PYTHON ?= /usr/bin/python3
BUILD ?= build

export PREFIX PYTHON BUILD

.PHONY: all help up down test check asan fuzz bench trials format clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) -Dlibdir=lib

help:
	@echo "make         build, in $(BUILD)/"
	@echo "make up      install what is missing, build, install to $(PREFIX), start a hub"
	@echo "make down    stop the hub; all data stays"
	@echo "make test    every test this machine can run, and what was skipped"
	@echo "make check   format, style, layers, headers, cppcheck, clang-tidy"
	@echo "make asan    unit tests and stored fuzz inputs under ASan and UBSan alone"
	@echo "make fuzz    every fuzz target for a minute (FUZZ_SECONDS=60)"
	@echo "make bench   measure"
	@echo "make trials  attack the storage: power cuts, full and failing disks, kill -9"
	@echo "make format  let clang-format write"
	@echo "make clean   remove what was built"

up:
	@tools/up

down:
	@tools/down

test:
	@$(PYTHON) tools/run-tests

check:
	@tools/check

asan:
	@$(PYTHON) tools/run-tests --only build-asan

fuzz:
	@tools/fuzz

bench: all
	@DORM_BUILD=$(BUILD) bench/run

trials:
	@$(PYTHON) tools/run-trials

format:
	find src tests -name '*.[ch]' -exec clang-format -i {} +

clean:
	rm -rf $(BUILD) build-test build-asan build-clang build-fuzz
