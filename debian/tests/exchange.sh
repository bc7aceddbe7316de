# shellcheck shell=sh disable=SC2016
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the tests of the packages share. They read it first, from the top of the sources.

set -eu

# shellcheck disable=SC2034
top=$PWD
scratch=${AUTOPKGTEST_TMP:-$(mktemp -d)}

# start_echo COMMAND...: starts a server that says its port at the end of its first line.
start_echo ()
{
  mkfifo "$scratch/said"
  timeout 60 "$@" >"$scratch/said" &
  server=$!
  trap 'kill $server' EXIT
  read -r line <"$scratch/said"
  rm "$scratch/said"
  port=${line##* }
}

# The shell would say on its standard error that the server was terminated.
stop_echo ()
{
  trap - EXIT
  kill "$server"
  wait "$server" 2>/dev/null || true
}

# is_echoed ADDRESS: an answer comes to what README.md types.
is_echoed ()
{
  typed=$(sed -n 's/.*`\(printf [^`]*\)`.*/\1/p' "$top/README.md" | sed "s/127\.0\.0\.1 1234/$1 $port/")
  echo "$typed"
  answer=$(sh -c "$typed")
  [ "$answer" = hello ]
}

is_echoed_here ()
{
  is_echoed 127.0.0.1
  ! grep -q '^0*1 ' /proc/net/if_inet6 2>/dev/null || is_echoed ::1
}

# holds COMMAND...: of what the command says as TAP, nothing fails.
holds ()
{
  "$@" >"$scratch/tap" 2>&1
  cat "$scratch/tap"
  grep -q '^ok ' "$scratch/tap"
  ! grep -q '^not ok ' "$scratch/tap"
}
