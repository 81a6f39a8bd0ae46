# Sourced by the scripts beside it: where things go, what must be there, how a server is started, awaited and ended.
#
# A server lives in a directory of its own: `pid`, `ports`, `log`, its settings and its data. Its command line names that
# directory, and nothing is ever ended whose command line does not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
clone=$(cd "$here/../.." && pwd)
cache=${RILLGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rillgate}

fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# need COMMAND PACKAGE: COMMAND is there, or PACKAGE is installed (as root where there is apt-get), or we say what to do.
need() {
  command -v "$1" >/dev/null && return
  install_package "$2" "$1"
  command -v "$1" >/dev/null || fail "$1 is still missing after installing the Debian package $2"
}

# install_package PACKAGE WHAT: installs the Debian package that brings WHAT, or says so.
install_package() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "missing: $2 (on Debian: sudo apt-get install $1); then try again"
  fi
  echo "installing the Debian package $1" >&2
  { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" \
    || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1"; }; } >&2 </dev/null \
    || fail "apt-get could not install $1"
}

# The rest of this shell is alone among those that install into the cache.
lock_cache() {
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  if command -v flock >/dev/null; then flock 9; fi
}

# Absolute form of a server's directory, made where it is missing.
directory() { mkdir -p "$1" && (cd "$1" && pwd); }

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A port below those that the kernel hands to outgoing connections, so that a server that is restarted gets its own back.
free_port() {
  local port
  for _ in $(seq 100); do
    port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
    listening "$port" || { echo "$port"; return; }
  done
  fail "found no free port between 10000 and 30000"
}

# The command line of a process; nothing where there is none, or it has ended.
command_line() {
  local line
  if [ ! -d /proc/self ]; then ps -o args= -p "$1" || true; return; fi
  # In the midst of exec a process has none for a moment, though it lives.
  for _ in $(seq 100); do
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || true)
    [ -z "$line" ] && grep -q '^State:[[:space:]]*[RSDTt]' "/proc/$1/status" 2>/dev/null || break
    sleep 0.01
  done
  printf '%s' "$line"
}

# Whether the server of directory $1 runs.
alive() {
  [ -f "$1/pid" ] && [[ "$(command_line "$(cat "$1/pid")")" == *"$1"* ]]
}

# launch DIR COMMAND...: starts a server that outlives this shell. `ulimit` and `nice` are the caller's.
launch() {
  local dir=$1
  shift
  setsid nohup "$@" >"$dir/log" 2>&1 </dev/null 9>&- &
  echo $! >"$dir/pid"
  # Until exec has happened the process has the command line of this shell.
  await 10 "$1 to start" eval "alive '$dir' || ! kill -0 $! 2>/dev/null"
}

# await SECONDS WHAT COMMAND...: asks ten times a second until COMMAND succeeds.
await() {
  local tries=$(($1 * 10)) what=$2
  shift 2
  for _ in $(seq "$tries"); do
    "$@" && return
    sleep 0.1
  done
  echo "$(basename "$0"): waited in vain for $what" >&2
  return 1
}

# end DIR SIGNAL: signals the server of DIR, if it runs, and returns once it is gone.
end() {
  local pid
  alive "$1" || { rm -f "$1/pid"; return 0; }
  pid=$(cat "$1/pid")
  kill "-$2" "$pid"
  await 30 "process $pid to end" gone "$1" || { kill -KILL "$pid"; await 10 "process $pid to be killed" gone "$1"; }
  rm -f "$1/pid"
}

gone() { ! alive "$1"; }
