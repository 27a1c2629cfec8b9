# Programs whose call stacks are what matters, each built as such programs are shipped.

OPTIMISED := -O2 -g -Wall -Wextra -pthread -D_GNU_SOURCE
FRAMES    := frames frames_bare frames_tableless frames_static
STACKS    := $(FRAMES) tail_calls handlers plugin_host plugin.so templates keeping release blocking.py jit.js
ifneq ($(GO),)
STACKS    += goroutines
endif
STACKS    := $(STACKS:%=$(OUT)/%)

$(FRAMES:%=$(OUT)/%): stacks/frames.c fixture.h | $(OUT)
	$(CC) $(OPTIMISED) $(FLAGS) -o $@ $<
# Neither frame pointers nor debug information.
$(OUT)/frames_bare: FLAGS := -fomit-frame-pointer -g0
# Frame pointers and no unwind tables, as some kernels, games and embedded toolchains build.
$(OUT)/frames_tableless: FLAGS := -O1 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fno-unwind-tables -g0
$(OUT)/frames_static: FLAGS := -static-pie

$(OUT)/tail_calls $(OUT)/handlers $(OUT)/plugin_host: $(OUT)/%: stacks/%.c fixture.h | $(OUT)
	$(CC) $(OPTIMISED) -o $@ $<

$(OUT)/plugin.so: stacks/plugin.c | $(OUT)
	$(CC) $(OPTIMISED) -shared -fPIC -o $@ $<

$(OUT)/templates $(OUT)/keeping: $(OUT)/%: stacks/%.cc | $(OUT)
	$(CXX) $(OPTIMISED) -o $@ $<

$(OUT)/release: stacks/release.rs | $(OUT)
	$(RUSTC) --edition 2024 -C opt-level=3 -C debuginfo=1 -o $@ $<

$(OUT)/goroutines: stacks/goroutines.go | $(OUT)
	$(GO) build -o $@ $<

$(OUT)/blocking.py $(OUT)/jit.js: $(OUT)/%: stacks/% | $(OUT)
	cp $< $@
