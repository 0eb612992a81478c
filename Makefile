# Everything runs in a virtual environment of its own, and needs Python 3.11 or newer, make, and
# gcc or clang. Only what has changed is built again.
#
#     make test PYTHON=python3.13 CC=clang PYTEST_ARGS="-k layout"

PYTHON ?= python3
VENV ?= .venv
CROSS_CC ?= aarch64-linux-gnu-gcc
PYTEST_ARGS ?=
SEED ?=

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
STAMPS := $(VENV)/stamps
ISA_SOURCES := $(wildcard c_src/isa/*.c)
C_SOURCES := $(filter-out $(ISA_SOURCES),$(sort $(shell find c_src -name '*.c')))
C_HEADERS := $(sort $(shell find c_src -name '*.h'))
C_TESTS := $(wildcard tests/c/*.[ch])
# What knows Python; cffi writes _c.c.
PYTHON_C := $(filter-out kernels/_c.c,$(wildcard kernels/*.[ch]))
C_FILES := $(C_SOURCES) $(ISA_SOURCES) $(C_HEADERS) $(C_TESTS) $(wildcard bench/native/*.[ch]) \
           $(PYTHON_C)

# setuptools takes the compiler from the environment, where make's built-in default is not.
ifneq ($(origin CC),default)
export CC
else
CC := $(firstword $(shell command -v gcc clang cc))
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help bench bench-full bench-compare bench-report bench-scaling bench-pytest test test-c \
        bench-dtypes bench-rasters bench-chains bench-candidates bench-alternate build-c-tests test-guard test-neon \
        checkasm-bench test-avx2 test-old-cpu lint format symbols examples readme clean force

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' \
	    $(firstword $(MAKEFILE_LIST))

bench: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/bench ## Measure the headline case: table, plot and JSON in bench/results
	$(PY) -m bench.headline $(BENCH_ARGS)

bench-full: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/bench $(STAMPS)/peers ## Measure every layer against every peer (30-60 min, resumes), then the report
	$(PY) -m bench.suite $(BENCH_ARGS)
	$(PY) -m bench.suite_report

bench-report: $(STAMPS)/package $(STAMPS)/bench ## Make the page and pictures of what bench-full measured
	$(PY) -m bench.suite_report

bench-scaling: $(STAMPS)/package $(STAMPS)/bench ## Measure curves over pixels, channels and threads for the report
	$(PY) -m bench.scaling $(BENCH_ARGS)

bench-dtypes: $(STAMPS)/package $(STAMPS)/bench ## Time the headline case in every dtype, beside its roof
	$(PY) -m bench.dtypes $(BENCH_ARGS)

bench-rasters: $(STAMPS)/package $(STAMPS)/bench ## Time heads and missing data against the plain product, and rasters of all sizes
	$(PY) -m bench.rasters $(BENCH_ARGS)

bench-chains: $(STAMPS)/package $(STAMPS)/bench ## Time chains of layers against their layers in turn, and NumPy
	$(PY) -m bench.chains $(BENCH_ARGS)

bench-candidates: $(STAMPS)/package $(STAMPS)/bench ## Time every way to compute a layer beside the one that is chosen
	$(PY) -m bench.candidates $(BENCH_ARGS)

bench-alternate: $(STAMPS)/package $(STAMPS)/bench ## Measure whether our calls and those of NumPy's BLAS disturb each other
	$(PY) -m bench.alternate $(BENCH_ARGS)

bench-compare: $(STAMPS)/package $(STAMPS)/bench ## Time this build against that of another commit: BASE=<commit>
	@test -n "$(BASE)" || { echo "make bench-compare BASE=<commit>" >&2; exit 2; }
	$(PY) -m bench.compare $(BASE) $(BENCH_ARGS)

bench-pytest: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/bench ## Run the tests of bench/ and its cases as a pytest-benchmark suite
	$(PY) -m pytest bench $(PYTEST_ARGS)

test: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/test ## Run the test suite, doctests included
	POINTWISE_FAST_TEST_REQUIRE="$${POINTWISE_FAST_TEST_REQUIRE-c,numba}" $(PY) -m pytest $(PYTEST_ARGS)

examples: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/examples ## Run the examples: pictures in examples/output
	$(PY) examples/colour.py
	$(PY) examples/bands.py
	$(PY) examples/mlpconv.py
	$(PY) examples/inception.py

readme: $(STAMPS)/package $(STAMPS)/bench ## Put bench/results/headline.json into README.md's table
	$(PY) -m bench.readme

# NumPy's and pytest's untyped functions are called all over the tests, which are no package.
TESTS_TYPES := --allow-untyped-calls --no-warn-return-any

lint: $(STAMPS)/package $(STAMPS)/numba $(STAMPS)/dev $(STAMPS)/test $(STAMPS)/bench $(STAMPS)/examples ## Check with ruff, mypy --strict and clang-format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	@rm -rf build/typed && mkdir -p build/typed/pointwise_fast
	@ln -s $(CURDIR)/pointwise_fast/* $(CURDIR)/kernels build/typed/pointwise_fast
	@ln -s $(CURDIR)/bench $(CURDIR)/examples $(CURDIR)/tests build/typed
	cd build/typed && $(abspath $(PY)) -m mypy --config-file $(CURDIR)/pyproject.toml
	cd build/typed && $(abspath $(PY)) -m mypy --config-file $(CURDIR)/pyproject.toml $(TESTS_TYPES) tests
	$(VENV)/bin/clang-format --dry-run --Werror $(C_FILES)

format: $(STAMPS)/dev ## Let ruff and clang-format rewrite the sources
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(VENV)/bin/clang-format -i $(C_FILES)

symbols: $(STAMPS)/package ## Check what the extension exports, and how it was linked
	@found=$$(nm -D --defined-only kernels/_c*.so | awk '{ print $$3 }' | xargs); \
	echo "exported: $$found"; test "$$found" = "PyInit__c PyInit__repeat"
	@! readelf -d kernels/_c*.so | grep -E 'RPATH|RUNPATH'
	@readelf -d kernels/_c*.so | grep -q BIND_NOW && readelf -l kernels/_c*.so | grep -q GNU_RELRO && \
	nm -D --undefined-only kernels/_c*.so | grep -q __stack_chk_fail && \
	echo "linked at once, read-only then; stack protector; no run path"

clean: ## Remove what was built, and the virtual environment
	rm -rf build dist *.egg-info examples/output .benchmarks .pytest_cache .mypy_cache .ruff_cache \
	    .hypothesis $(VENV) kernels/_c.c kernels/_c*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment, and a stamp for each extra and for the package.

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	         "Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "'$(PYTHON) -m venv' failed; Debian and Ubuntu have it in the package" \
	         "python3-venv." >&2; exit 1; }
	$(PIP) install --quiet --upgrade pip
	@mkdir -p $(STAMPS)
	@touch $@

$(VENV)/%.txt: pyproject.toml | $(VENV)/.python
	@$(PY) -c 'import sys, tomllib; \
	    extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
	    print(*extras[sys.argv[1]], sep="\n")' $* > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

.PRECIOUS: $(VENV)/%.txt

$(STAMPS)/%: $(VENV)/%.txt | $(VENV)/.python
	$(PIP) install --quiet --upgrade --upgrade-strategy only-if-needed -r $<
	@touch $@

# Rewritten only if they change, so that another compiler or other flags cause a new build.
$(VENV)/flags: force | $(VENV)/.python
	@echo "$(CC) $$POINTWISE_FAST_CFLAGS $$CFLAGS" | cmp -s - $@ || \
	    echo "$(CC) $$POINTWISE_FAST_CFLAGS $$CFLAGS" > $@

$(STAMPS)/package: pyproject.toml setup.py kernels/build_c.py $(PYTHON_C) $(C_SOURCES) \
                   $(ISA_SOURCES) $(C_HEADERS) $(VENV)/flags | $(VENV)/.python
	@rm -rf build/package kernels/_c*.so
	POINTWISE_FAST_OBJECTS=build/package $(PIP) install --quiet --editable .
	@$(PY) -c 'import pointwise_fast as pf; c = pf.config(); print("backends:", *c["backends"]); \
	    print("isa:", c["isa"] or "none; " + str(c["missing"].get("c")))'
	@touch $@

# The C tests, which link the C code without Python. Kernels get no sanitizers: with them gcc 12 takes half an hour over a
# file or fails; guard pages and poisoned outputs watch over their memory accesses.

SANITIZE := -g -fsanitize=address,undefined -fno-sanitize-recover=all
C_FLAGS := -std=c11 -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -Ic_src
WRAP := -Wl,--wrap=pw_cache_bytes
GUARD := -Wl,--wrap=malloc,--wrap=calloc,--wrap=posix_memalign,--wrap=free
CHECKS := checkasm checkquantised chains bench_kernels pool
OBJECTS = $(patsubst c_src/%.c,build/$(1)/%.o,$(C_SOURCES))
KERNELS = $(patsubst c_src/%.c,build/$(1)/%.o,$(ISA_SOURCES))

# Native kernels are the very objects that the extension has been linked from: what is installed is
# tested, and nothing is compiled twice. Where the folder build/ was removed, it is built once more.
build/package/built: $(STAMPS)/package
	@test -d build/package || { rm $(STAMPS)/package; $(MAKE) $(STAMPS)/package; }
	@touch $@

$(call KERNELS,native): build/native/%.o: build/package/built
	@mkdir -p $(@D)
	cp build/package/c_src/$*.o $@

# compile(folder, compiler, flags)
define compile
build/$(1)/%.o: c_src/%.c $(C_HEADERS) Makefile
	@mkdir -p $$(@D)
	$(2) $(C_FLAGS) $(3) -c $$< -o $$@

build/$(1)/%.o: tests/c/%.c $(C_TESTS) $(C_HEADERS) Makefile
	@mkdir -p $$(@D)
	$(2) $(C_FLAGS) $(3) -c $$< -o $$@
endef
$(eval $(call compile,native,$(CC),))
$(eval $(call compile,guarded,$(CC),-DPW_STACK_BYTES=1))
$(eval $(call compile,sanitized,$(CC),$(SANITIZE)))
$(eval $(call compile,neon,$(CROSS_CC),))

$(CHECKS:%=build/native/%): build/native/%: build/native/%.o $(call OBJECTS,native) $(call KERNELS,native)
	$(CC) -static $(WRAP) $^ -o $@ -pthread -lm

$(CHECKS:%=build/sanitized/%): build/sanitized/%: build/sanitized/%.o $(call OBJECTS,sanitized) $(call KERNELS,native)
	$(CC) $(SANITIZE) $(WRAP) $^ -o $@ -pthread -lm

# The test refuses keys, and makes the clock run.
build/native/pool build/sanitized/pool build/guarded/pool build/neon/pool: \
    WRAP += -Wl,--wrap=pthread_key_create,--wrap=clock_gettime

# With guard pages after the blocks that we allocate, packed weights of any size among them.
$(CHECKS:%=build/guarded/%): build/guarded/%: build/guarded/%.o build/guarded/guard.o $(call OBJECTS,guarded) $(call KERNELS,native)
	$(CC) $(WRAP) $(GUARD) $^ -o $@ -pthread -lm

$(CHECKS:%=build/neon/%): build/neon/%: build/neon/%.o $(call OBJECTS,neon) $(call KERNELS,neon)
	$(CROSS_CC) -static $(WRAP) $^ -o $@ -pthread -lm

# Cases are drawn anew in every run, unless SEED is given; the seed is printed.
SEED_NOW = $(or $(SEED),$(shell date +%s))
EVERY ?= 1

build-c-tests: $(CHECKS:%=build/sanitized/%) $(CHECKS:%=build/guarded/%)

test-c: $(CHECKS:%=build/sanitized/%) ## Check every kernel of this CPU bit by bit, in C, with sanitizers
	build/sanitized/checkasm $(SEED_NOW) all $(EVERY)
	build/sanitized/checkquantised $(SEED_NOW) all $(EVERY)
	build/sanitized/chains $(SEED_NOW) $(EVERY)
	build/sanitized/bench_kernels --rounds 0
	build/sanitized/pool

test-guard: $(CHECKS:%=build/guarded/%) ## The same, with a page without access after each block that we allocate
	build/guarded/checkasm $(SEED_NOW) all $(EVERY)
	build/guarded/checkquantised $(SEED_NOW) all $(EVERY)
	build/guarded/chains $(SEED_NOW) $(EVERY)
	build/guarded/bench_kernels --rounds 0
	build/guarded/pool

test-neon: $(CHECKS:%=build/neon/%) ## A sixteenth of it for NEON, with a cross compiler and qemu-aarch64
	qemu-aarch64 build/neon/checkasm $(SEED_NOW) all 16
	qemu-aarch64 build/neon/checkquantised $(SEED_NOW) all 16
	qemu-aarch64 build/neon/chains $(SEED_NOW) 16
	qemu-aarch64 build/neon/bench_kernels --rounds 0
	qemu-aarch64 build/neon/pool brief

test-avx2: $(CHECKS:%=build/native/%) ## A quarter of it for AVX2 on a CPU without it, with qemu-x86_64
	qemu-x86_64 -cpu max build/native/checkasm $(SEED_NOW) avx2 4
	qemu-x86_64 -cpu max build/native/checkquantised $(SEED_NOW) avx2 4
	qemu-x86_64 -cpu max build/native/chains $(SEED_NOW) 4
	qemu-x86_64 -cpu max build/native/bench_kernels avx2 --rounds 0

# Shows whether a kernel needs an instruction that the CPU lacks; results are tested elsewhere.
test-old-cpu: $(CHECKS:%=build/native/%) ## A hundredth of it on an emulated CPU without AVX
	qemu-x86_64 -cpu Nehalem build/native/checkasm $(SEED_NOW) all 100
	qemu-x86_64 -cpu Nehalem build/native/checkquantised $(SEED_NOW) all 40
	qemu-x86_64 -cpu Nehalem build/native/chains $(SEED_NOW) 60
	qemu-x86_64 -cpu Nehalem build/native/bench_kernels --rounds 0

# Without sanitizers. The tests above run it too, but only to compare.
checkasm-bench: build/native/bench_kernels ## Check and time every kernel by itself: BENCH_ARGS="avx2 planar --json FILE"
	build/native/bench_kernels $(BENCH_ARGS)
