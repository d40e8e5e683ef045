# What the server scripts share. $DIR is the folder of the server: its configuration, its data, its
# logs, and the process ids of what was started in it. Only those processes are ever ended.

note() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
  note "FAILED: $*"
  tail -n 15 "$DIR"/log/*.log >&2 2>/dev/null || true
  exit 1
}

# Whether the process of run/NAME.pid runs. Its command line has the folder: a number that another
# process got meanwhile does not count, nor does a zombie, whose command line is empty.
alive() {
  local pid
  pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$DIR"
}

# start NAME COMMAND...: in a session of its own, unless it runs. The command must not fork.
start() {
  local name=$1
  shift
  if alive "$name"; then return 0; fi
  setsid "$@" </dev/null >>"$DIR/log/$name.log" 2>&1 &
  echo $! >"$DIR/run/$name.pid"
}

# stop NAME [SIGNAL]: end what start began, by force where it takes more than 15 s.
stop() {
  local pid
  if alive "$1"; then
    pid=$(cat "$DIR/run/$1.pid")
    kill -CONT "$pid" 2>/dev/null || true
    kill -"${2:-TERM}" "$pid" 2>/dev/null || true
    for _ in $(seq 150); do
      alive "$1" || break
      sleep 0.1
    done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$DIR/run/$1.pid"
}

# await NAME SECONDS COMMAND...: poll until the command succeeds; the process must live meanwhile. A
# process in the midst of exec has an empty command line for an instant, so one look does not decide.
await() {
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$name" || { sleep 0.5 && alive "$name"; } || die "$name ended"
    [ "$SECONDS" -lt "$end" ] || die "$name does not answer"
    sleep 0.1
  done
}

# install PACKAGE...: from the distribution, without starting any service of theirs.
install() {
  local need=() package policy=/usr/sbin/policy-rc.d made=
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || need+=("$package")
  done
  if [ ${#need[@]} = 0 ]; then return 0; fi
  [ "$(id -u)" = 0 ] || die "${need[*]} must be installed, which takes root"
  command -v apt-get >/dev/null || die "${need[*]} must be installed, and there is no apt-get"
  note "installing ${need[*]}"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made=1
  fi
  local status=0
  apt_get install -y --no-install-recommends "${need[@]}" ||
    { apt_get update && apt_get install -y --no-install-recommends "${need[@]}"; } || status=$?
  [ -z "$made" ] || rm -f "$policy"
  [ "$status" = 0 ] || die "apt-get install ${need[*]}"
}

# Another process may hold the lock of apt for a while.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >>"$DIR/log/apt.log" 2>&1
}

# fetch URL: what the server answers, whatever proxy the environment names.
fetch() { curl -s --noproxy '*' -m 2 "$1"; }
