#!/usr/bin/env bash
# Runs the unit tests of the state module, the only one with unsafe code, under a tool that sees what tests do not.
#
# usage: scripts/sanitize.sh address|miri
#
# Both tools need a nightly toolchain, and miri its component; neither is installed here. Exits with 77 when the tool is
# not there.

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
rustup run nightly rustc --version >/dev/null 2>&1 || skip "$* needs a nightly toolchain (rustup toolchain install nightly)"
# Instrumented code must not be mixed with what the other checks build.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize

case ${1:-} in
  address)
    host=$(rustup run nightly rustc -vV | sed -n 's/^host: //p')
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
    printf 'usage: %s address|miri\n' "$0" >&2
    exit 2
    ;;
esac
