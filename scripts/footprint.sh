#!/usr/bin/env bash
# Measures what the binary costs before it does any work, and prints a table: its size, the time from its start to the
# first record, and the memory and CPU of a job that is given one record a second.
#
# usage: scripts/footprint.sh [BINARY]
#
# BINARY is the one to measure; unless given, it is built (cargo build --release). Needed beside it: the tools of a
# Debian base system, and strip for the size without symbols. Linux only: memory and CPU are read from /proc.
#
# Environment:
#   CARGO_TARGET_DIR  where to build, if there is no BINARY (default: target)
#   STARTS            how many starts are timed (default: 10); the median counts
#   SECONDS_IDLE      how long each idle job is watched (default: 10)

set -euo pipefail

readonly STARTS=${STARTS:-10}
readonly SECONDS_IDLE=${SECONDS_IDLE:-10}
# What an idle job does before it is watched: starting up is not idling.
readonly SECONDS_SETTLING=2

die() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

row() { printf '%-42s %s\n' "$1" "$2"; }

# mebibytes BYTES
mebibytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'; }

# now_micros: the time in microseconds.
now_micros() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

# write_job NAME RATE ROWS SINK INTERVAL: writes the job file NAME.toml. ROWS and INTERVAL can be empty.
write_job() {
  local name=$1 rate=$2 rows=${3:+rows = $3} sink=$4 interval=${5:+interval = '"'$5'"'}
  cat >"$folder/$name.toml" <<EOF
[job]
name = "$name"
parallelism = 2
[checkpoint]
storage = "$folder/checkpoints"
$interval
[[source]]
id = "records"
type = "generator"
schema = "key-value"
rate = $rate
$rows
[[operator]]
id = "sums"
type = "aggregate"
input = "records"
key = ["key"]
aggregates = { total = "sum(value)" }
[[sink]]
id = "out"
type = "$sink"
input = "sums"
EOF
}

measure_size() {
  row 'binary' "$(mebibytes "$(stat -c %s "$binary")")"
  if command -v strip >/dev/null; then
    strip -o "$folder/stripped" "$binary"
    row 'binary, stripped' "$(mebibytes "$(stat -c %s "$folder/stripped")")"
  else
    row 'binary, stripped' 'unknown: strip is missing (apt-get install binutils)'
  fi
}

# time_start JOB: the microseconds from the start of the process to the first line of its output.
time_start() {
  local start line
  start=$(now_micros)
  exec {output}< <("$binary" -q run --fresh "$folder/$1.toml")
  IFS= read -r line <&"$output" || die "the job printed nothing"
  echo $(($(now_micros) - start))
  # The job ends on its own; what it still prints is read to the end.
  cat <&"$output" >/dev/null
  exec {output}<&-
}

measure_start() {
  local label=$1 job=$2 times=()
  for ((i = 0; i < STARTS; i++)); do times+=("$(time_start "$job")"); done
  row "$label" "$(printf '%s\n' "${times[@]}" | sort -n | awk '
    { micros[NR] = $1 }
    END {
      median = (micros[int((NR + 1) / 2)] + micros[int(NR / 2) + 1]) / 2
      printf "%.1f ms (%.1f to %.1f)", median / 1000, micros[1] / 1000, micros[NR] / 1000
    }')"
}

# cpu_ticks PID: the CPU time that the process has used, in clock ticks.
cpu_ticks() {
  # The name in brackets can hold spaces; user and system time are the 12th and 13th field behind it.
  sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# status_of PID FIELD: the number in a line of the process's status.
status_of() { awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"; }

# switches PID: how often the threads of the process have gone to sleep of their own accord.
switches() { awk '$1 == "voluntary_ctxt_switches:" { sum += $2 } END { print sum }' "/proc/$1"/task/*/status; }

measure_idle() {
  local label=$1 job=$2 ticks woken
  "$binary" -q run --fresh "$folder/$job.toml" >/dev/null &
  idle=$!
  sleep "$SECONDS_SETTLING"
  [[ -d /proc/$idle ]] || die "the idle job has ended"
  ticks=$(cpu_ticks "$idle") woken=$(switches "$idle")
  sleep "$SECONDS_IDLE"
  ticks=$(($(cpu_ticks "$idle") - ticks)) woken=$(($(switches "$idle") - woken))
  row "$label" "$(awk -v ticks="$ticks" -v hertz="$(getconf CLK_TCK)" -v woken="$woken" -v seconds="$SECONDS_IDLE" \
    -v resident="$(status_of "$idle" VmRSS)" -v own="$(status_of "$idle" RssAnon)" \
    -v threads="$(status_of "$idle" Threads)" 'BEGIN {
      printf "%.1f MiB resident (%.1f MiB its own), %.2f %% of a core, %.0f wakes/s, %d threads",
        resident / 1024, own / 1024, 100 * ticks / hertz / seconds, woken / seconds, threads
    }')"
  kill -INT "$idle"
  wait "$idle" || die "the idle job did not stop cleanly"
  idle=''
}

# clean_up: leaves neither files nor a process behind.
clean_up() {
  [[ -z "$idle" ]] || kill -KILL "$idle" 2>/dev/null || true
  rm -rf "$folder"
}

main() {
  case ${1:-} in
    -h | --help)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      return
      ;;
  esac
  binary=${1:-}
  if [[ -z "$binary" ]]; then
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    cargo build --release --locked --quiet
    binary=${CARGO_TARGET_DIR:-target}/release/floodmark
  fi
  [[ -x "$binary" ]] || die "there is no program $binary"
  folder=$(mktemp -d)
  idle=''
  trap clean_up EXIT

  measure_size
  write_job start 1000000 1 console ''
  measure_start 'start to first record' start
  write_job idle-off 1 '' blackhole ''
  write_job idle-1s 1 '' blackhole 1s
  write_job idle-100ms 1 '' blackhole 100ms
  measure_idle 'idle, no checkpoints' idle-off
  measure_idle 'idle, a checkpoint every 1 s' idle-1s
  measure_idle 'idle, a checkpoint every 100 ms' idle-100ms
}

main "$@"
