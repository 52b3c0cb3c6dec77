#!/usr/bin/env bash
# Runs the unit tests of the state module, the only one with unsafe code, under a tool that sees what tests do not.
#
# usage: scripts/sanitize.sh address|miri|valgrind
#
# The first two need a nightly toolchain, and miri its component; nothing is installed here. Exits with 77 when the tool
# is not there. Under valgrind only those tests are run that do not take it hours.

set -euo pipefail

readonly SKIPPED=77

skip() {
  printf 'skipped: %s\n' "$*"
  exit "$SKIPPED"
}

# run_tests COMMAND…: runs tests, and fails as well when there was none to run.
run_tests() {
  "$@" | tee /dev/stderr | grep -c '^test result: ok\. [1-9]' >/dev/null
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
host=$(rustc -vV | sed -n 's/^host: //p')

if [[ ${1:-} == valgrind ]]; then
  command -v valgrind >/dev/null || skip 'valgrind is not installed'
  runner=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$host")_RUNNER
  export "$runner=valgrind --quiet --error-exitcode=9"
  run_tests cargo test --locked --lib -- --test-threads 1 \
    state::arena state::chunk state::heap state::segment state::table state::tests::kinds::singles
  exit
fi

rustup run nightly rustc --version >/dev/null 2>&1 || skip "$* needs a nightly toolchain (rustup toolchain install nightly)"
# Instrumented code must not be mixed with what the other checks build.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize

case ${1:-} in
  address)
    # With a target named, build scripts and macros are built without the sanitizer, as they must be.
    RUSTFLAGS=-Zsanitizer=address run_tests rustup run nightly cargo test --locked --target "$host" --lib state::
    ;;
  miri)
    rustup run nightly cargo miri --version >/dev/null 2>&1 ||
      skip 'miri needs its component (rustup component add --toolchain nightly miri rust-src)'
    # The tests make temporary folders, which miri's isolation forbids.
    MIRIFLAGS=-Zmiri-disable-isolation run_tests rustup run nightly cargo miri test --locked --lib state::
    ;;
  *)
    printf 'usage: %s address|miri|valgrind\n' "$0" >&2
    exit 2
    ;;
esac
