# For fingers that type make: everything is done by meson (see ./run and ./test).
.PHONY: all test asan tsan fuzz bench format lint clean
all: ; ./run --build
test: ; ./test
asan: ; [ -d build-asan ] || meson setup build-asan -Db_sanitize=address,undefined; meson test -C build-asan --no-suite long
tsan: ; [ -d build-tsan ] || meson setup build-tsan -Db_sanitize=thread; meson test -C build-tsan --no-suite long
fuzz: ; [ -d build-fuzz ] || CC=clang-14 meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined; meson test -C build-fuzz --suite fuzz
bench: ; ./run --build; meson test -C build --benchmark
format: ; clang-format-14 -i $$(find src tests fuzz bench -name '*.[ch]')
lint: ; run-clang-tidy-14 -quiet -p build "$$PWD/src/.*"
clean: ; rm -rf build build-plain build-asan build-tsan build-fuzz
