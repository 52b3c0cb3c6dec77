#!/usr/bin/env bash
# Runs every check of the project, from formatting to benches, and stops at the first that fails.
#
# usage: scripts/test.sh
#
# Needed: a Rust toolchain, compilers for C and C++, make, pkg-config and the headers of OpenSSL and zlib; as root on Debian
# and its like they are installed if they are missing. rustfmt, clippy and, when the toolchain is too old, a newer one are
# installed through rustup. Tests run under cargo-nextest if it is there, else under cargo test. Those that talk to a
# Kafka broker or an S3 store are given both by scripts/services.sh, which needs Python 3 with venv.
#
# Environment:
#   CARGO_TARGET_DIR      where to build (default: target)
#   CI=true               build in a cache outside the clone unless CARGO_TARGET_DIR is set, report all failed tests,
#                         and take a check that cannot be run for a failure
#   FLOODMARK_CACHE       that cache (default: $XDG_CACHE_HOME/floodmark or ~/.cache/floodmark)
#   FLOODMARK_SANITIZE=1  also run the tests of the state module under AddressSanitizer and miri, if a nightly
#                         toolchain is there (see scripts/sanitize.sh)
#   NO_COLOR=1            no colours

set -euo pipefail

# Other versions of clippy and rustdoc have other lints: with those, warnings are shown but do not fail.
readonly LINTED_WITH=1.95
# A cache of compiled dependencies that has grown beyond this holds mostly what no build needs any more.
readonly CACHE_KIB_MAX=$((12 * 1024 * 1024))
# The exit status by which a check says that it cannot be run here.
readonly SKIPPED=77

is_ci() { [[ "${CI:-}" == true ]]; }

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' red='' green='' yellow='' plain=''
fi

say() { printf '%s\n' "$*"; }
note() { say "${yellow}$*${plain}"; }

die() {
  say "${red}${bold}FAILED: $*${plain}" >&2
  exit 1
}

summary=()

# summarise: prints what was done and how long it took.
summarise() {
  say ''
  say "${bold}summary${plain}"
  printf '  %s\n' "${summary[@]}"
}

# skip NAME REASON: notes a check that cannot be run here; in CI that is a failure.
skip() {
  if is_ci; then
    summary+=("${red}failed${plain}   $1: $2")
    summarise
    die "$1: $2"
  fi
  note "skipped: $1: $2"
  summary+=("${yellow}skipped${plain}  $1: $2")
}

# step NAME COMMAND…: runs one check, and ends the run if it fails.
step() {
  local name=$1 start=$SECONDS status=0
  shift
  say ''
  say "${bold}== $name${plain}  ($*)"
  "$@" || status=$?
  local seconds=$((SECONDS - start))
  case $status in
    0) summary+=("${green}passed${plain}   $name (${seconds} s)") ;;
    "$SKIPPED") summary+=("${yellow}skipped${plain}  $name") ;;
    *)
      summary+=("${red}failed${plain}   $name (${seconds} s)")
      summarise
      die "$name (exit status $status): $*"
      ;;
  esac
}

# quietly WHAT COMMAND…: says what is being installed, and shows the command's output only if it fails.
quietly() {
  local what=$1 output
  shift
  note "installing $what"
  if ! output=$("$@" 2>&1); then
    say "$output"
    return 1
  fi
}

# at_least VERSION MINIMUM
at_least() { [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]; }

rust_version() { rustc --version | cut -d ' ' -f 2; }

# missing_packages: prints the Debian packages of what the build needs and this machine lacks.
missing_packages() {
  local command
  for command in cc:gcc c++:g++ make:make pkg-config:pkg-config; do
    command -v "${command%%:*}" >/dev/null || printf '%s\n' "${command##*:}"
  done
  # Where there is no pkg-config yet, nothing is known of the libraries.
  pkg-config --exists openssl 2>/dev/null || printf 'libssl-dev\n'
  pkg-config --exists zlib 2>/dev/null || printf 'zlib1g-dev\n'
}

ensure_system_packages() {
  local packages
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]} > 0)) || return 0
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    quietly "${packages[*]}" install_packages || true
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} > 0)) || return 0
  fi
  die "the build needs more than is here: apt-get install ${packages[*]}"
}

# install_packages: installs the array `packages` of its caller.
install_packages() {
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
}

ensure_toolchain() {
  if ! command -v cargo >/dev/null && [[ -r "$HOME/.cargo/env" ]]; then
    # shellcheck disable=SC1091
    source "$HOME/.cargo/env"
  fi
  command -v cargo >/dev/null || die 'cargo is missing: install Rust from https://rustup.rs'
  ensure_system_packages

  local needed
  needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
  at_least "$(rust_version)" "$needed" && return
  command -v rustup >/dev/null || die "Rust $(rust_version) is too old: $needed or newer is needed"
  quietly "Rust $LINTED_WITH (the one here, $(rust_version), is older than $needed)" \
    rustup toolchain install "$LINTED_WITH" --profile minimal || die "Rust $LINTED_WITH cannot be installed"
  export RUSTUP_TOOLCHAIN=$LINTED_WITH
}

# has_component NAME COMMAND: whether a cargo command works, after installing its component if need be.
has_component() {
  cargo "$2" --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null && quietly "$1" rustup component add "$1" && cargo "$2" --version >/dev/null 2>&1
}

# choose_target: sets where to build.
choose_target() {
  if [[ -z "${CARGO_TARGET_DIR:-}" ]]; then
    CARGO_TARGET_DIR=target
    local cache=${FLOODMARK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nowhere}/.cache}/floodmark}/target
    if is_ci; then
      if mkdir -p "$cache" 2>/dev/null && [[ -w "$cache" ]]; then
        trim_cache "$cache"
        CARGO_TARGET_DIR=$cache
      else
        note "the cache $cache cannot be written: building in target"
      fi
    fi
  fi
  export CARGO_TARGET_DIR
}

# trim_cache FOLDER: empties the cache when it has grown too large.
trim_cache() {
  local kib
  kib=$(du -sk "$1" | cut -f 1)
  if ((kib > CACHE_KIB_MAX)); then
    note "the cache $1 has grown to $((kib / 1024)) MiB: emptied"
    rm -rf "${1:?}"/*
  fi
}

check_format() {
  if has_component rustfmt fmt; then
    step 'format' cargo fmt --check
  else
    skip 'format' 'rustfmt cannot be installed'
  fi
}

check_lints() {
  if has_component clippy clippy; then
    step 'lints' cargo clippy --all-targets --locked -- "${lint_flags[@]}"
  else
    skip 'lints' 'clippy cannot be installed'
  fi
}

check_tests() {
  local tests=(cargo test --locked) of_all=(--lib --bins --tests) of_ignored=(-- --ignored)
  if cargo nextest --version >/dev/null 2>&1; then
    local profile=default
    is_ci && profile=ci
    tests=(cargo nextest run --locked --profile "$profile") of_all=() of_ignored=(--run-ignored only)
  else
    note 'cargo-nextest is not there (cargo install --locked cargo-nextest): the same tests run under cargo test'
  fi
  step 'tests' "${tests[@]}" "${of_all[@]}"
  step 'documentation tests' cargo test --locked --doc
  check_services
}

# check_services: runs the tests that need servers, with the servers up. Uses what check_tests has found out.
check_services() {
  local name='tests with servers' status=0
  services=$(mktemp -d)
  trap stop_services EXIT
  # Whatever ends this script, the servers are not left running.
  scripts/services.sh start --while $$ "$services" || status=$?
  if ((status == SKIPPED)); then
    say 'without servers these tests are not run:'
    cargo test --locked --quiet --test services -- --ignored --list | sed -n 's/: test$//; T; s/^/  /p'
    skip "$name" 'the servers cannot be had'
    return
  fi
  ((status == 0)) || die "$name: the servers do not start"
  step "$name" with_services "${tests[@]}" --test services "${of_ignored[@]}"
  stop_services
  trap - EXIT
}

# with_services COMMAND…: runs a command that is told where the servers are.
with_services() (
  eval "$(scripts/services.sh env "$services")"
  "$@"
)

stop_services() {
  scripts/services.sh stop "$services"
  rm -rf "$services"
}

check_sanitizers() {
  [[ "${FLOODMARK_SANITIZE:-}" == 1 ]] || return 0
  step 'state under AddressSanitizer' scripts/sanitize.sh address
  step 'state under miri' scripts/sanitize.sh miri
}

main() {
  case ${1:-} in
    '') ;;
    -h | --help)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      return
      ;;
    *)
      say "unknown argument: $1 (see --help)" >&2
      return 2
      ;;
  esac

  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  # Nothing here asks a question; a tool that would is to fail, not to wait.
  exec </dev/null
  ensure_toolchain
  choose_target
  lint_flags=()
  if [[ "$(rust_version)" == "$LINTED_WITH".* ]]; then
    lint_flags=(-D warnings)
  else
    note "Rust $(rust_version) is not the $LINTED_WITH that the lints are kept for: warnings are shown, and do not fail"
  fi
  say "Rust $(rust_version), building in $CARGO_TARGET_DIR"

  check_format
  check_lints
  check_tests
  step 'documentation' env RUSTDOCFLAGS="${lint_flags[*]}" cargo doc --locked --no-deps
  step 'benches' cargo check --locked --benches
  check_sanitizers
  summarise
  local verdict='all passed'
  [[ "${summary[*]}" != *skipped* ]] || verdict='passed, with checks skipped,'
  say "${green}${bold}$verdict in ${SECONDS} s${plain}"
}

main "$@"
