# One C++ server as compilers and linkers make it: requests-COMPILER-OPTIMISATION-POSITION-LIBRARY, where the library is
# libstdc++. A few are for every run of the tests; `make builds` makes them all.

COMPILERS     := gcc
ifneq ($(shell command -v clang++),)
COMPILERS     += clang
endif
CXX.gcc       := $(CXX)
CXX.clang     := clang++
FLAGS.O0      := -O0
FLAGS.O2      := -O2
FLAGS.lto     := -O2 -flto
FLAGS.pie     := -fPIE
FLAGS.nopie   := -fno-pie
LINKER.clang  := -fuse-ld=lld
LINK.pie      := -pie
LINK.nopie    := -no-pie
LINK.shared   :=
LINK.static   := -static-libstdc++ -static-libgcc

FEW_BUILDS := $(addprefix requests-gcc-,O0-pie-shared O2-nopie-shared-stripped lto-nopie-static lto-nopie-static-stripped)
ifneq ($(filter clang,$(COMPILERS)),)
FEW_BUILDS += $(addprefix requests-clang-,O2-pie-shared-stripped lto-nopie-static)
endif
FEW_BUILDS := $(addprefix $(OUT)/builds/,$(FEW_BUILDS))

$(OUT)/builds:
	mkdir -p $@

# Compiler, optimisation, position.
define COMPILED
$(OUT)/obj/requests-$1-$2-$3.o: requests.cc serving.h | $(OUT)/obj
	$$(CXX.$1) -g -pthread $$(FLAGS.$2) $$(FLAGS.$3) -c -o $$@ $$<
endef
# The same, and the library.
define LINKED
$(OUT)/builds/requests-$1-$2-$3-$4: $(OUT)/obj/requests-$1-$2-$3.o | $(OUT)/builds
	$$(CXX.$1) $$(LINKER.$1) -pthread $$(FLAGS.$2) $$(FLAGS.$3) $$(LINK.$3) $$(LINK.$4) -o $$@ $$<
$(OUT)/builds/requests-$1-$2-$3-$4-stripped: $(OUT)/builds/requests-$1-$2-$3-$4
	strip -o $$@ $$<
ALL_BUILDS += $(OUT)/builds/requests-$1-$2-$3-$4 $(OUT)/builds/requests-$1-$2-$3-$4-stripped
endef
$(foreach c,$(COMPILERS),$(foreach o,O0 O2 lto,$(foreach p,pie nopie,$(eval $(call COMPILED,$c,$o,$p)))))
$(foreach c,$(COMPILERS),$(foreach o,O0 O2 lto,$(foreach p,pie nopie,$(foreach l,shared static,$(eval $(call LINKED,$c,$o,$p,$l))))))

.PHONY: builds few_builds
builds: $(ALL_BUILDS)
few_builds: $(FEW_BUILDS)
