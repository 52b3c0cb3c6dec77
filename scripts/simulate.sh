#!/bin/sh
# Replays a run of the simulator, or explores new ones.
#
#   scripts/simulate.sh [-v] SEED             replays a seed: says what was drawn, and how often each thing came to pass;
#                                             -v says what happens, step by step
#   scripts/simulate.sh --minutes N [SEED]    goes through seeds for N minutes, from SEED on, and names those that fail
set -eu
cd "$(dirname "$0")/.."

usage() {
    sed -n '4,6s/^# *//p' "$0" >&2
    exit 2
}

case "${1:-}" in
--minutes)
    [ $# -ge 2 ] || usage
    export FLOODMARK_SIMULATE_MINUTES="$2"
    # Seeds that nobody has tried yet, unless it is said where to begin.
    export FLOODMARK_SIMULATE_FROM="${3:-$(date +%s)000}"
    ;;
-v)
    [ $# -eq 2 ] || usage
    export FLOODMARK_SIMULATE_TRACE=1 FLOODMARK_SIMULATE_SEED="$2"
    ;;
[0-9]*)
    [ $# -eq 1 ] || usage
    export FLOODMARK_SIMULATE_SEED="$1"
    ;;
*) usage ;;
esac
exec cargo test --quiet --lib testing::simulator::tests::simulate_as_told -- --exact --ignored --nocapture
