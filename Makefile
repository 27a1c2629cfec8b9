# The commands of this repository. `make` alone lists them.

CARGO      ?= cargo
PROGRAMS   := target/programs
AARCH64    := aarch64-unknown-linux-gnu
MUSL       := x86_64-unknown-linux-musl

BUILD_PACKAGES := gcc g++ pkg-config libsystemd-dev
TEST_PACKAGES  := $(BUILD_PACKAGES) dpkg-dev man-db redis-server redis-tools gdb lldb elfutils python3 python3-dev cython3 pybind11-dev systemd systemd-container dbus \
	stress-ng nginx wrk python3-jsonschema python3-pexpect curl xz-utils chromium golang-go \
	nodejs default-jre-headless erlang-base postgresql memcached apache2-bin mariadb-server clang lld libc++-dev libc++abi-dev strace musl-tools libunwind8 python3-yaml
SOAK_PACKAGES  := libpython3.11-testsuite
# How long each soak goes on that has no end of its own, seconds.
SOAK_SECONDS   ?= 60

.DEFAULT_GOAL := help
.PHONY: help setup setup-test build static deb programs demo test soak lint bench clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

setup: ## install what the build needs (as root; otherwise say how)
	@tests/install-packages $(BUILD_PACKAGES)

setup-test: ## install what the tests need
	@tests/install-packages $(TEST_PACKAGES)
	@$(CARGO) nextest --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-nextest
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deb

build: setup ## build the program
	$(CARGO) build --release

static: ## build the program that needs nothing beside it, for containers: target/x86_64-unknown-linux-musl/release/sickbay
	@tests/install-packages gcc musl-tools
	@rustup target add $(MUSL)
	$(CARGO) build --release --no-default-features --target $(MUSL)

deb: build ## build the Debian package, target/sickbay.deb
	@tests/install-packages dpkg-dev
	@$(CARGO) deb --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deb
	packaging/build-deb target/release/sickbay target/sickbay.deb

programs: setup ## build the sample programs the demonstration and the tests supervise
	@$(MAKE) --no-print-directory -s -C tests/programs OUT=$(CURDIR)/$(PROGRAMS)

demo: build programs ## let threads of sample servers fault, show the report and what became of the service
	@tests/demo target/release/sickbay $(PROGRAMS)
	@tests/demo-isolation target/release/sickbay $(PROGRAMS)

test: setup-test programs ## set everything up and run every test
	@rm -f target/$(MUSL)/debug/sickbay
	@rustup target add $(MUSL) && $(CARGO) build --no-default-features --target $(MUSL) || \
		echo "skipped: the static program could not be built (the reason is above); the tests of containers will say that it is missing" >&2
	$(CARGO) nextest run --features fail-points
	$(CARGO) test --doc

soak: setup-test programs ## run the long tests, SOAK_SECONDS each where they have no end of their own
	-@tests/install-packages $(SOAK_PACKAGES)
	@$(MAKE) --no-print-directory -s -C tests/programs OUT=$(CURDIR)/$(PROGRAMS) builds
	-@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-fuzz
	SICKBAY_SOAK_SECONDS=$(SOAK_SECONDS) PROPTEST_CASES=16384 $(CARGO) nextest run --features fail-points --cargo-profile soak --profile soak \
		--run-ignored all -E '(binary(conformance) & test(real_programs)) | binary(interleavings) | binary(hostile) & not test(seeds) | test(four_gigabytes) | test(ten_thousand) | test(a_thousand_faults)'
	@fuzz/run $(SOAK_SECONDS)

lint: setup ## formatting, clippy, documentation, the other architecture; warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --all-features
	@tests/check-architecture $(AARCH64)

bench: setup ## print the figures: signals, attaching, pauses, memory
	$(CARGO) bench --bench figures

clean: ## remove everything that was built
	$(CARGO) clean
